"""Claims, leases, fencing, stages. Everything here runs on SQLite and PostgreSQL."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from jobs import leases, reconciler, services
from jobs.leases import ENTERED_FROM, Lease, LeaseLost, claim_next
from jobs.models import Experiment, LogLine, Shard, ShardStatus, Status, Worker
from webapp.accounts.models import Team

pytestmark = pytest.mark.django_db(transaction=True)
Submit = Callable[..., Experiment]


def claimed(queue: str = "gpu", worker: str = "gpu@a") -> Lease:
    lease = claim_next(queue, worker)
    assert lease is not None
    return lease


def states(experiment: Experiment, stage: str) -> list[str]:
    return list(experiment.shards.filter(stage=stage).order_by("index").values_list("status", flat=True))


def make_due(lease: Lease) -> None:
    Shard.objects.filter(pk=lease.shard_id).update(lease_until=timezone.now() - timedelta(seconds=1))


# --- claims -----------------------------------------------------------------------------------------------------------


def test_every_shard_is_claimed_exactly_once_by_many_workers(submit: Submit) -> None:
    submit(shards=12)
    submit(shards=8)
    start = threading.Barrier(6)

    def greedy(name: str) -> list[int]:
        start.wait()
        taken = []
        while lease := claim_next("gpu", name):
            taken.append(lease.shard_id)
        connection.close()
        return taken

    with ThreadPoolExecutor(6) as pool:
        taken = [pk for part in pool.map(greedy, "abcdef") for pk in part]
    assert sorted(taken) == sorted(Shard.objects.filter(stage="work").values_list("pk", flat=True))
    assert set(Shard.objects.filter(stage="work").values_list("attempt", "claim")) == {(1, 1)}


def test_claiming_starts_the_experiment(submit: Submit) -> None:
    experiment = submit()
    assert (experiment.status, experiment.started_at) == (Status.QUEUED, None)
    claimed()
    experiment.refresh_from_db()
    assert experiment.status == Status.RUNNING and experiment.started_at
    assert claim_next("cpu", "cpu@a") is None


def test_order_is_priority_then_team_share_then_age(submit: Submit) -> None:
    other = Team.objects.create(name="Other")
    first = submit(shards=4)
    submit(shards=4)
    theirs = submit(shards=4, team=other)
    urgent = submit(shards=1, team=other, priority=9)
    order = [Shard.objects.get(pk=claimed().shard_id) for _ in range(7)]
    assert [shard.experiment_id for shard in order[:1]] == [urgent.pk]
    assert Counter(shard.experiment.team_id for shard in order[1:]) == {first.team_id: 3 + 0, other.pk: 3}
    assert [shard.index for shard in order if shard.experiment_id == first.pk] == [0, 1, 2]
    assert [shard.index for shard in order if shard.experiment_id == theirs.pk] == [0, 1, 2]


# --- fencing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [leases.extend, leases.finish, lambda lease: leases.fail(lease, "late"),
                                   lambda lease: leases.release(lease, "late")])  # fmt: skip
def test_an_older_claim_is_refused(submit: Submit, write: Callable[[Lease], None]) -> None:
    submit(shards=1)
    old = claimed()
    make_due(old)
    assert leases.expire(timezone.now()) == 1
    new = claimed(worker="gpu@b")
    assert (new.shard_id, new.claim) == (old.shard_id, old.claim + 1)
    before = Experiment.objects.get().last_seq
    with pytest.raises(LeaseLost):
        write(old)
    assert Experiment.objects.get().last_seq == before
    leases.extend(new)


def test_a_deleted_experiment_is_a_lost_lease(submit: Submit) -> None:
    submit(shards=1)
    lease = claimed()
    Experiment.objects.all().delete()
    with pytest.raises(LeaseLost):
        leases.finish(lease)


def test_only_due_leases_expire(submit: Submit) -> None:
    submit(shards=2)
    due, fresh = claimed(), claimed(worker="gpu@b")
    make_due(due)
    assert leases.expire(timezone.now()) == 1
    leases.extend(fresh)
    shard = Shard.objects.get(pk=due.shard_id)
    assert (shard.status, shard.reason) == (ShardStatus.QUEUED, "the worker gpu@a stopped answering")


def test_a_worker_that_comes_back_finds_its_shards_queued(submit: Submit) -> None:
    submit(shards=2)
    claimed(worker="gpu@a"), claimed(worker="gpu@b")
    assert leases.reap("gpu@a") == 1
    assert Counter(Shard.objects.filter(stage="work").values_list("status", flat=True)) == {"queued": 1, "running": 1}


# --- attempts ---------------------------------------------------------------------------------------------------------


def test_three_attempts_then_failed(submit: Submit) -> None:
    experiment = submit(shards=2)
    healthy = claimed(worker="gpu@b")
    for attempt in (1, 2, 3):
        lease = claimed()
        assert Shard.objects.get(pk=lease.shard_id).attempt == attempt
        leases.fail(lease, "out of memory", "the tail")
    experiment.refresh_from_db()
    assert (states(experiment, "work"), experiment.status) == (["running", "failed"], Status.RUNNING)
    leases.finish(healthy)
    leases.finish(claimed("cpu"))  # what the healthy shard made is still graded
    experiment.refresh_from_db()
    assert (experiment.status, experiment.reason) == (Status.FAILED, "work 1 failed: out of memory")
    assert states(experiment, "wrap") == ["waiting"]
    assert Shard.objects.get(pk=lease.shard_id).log_tail == "the tail"
    assert LogLine.objects.filter(level="error", text__contains="attempt 3 of 3, failed: out of memory").exists()


def test_a_final_failure_is_not_tried_again(submit: Submit) -> None:
    experiment = submit(shards=1)
    leases.fail(claimed(), "line 3 is wrong", final=True)
    experiment.refresh_from_db()
    assert (states(experiment, "work"), experiment.status) == (["failed"], Status.FAILED)
    assert LogLine.objects.filter(level="error", text__contains="attempt 1 of 3, failed: line 3 is wrong").exists()


def test_a_release_is_no_attempt(submit: Submit) -> None:
    submit(shards=1)
    for _ in range(5):
        leases.release(claimed(), "the worker shuts down.")
    shard = Shard.objects.get(stage="work")
    assert (shard.status, shard.attempt, shard.claim) == (ShardStatus.QUEUED, 0, 5)


# --- stages -----------------------------------------------------------------------------------------------------------


def test_pairwise_shards_follow_their_partner_and_barriers_everybody(submit: Submit) -> None:
    experiment = submit(shards=2)
    assert states(experiment, "grade") == ["waiting", "waiting"]
    first, second = claimed(), claimed()
    leases.finish(second)
    assert states(experiment, "grade") == ["waiting", "queued"]
    leases.finish(claimed("cpu"))
    assert states(experiment, "wrap") == ["waiting"]
    leases.finish(first)
    leases.finish(claimed("cpu"))
    assert states(experiment, "wrap") == ["queued"]
    leases.finish(claimed("cpu"))
    experiment.refresh_from_db()
    assert experiment.status == Status.FINISHED and experiment.finished_at


def test_what_is_done_regardless_waits_for_all_that_can_still_be_done(submit: Submit) -> None:
    experiment = submit(shards=3, regardless=True)
    leases.fail(claimed(), "not a number", final=True)
    leases.finish(claimed())
    third = claimed()
    leases.finish(claimed("cpu"))  # the second one's grade
    assert (states(experiment, "grade"), states(experiment, "wrap")) == (["waiting", "done", "waiting"], ["waiting"])
    leases.fail(third, "not a number", final=True)
    assert states(experiment, "wrap") == ["queued"]
    leases.finish(claimed("cpu"))
    experiment.refresh_from_db()
    assert experiment.status == Status.FAILED
    assert experiment.reason == "work 0 failed: not a number (1 more failed)"

    services.retry(experiment=experiment)
    assert states(experiment, "work") == ["queued", "done", "queued"]
    assert (states(experiment, "grade"), states(experiment, "wrap")) == (["waiting", "done", "waiting"], ["waiting"])
    for _ in range(2):
        leases.finish(claimed())
        leases.finish(claimed("cpu"))
    leases.finish(claimed("cpu"))
    experiment.refresh_from_db()
    assert (states(experiment, "wrap"), experiment.status) == (["done"], Status.FINISHED)


def test_nothing_is_made_of_nothing(submit: Submit) -> None:
    experiment = submit(shards=1, regardless=True)
    leases.fail(claimed(), "not a number", final=True)
    experiment.refresh_from_db()
    assert (states(experiment, "wrap"), experiment.status) == (["waiting"], Status.FAILED)


def test_the_death_of_what_is_done_regardless_changes_no_other_state(submit: Submit) -> None:
    experiment = submit(shards=2, regardless=True)
    leases.fail(claimed(), "not a number", final=True)
    leases.finish(claimed())
    leases.finish(claimed("cpu"))
    make_due(claimed("cpu"))  # its worker is killed
    assert leases.expire(timezone.now()) == 1
    experiment.refresh_from_db()
    assert (states(experiment, "wrap"), experiment.status) == (["queued"], Status.RUNNING)
    leases.finish(claimed("cpu"))
    experiment.refresh_from_db()
    assert (experiment.status, experiment.reason) == (Status.FAILED, "work 0 failed: not a number")


def test_finishing_at_the_same_moment_starts_the_last_stage_once(submit: Submit) -> None:
    """The race that chords lose: the last two shards finish together."""
    for _ in range(5):
        experiment = submit(shards=4, check=False)
        held = [claimed(worker=name) for name in "abcd"]
        start = threading.Barrier(4)

        def end(lease: Lease, start: threading.Barrier = start) -> None:
            start.wait()
            leases.finish(lease)
            connection.close()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(end, held))
        experiment.refresh_from_db()
        assert experiment.status == Status.FINISHED


def test_the_table_of_transitions_is_closed() -> None:
    """Every state can be entered or is the first, ended ones only by reopening."""
    assert set(ENTERED_FROM) == set(ShardStatus.values)
    for state in (ShardStatus.DONE, ShardStatus.FAILED, ShardStatus.CANCELLED):
        assert [to for to, sources in ENTERED_FROM.items() if state in sources] == [ShardStatus.WAITING]


# --- reconciler -------------------------------------------------------------------------------------------------------


def test_reconciler_rings_once_per_idle_worker(submit: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
    submit(shards=5)
    lease = claimed()
    rings: list[tuple[str, int]] = []
    monkeypatch.setattr("jobs.dispatch.ring", lambda queue, count=1: rings.append((queue, count)))
    for name, shard in (("gpu@a", lease.shard_id), ("gpu@b", None), ("gpu@c", None)):
        Worker.objects.create(name=name, queue="gpu", host="h", device="CPU", pid=1, shard_id=shard)
    reconciler.reconcile()
    assert rings == [("gpu", 2)]


def test_reconciler_mends_what_a_crash_left(submit: Submit) -> None:
    """A lease that ran out, a vanished worker, an experiment whose last roll-up never happened."""
    experiment = submit(shards=1, check=False)
    lease = claimed()
    make_due(lease)
    hour_ago = timezone.now() - timedelta(hours=1)
    Worker.objects.create(name="gone", queue="gpu", host="h", device="CPU", pid=1, heartbeat_at=hour_ago)
    reconciler.reconcile()
    assert states(experiment, "work") == ["queued"]
    assert not Worker.objects.exists()
    Shard.objects.update(status=ShardStatus.DONE)
    reconciler.reconcile()
    experiment.refresh_from_db()
    assert experiment.status == Status.FINISHED


def test_cancel_then_late_finish(submit: Submit) -> None:
    experiment = submit(shards=2)
    lease = claimed()
    services.cancel(experiment=experiment, by="Alice")
    with pytest.raises(LeaseLost):
        leases.finish(lease)
    assert set(states(experiment, "work") + states(experiment, "grade")) == {"cancelled"}
