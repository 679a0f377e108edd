"""Quotas, the time that is counted against them, the order of the queue, and workers that drain."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from jobs import leases, services, usage
from jobs.forecast import starts
from jobs.models import Artifact, Experiment, Quota, Shard, ShardStatus, Worker, WorkerTime
from jobs.selection import best_queued, waiting_order
from jobs.worker import ThisWorker
from webapp.accounts.models import Team

Submit = Callable[..., Experiment]


@pytest.fixture
def other(db: None) -> Team:
    return Team.objects.create(name="Reed lab")


def _ran(lease: leases.Lease, seconds: float) -> None:
    """As if the attempt had begun so long ago."""
    Shard.objects.filter(pk=lease.shard_id).update(started_at=timezone.now() - timedelta(seconds=seconds))


def _claim() -> leases.Lease:
    lease = leases.claim_next("gpu", "w")
    assert lease is not None
    return lease


def _order() -> list[int]:
    return [each.experiment.pk for each in waiting_order("gpu")]


# --- time -------------------------------------------------------------------------------------------------------------


def test_every_attempt_counts_however_it_ends(submit: Submit, team: Team) -> None:
    experiment = submit(shards=4, units=1)
    ends: list[Callable[[leases.Lease], Any]] = [
        leases.finish,
        lambda lease: leases.fail(lease, "broke"),
        lambda lease: leases.release(lease, "stopped"),
        lambda lease: services.cancel(experiment=experiment, by="Alice"),
    ]
    for end in ends:
        lease = _claim()
        _ran(lease, 100)
        end(lease)
    row = WorkerTime.objects.get()
    assert (row.team_id, row.queue, row.attempts) == (team.pk, "gpu", 4)
    assert row.seconds == pytest.approx(400, abs=20)


def test_a_lost_lease_counts_too_and_deleting_gives_nothing_back(submit: Submit, team: Team) -> None:
    experiment = submit(shards=1, units=1)
    _ran(_claim(), 50)
    leases.expire(timezone.now() + timedelta(days=1))
    services.cancel(experiment=experiment, by="Alice")
    services.delete(experiment=experiment)
    assert usage.uses(team.pk)["gpu_hours"].used == pytest.approx(50 / 3600, rel=0.3)


def test_only_this_months_time_counts(team: Team) -> None:
    now = datetime(2026, 11, 25, 12, tzinfo=UTC)
    for day, seconds in ((datetime(2026, 10, 31), 1.0), (datetime(2026, 11, 1), 2.0), (datetime(2026, 11, 25), 4.0)):
        WorkerTime.objects.create(team=team, day=day.date(), queue="gpu", seconds=seconds)
    WorkerTime.objects.create(team=team, day=now.date(), queue="cpu", seconds=8)
    assert usage.gpu_seconds([team.pk], now) == {team.pk: 6.0}


def test_the_sentence_names_the_next_month() -> None:
    assert "of December are used; new ones come on 1 January" in usage.hours_are_used(
        5, datetime(2026, 12, 31, tzinfo=UTC)
    )


# --- quotas -----------------------------------------------------------------------------------------------------------


def test_no_more_shards_at_once_than_the_quota(submit: Submit, team: Team, other: Team) -> None:
    Quota.objects.create(team=team, shards=2)
    submit(shards=5, units=1)
    first, _ = _claim(), _claim()
    assert leases.claim_next("gpu", "w") is None
    theirs = submit(team=other, shards=1, units=1)
    assert _claim().experiment_id == theirs.pk  # others are not held up
    leases.finish(first)
    _claim()
    assert leases.claim_next("gpu", "w") is None


def test_of_two_claims_at_once_the_second_is_taken_back(
    submit: Submit, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both workers looked before either claimed: the look does not decide, the claim does."""
    Quota.objects.create(team=team, shards=1)
    submit(shards=2, units=1)
    _claim()
    monkeypatch.setattr(usage, "blocked", lambda queue, teams: {})
    assert leases.claim_next("gpu", "late") is None
    assert Shard.objects.filter(status=ShardStatus.RUNNING).count() == 1


