"""What people do to experiments, through services."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from jobs import dispatch, leases, services
from jobs.models import Artifact, Experiment, Shard, Status
from jobs.worker import ThisWorker

pytestmark = pytest.mark.django_db(transaction=True)
Submit = Callable[..., Experiment]


def run_all(experiment: Experiment) -> None:
    """Finish every shard, without a runner."""
    while lease := leases.claim_next("gpu", "gpu@a") or leases.claim_next("cpu", "cpu@a"):
        leases.finish(lease)
    experiment.refresh_from_db()


def attempts(experiment: Experiment) -> dict[str, int]:
    return {str(shard): shard.claim for shard in experiment.shards.all()}


def test_submit_plans_all_stages(submit: Submit) -> None:
    experiment = submit(shards=2, units=3)
    assert experiment.stages == [
        {"name": "work", "queue": "gpu", "unit": "numbers"},
        {"name": "grade", "queue": "cpu", "unit": "numbers"},
        {"name": "wrap", "queue": "cpu", "unit": "files"},
    ]
    assert attempts(experiment) == {"work 0": 0, "work 1": 0, "grade 0": 0, "grade 1": 0, "wrap 0": 0}


def test_submit_rings_as_often_as_shards_are_queued(submit: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
    rings: list[tuple[str, int]] = []
    monkeypatch.setattr(dispatch, "ring", lambda queue, count=1: rings.append((queue, count)))
    submit(shards=7)
    assert rings == [("gpu", 7)]


def test_retry_does_only_what_failed(submit: Submit, settings: object) -> None:
    settings.MAX_ATTEMPTS = 1  # type: ignore[attr-defined]
    experiment = submit(shards=2)
    bad = leases.claim_next("gpu", "gpu@a")
    assert bad is not None
    leases.fail(bad, "broken")
    run_all(experiment)
    assert experiment.status == Status.FAILED
    services.retry(experiment=experiment)
    experiment.refresh_from_db()
    assert (experiment.status, experiment.reason, experiment.finished_at) == (Status.QUEUED, "", None)
    run_all(experiment)
    assert experiment.status == Status.FINISHED
    assert attempts(experiment) == {"work 0": 2, "work 1": 1, "grade 0": 1, "grade 1": 1, "wrap 0": 1}


def test_retry_goes_on_after_a_cancel(submit: Submit) -> None:
    experiment = submit(shards=2)
    done = leases.claim_next("gpu", "gpu@a")
    assert done is not None
    leases.finish(done)
    services.cancel(experiment=experiment, by="Alice")
    assert leases.claim_next("cpu", "cpu@a") is None
    services.retry(experiment=experiment)
    run_all(experiment)
    assert experiment.status == Status.FINISHED
    assert attempts(experiment) == {"work 0": 1, "work 1": 1, "grade 0": 1, "grade 1": 1, "wrap 0": 1}


def test_drawing_more_keeps_what_is_done_and_repeats_the_last_stage(submit: Submit) -> None:
    experiment = submit(shards=2)
    run_all(experiment)
    services.draw_more(experiment=experiment, samples=2)
    experiment.refresh_from_db()
    assert (experiment.status, experiment.spec["samples"]) == (Status.QUEUED, 2)
    run_all(experiment)
    assert experiment.status == Status.FINISHED
    assert attempts(experiment) == {
        **{f"work {i}": 1 for i in range(4)},
        **{f"grade {i}": 1 for i in range(4)},
        "wrap 0": 2,
    }


def test_drawing_more_while_it_runs(submit: Submit) -> None:
    experiment = submit(shards=1)
    lease = leases.claim_next("gpu", "gpu@a")
    assert lease is not None
    services.draw_more(experiment=experiment, samples=3)
    experiment.refresh_from_db()
    assert experiment.status == Status.RUNNING
    leases.finish(lease)  # the running shard is not disturbed
    run_all(experiment)
    assert set(attempts(experiment).values()) == {1} and len(attempts(experiment)) == 7


def test_grading_again_draws_nothing(submit: Submit) -> None:
    experiment = submit(shards=2)
    run_all(experiment)
    services.regrade(experiment=experiment, verifier="lenient")
    run_all(experiment)
    assert (experiment.status, experiment.spec["verifier"]) == (Status.FINISHED, "lenient")
    assert attempts(experiment) == {"work 0": 1, "work 1": 1, "grade 0": 2, "grade 1": 2, "wrap 0": 2}


@pytest.mark.parametrize(
    ("state", "act"),
    [
        (Status.FINISHED, lambda e: services.cancel(experiment=e, by="Alice")),
        (Status.FINISHED, lambda e: services.retry(experiment=e)),
        (Status.RUNNING, lambda e: services.retry(experiment=e)),
        (Status.FAILED, lambda e: services.draw_more(experiment=e, samples=5)),
        (Status.FINISHED, lambda e: services.draw_more(experiment=e, samples=1)),
        (Status.RUNNING, lambda e: services.regrade(experiment=e, verifier="strict")),
        (Status.RUNNING, lambda e: services.delete(experiment=e)),
        (Status.FINISHED, lambda e: services.set_priority(experiment=e, priority=9)),
    ],
)
def test_refused_with_a_sentence(submit: Submit, state: Status, act: Callable[[Experiment], None]) -> None:
    experiment = submit()
    Experiment.objects.update(status=state)
    before = list(Shard.objects.values())
    with pytest.raises(services.Refused, match=r"\.$|more\.$"):
        act(experiment)
    assert list(Shard.objects.values()) == before


def test_a_deleted_experiment_is_refused_in_words(submit: Submit) -> None:
    experiment = submit()
    Experiment.objects.all().delete()
    with pytest.raises(services.Refused, match="deleted"):
        services.cancel(experiment=experiment, by="Alice")


def test_deleting_removes_the_files(submit: Submit) -> None:
    experiment = submit()
    services.cancel(experiment=experiment, by="Alice")
    artifact = Artifact(experiment=experiment, name="a.txt", content_type="text/plain", size=1)
    artifact.file.save("a.txt", ContentFile(b"x"))
    name = artifact.file.name
    services.delete(experiment=experiment)
    assert not default_storage.exists(name) and not Experiment.objects.exists()


def test_work_goes_on_while_the_broker_is_away(submit: Submit, worker: ThisWorker, valkey: object) -> None:
    """Submitting, running and announcing need the database only; rings and broadcasts are made up later."""
    valkey.stop(5)  # type: ignore[attr-defined]
    experiment = submit(shards=2)
    while worker.work("gpu") or worker.work("cpu"):
        pass
    experiment.refresh_from_db()
    assert experiment.status == Status.FINISHED
    valkey.start()  # type: ignore[attr-defined]
