"""One shard through a real runner process: results, failures, hangs, cancels."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from jobs import leases, metrics, services
from jobs.kinds.sampling.models import Problem
from jobs.models import Artifact, Experiment, LogLine, MetricSpan, ShardStatus, Status
from jobs.worker import ThisWorker
from tests.stack import wait_for

pytestmark = pytest.mark.django_db(transaction=True)
Submit = Callable[..., Experiment]


def finish(worker: ThisWorker) -> None:
    while worker.work("gpu") or worker.work("cpu"):
        pass


def units(experiment: Experiment) -> list[int]:
    return list(Problem.objects.filter(experiment=experiment).order_by("index").values_list("index", flat=True))


def test_an_experiment_runs_through_all_stages(submit: Submit, worker: ThisWorker) -> None:
    experiment = submit(shards=3, units=4)
    finish(worker)
    experiment.refresh_from_db()
    assert (experiment.status, experiment.summary) == (Status.FINISHED, {"value": 12})
    assert units(experiment) == list(range(12))
    assert experiment.started_at and experiment.finished_at
    assert set(experiment.shards.values_list("status", "attempt")) == {(ShardStatus.DONE, 1)}
    means = metrics.means([experiment], "units_per_second")
    assert means is not None and means.worker_seconds == pytest.approx(7)  # each shard reported one second


def test_the_runner_stays_warm_between_shards(submit: Submit, worker: ThisWorker) -> None:
    experiment = submit(shards=3, units=1)
    finish(worker)
    assert len(set(Problem.objects.filter(experiment=experiment).values_list("uid", flat=True))) == 1


def test_a_poisoned_shard_fails_after_three_attempts_with_reason_and_log_tail(
    submit: Submit, worker: ThisWorker
) -> None:
    experiment = submit(shards=1, behaviour="raise")
    finish(worker)
    experiment.refresh_from_db()
    shard = experiment.shards.get(stage="work")
    assert (shard.status, shard.attempt, shard.reason) == (ShardStatus.FAILED, 3, "the weights are broken")
    assert "about to fail" in shard.log_tail and "Traceback" in shard.log_tail
    assert experiment.status == Status.FAILED
    assert experiment.reason == "work 0 failed: the weights are broken"
    assert units(experiment) == [0, 1, 2]  # what was reported before each failure is kept


def test_a_running_job_hears_news(submit: Submit, worker: ThisWorker) -> None:
    experiment = submit(shards=2, units=2, behaviour="listen", check=False)
    finish(worker)
    experiment.refresh_from_db()
    assert experiment.status == Status.FINISHED
    heard = Problem.objects.filter(experiment=experiment).order_by("index").values_list("uid", flat=True)
    assert list(heard) == ["after 0", "after 1", "after 0", "after 3"]  # another shard begins without


def test_death_by_signal_is_told_in_words(submit: Submit, worker: ThisWorker) -> None:
    experiment = submit(shards=1, behaviour="crash")
    finish(worker)
    shard = experiment.shards.get(stage="work")
    assert shard.reason == "the runner was killed by SIGKILL (out of memory?)"
    assert "last words" in shard.log_tail


def test_a_second_attempt_does_only_what_is_missing(submit: Submit, worker: ThisWorker) -> None:
    experiment = submit(shards=1, units=5, behaviour="crash-once")
    finish(worker)
    experiment.refresh_from_db()
    assert experiment.status == Status.FINISHED
    assert experiment.shards.get(stage="work").attempt == 2
    assert units(experiment) == [0, 1, 2, 3, 4]
    assert Problem.objects.get(experiment=experiment, index=0).uid == "first attempt"


def test_prints_and_odd_texts_do_no_harm(submit: Submit, worker: ThisWorker) -> None:
    experiment = submit(shards=1, units=2, behaviour="noisy", check=False)
    finish(worker)
    experiment.refresh_from_db()
    assert experiment.status == Status.FINISHED
    assert set(Problem.objects.filter(experiment=experiment).values_list("uid", flat=True)) == {"ab"}
    assert LogLine.objects.filter(experiment=experiment, text="nul  and half ? a pair").exists()
    assert not MetricSpan.objects.filter(experiment=experiment).exists()
    artifact = Artifact.objects.get(experiment=experiment)
    assert (artifact.name, artifact.size, artifact.file.read()) == ("noise.txt", 5, b"noise")


def test_rows_that_cannot_be_stored_fail_the_shard(submit: Submit, worker: ThisWorker) -> None:
    experiment = submit(shards=1, behaviour="bad-row")
    finish(worker)
    shard = experiment.shards.get(stage="work")
    assert (shard.status, shard.attempt) == (ShardStatus.FAILED, 3)
    assert shard.reason.startswith("the results could not be recorded")


def test_a_silent_runner_is_a_hang(submit: Submit, worker: ThisWorker, settings: object) -> None:
    settings.HANG_SECONDS = 0  # type: ignore[attr-defined]
    settings.MAX_ATTEMPTS = 1  # type: ignore[attr-defined]
    experiment = submit(shards=1, behaviour="slow")
    finish(worker)
    assert "no sign of life" in experiment.shards.get(stage="work").reason


@pytest.mark.parametrize("behaviour", ["slow", "stubborn", "child"])
def test_cancel_stops_the_work(submit: Submit, worker: ThisWorker, pool: ThreadPoolExecutor, behaviour: str) -> None:
    experiment = submit(shards=1, units=500, behaviour=behaviour)
    attempt = pool.submit(worker.work, "gpu")
    wait_for(lambda: units(experiment))
    runner = psutil.Process(worker._runner.pid)
    family = [runner, *runner.children(recursive=True)]
    services.cancel(experiment=experiment, by="Alice")
    asked = time.monotonic()
    drawn = len(units(experiment))
    attempt.result(10)
    print(f"stopped {time.monotonic() - asked:.2f} s after the request")
    experiment.refresh_from_db()
    assert (experiment.status, experiment.reason) == (Status.CANCELLED, "Cancelled by Alice.")
    assert len(units(experiment)) == drawn
    # A job that looks at ``cancelled`` leaves the runner warm; any other is killed with its children.
    assert [process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family] == [
        behaviour == "slow"
    ] * len(family)


def test_shutdown_gives_the_shard_back_without_counting_the_attempt(
    submit: Submit, worker: ThisWorker, pool: ThreadPoolExecutor
) -> None:
    experiment = submit(shards=1, units=100, behaviour="slow")
    attempt = pool.submit(worker.work, "gpu")
    wait_for(lambda: units(experiment))
    worker.stopping.set()
    attempt.result(10)
    shard = experiment.shards.get(stage="work")
    assert (shard.status, shard.attempt, shard.done) == (ShardStatus.QUEUED, 0, 0) or shard.done == len(
        units(experiment)
    )
    assert worker._runner.pid is None


def test_results_of_a_lost_lease_are_refused(submit: Submit, worker: ThisWorker, pool: ThreadPoolExecutor) -> None:
    """Another worker took the shard over: the first one's later rows do not count."""
    experiment = submit(shards=1, units=100, behaviour="slow")
    attempt = pool.submit(worker.work, "gpu")
    wait_for(lambda: units(experiment))
    lease = leases.Lease.of(experiment.shards.get(stage="work"))
    leases.fail(lease, "taken away")
    second = leases.claim_next("gpu", "gpu@other")
    assert second is not None and second.claim == lease.claim + 1
    drawn = units(experiment)
    attempt.result(10)
    assert units(experiment) == drawn
    shard = experiment.shards.get(stage="work")
    assert (shard.status, shard.worker) == (ShardStatus.RUNNING, "gpu@other")


def test_the_runner_imports_no_django() -> None:
    import subprocess
    import sys

    code = "import jobs.runner, jobs.kinds.base, sys; assert not any(m.split('.')[0] == 'django' for m in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path.cwd())