def test_used_hours_stop_new_shards_and_submits(submit: Submit, team: Team) -> None:
    Quota.objects.create(team=team, gpu_hours=1)
    experiment = submit(shards=2, units=1)
    lease = _claim()
    _ran(lease, 3601)
    assert leases.claim_next("gpu", "w") is None
    assert "1 GPU hours of" in waiting_order("gpu")[0].reason
    leases.finish(lease)  # what runs comes to its end
    with pytest.raises(services.Refused, match=r"GPU hours of .* Ask the operator"):
        submit(shards=1, units=1)
    assert Experiment.objects.get() == experiment
    Quota.objects.update(gpu_hours=2)
    submit(shards=1, units=1)


def test_a_full_storage_refuses_submits(submit: Submit, team: Team) -> None:
    experiment = submit(shards=1, units=1)
    Quota.objects.create(team=team, storage=10)
    Artifact.objects.create(experiment=experiment, name="a", content_type="x", size=10, file="a")
    with pytest.raises(services.Refused, match="fill its quota"):
        submit(shards=1, units=1)
    Artifact.objects.update(size=9)
    submit(shards=1, units=1)


# --- order ------------------------------------------------------------------------------------------------------------


def test_the_order_is_the_one_in_which_workers_take_them(submit: Submit, team: Team, other: Team) -> None:
    """Against the claims themselves: one shard each, no shard ends."""
    ours = [submit(shards=1, units=1) for _ in range(3)]
    theirs = [submit(team=other, shards=1, units=1) for _ in range(2)]
    urgent = submit(shards=1, units=1, priority=9)
    foretold = _order()
    taken = [_claim().experiment_id for _ in range(6)]
    assert taken == foretold
    assert taken[0] == urgent.pk
    assert set(taken[1:3]) <= {ours[0].pk, theirs[0].pk, theirs[1].pk}


def test_owners_order_their_own(submit: Submit, team: Team, other: Team) -> None:
    first, second, third = (submit(shards=1, units=1) for _ in range(3))
    services.reorder(team=team, experiments=[third, first])
    assert _order() == [third.pk, first.pk, second.pk]
    services.reorder(team=team, experiments=[second, third, first])
    assert _order() == [second.pk, third.pk, first.pk]
    best = best_queued("gpu")
    assert best is not None and best.experiment_id == second.pk
    with pytest.raises(services.Refused, match="own"):
        services.reorder(team=other, experiments=[first])


def test_priority_comes_before_place(submit: Submit, team: Team) -> None:
    low, high = submit(shards=1, units=1, priority=0), submit(shards=1, units=1, priority=9)
    services.reorder(team=team, experiments=[low, high])
    assert _order() == [high.pk, low.pk]


@pytest.mark.parametrize(
    ("free_in", "lengths", "expected"),
    [
        ([0.0], [10.0, 10.0, 10.0], [0.0, 10.0, 20.0]),
        ([5.0, 0.0], [10.0, 10.0, 10.0], [0.0, 5.0, 10.0]),
        ([None, 3.0], [None, 1.0], [3.0, None]),
        ([], [1.0], [None]),
        ([2.0], [], []),
    ],
)
def test_when_each_begins(
    free_in: list[float | None], lengths: list[float | None], expected: list[float | None]
) -> None:
    assert starts(free_in, lengths) == expected


# --- draining ---------------------------------------------------------------------------------------------------------


def test_a_draining_worker_takes_nothing_new(submit: Submit, worker: ThisWorker) -> None:
    submit(shards=2, units=1)
    worker._look()
    worker._write_row()
    Worker.objects.update(draining=True)
    assert worker.work("gpu") is False
    assert Shard.objects.filter(status=ShardStatus.QUEUED).count() == 2
    worker._write_row()  # a heartbeat does not end it
    assert Worker.objects.get().draining
    Worker.objects.update(draining=False)
    assert worker.work("gpu") is True
