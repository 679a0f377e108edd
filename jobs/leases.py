"""Who runs which shard. The only module that changes ``Shard.status``.

A worker that claims a shard holds a Lease. Every claim raises ``Shard.claim``, and whoever writes must show the number
it got: after the lease ran out, was cancelled or was taken over, nothing that the old holder sends is accepted.

Every change first takes the experiment's next sequence number, which locks the experiment's row. So the changes of one
experiment follow one another, the roll-up always sees a consistent picture, and locks are taken in one order.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from jobs import dispatch, live, logbook, signals, usage
from jobs.models import ENDED, Experiment, Shard, ShardStatus, Status, next_seq
from jobs.selection import best_queued

logger = logging.getLogger(__name__)
S = ShardStatus

# From which states a shard may enter each state.
ENTERED_FROM: dict[str, tuple[str, ...]] = {
    S.WAITING: (S.QUEUED, S.RUNNING, S.DONE, S.FAILED, S.CANCELLED),  # done again: retry, draw more, grade again
    S.QUEUED: (S.WAITING, S.RUNNING),
    S.RUNNING: (S.QUEUED,),
    S.DONE: (S.RUNNING,),
    S.FAILED: (S.RUNNING,),
    S.CANCELLED: (S.WAITING, S.QUEUED, S.RUNNING),
}
_CLAIM_TRIES = 50  # a lost race means another worker made progress


class LeaseLost(Exception):
    """The shard is no longer this worker's: cancelled, deleted, or the lease ran out."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to run one shard."""

    shard_id: int
    experiment_id: int
    claim: int
    worker: str

    @classmethod
    def of(cls, shard: Shard) -> Lease:
        return cls(shard.pk, shard.experiment_id, shard.claim, shard.worker)


def lease_end() -> datetime:
    return timezone.now() + timedelta(seconds=settings.LEASE_SECONDS)


def _move(shards: QuerySet[Shard], to: str, **fields: Any) -> int:
    """Bring those shards whose state allows it into state ``to``; return how many."""
    return shards.filter(status__in=ENTERED_FROM[to]).update(status=to, **fields)


@contextmanager
def held(lease: Lease) -> Iterator[tuple[Shard, int]]:
    """A transaction in which the lease is certain to hold: the shard and the sequence number to stamp rows with."""
    with transaction.atomic():
        try:
            seq = next_seq(lease.experiment_id)
            shard = Shard.objects.select_related("experiment").get(
                pk=lease.shard_id, claim=lease.claim, status=S.RUNNING
            )
        except (Experiment.DoesNotExist, Shard.DoesNotExist):
            raise LeaseLost(f"shard {lease.shard_id} is no longer held under claim {lease.claim}") from None
        yield shard, seq


# --- a worker's view --------------------------------------------------------------------------------------------------


def claim_next(queue: str, worker: str) -> Lease | None:
    """Claim the best queued shard for ``worker``; None when none is queued."""
    for _ in range(_CLAIM_TRIES):
        shard = best_queued(queue)
        if shard is None:
            return None
        if lease := _claim(shard, worker):
            return lease
    return None


def _claim(shard: Shard, worker: str) -> Lease | None:
    """The conditional UPDATE that decides who runs the shard."""
    now = timezone.now()
    with transaction.atomic():
        try:
            seq = next_seq(shard.experiment_id)
        except Experiment.DoesNotExist:
            return None
        won = _move(
            Shard.objects.filter(pk=shard.pk, claim=shard.claim),
            S.RUNNING,
            claim=F("claim") + 1,
            attempt=F("attempt") + 1,
            worker=worker,
            lease_until=lease_end(),
            started_at=now,
            finished_at=None,
            resumed_from=F("done"),
            seq=seq,
        )
        if not won or usage.is_over(shard.experiment_id):
            transaction.set_rollback(True)
            return None
        Experiment.objects.filter(pk=shard.experiment_id, status=Status.QUEUED).update(
            status=Status.RUNNING, started_at=now
        )
        logbook.write(shard.experiment_id, seq, [logbook.Line(f"{shard} starts on {worker}.")], shard.pk)
        live.announce_on_commit(shard.experiment_id)
    return Lease(shard.pk, shard.experiment_id, shard.claim + 1, worker)


def extend(lease: Lease) -> None:
    """Renew the lease; raises LeaseLost."""
    mine = Shard.objects.filter(pk=lease.shard_id, claim=lease.claim, status=S.RUNNING)
    if not mine.update(lease_until=lease_end()):
        raise LeaseLost(f"shard {lease.shard_id} is no longer held under claim {lease.claim}")


def is_held(lease: Lease) -> bool:
    return Shard.objects.filter(pk=lease.shard_id, claim=lease.claim, status=S.RUNNING).exists()


def finish(lease: Lease) -> None:
    """The shard is done; what waited for it is queued; the experiment may be finished."""
    with held(lease) as (shard, seq):
        _leave(shard, S.DONE, seq, done=F("total"), reason="", log_tail="", finished_at=timezone.now())
        roll_up(shard.experiment_id, seq)


def fail(lease: Lease, reason: str, log_tail: str = "", *, final: bool = False) -> None:
    """The attempt ended badly: queue the shard again, or give up after MAX_ATTEMPTS or when the failure is final."""
    with held(lease) as (shard, seq):
        _end_attempt(shard, seq, reason, log_tail, final=final)


def release(lease: Lease, reason: str) -> None:
    """Give the shard back unharmed, as at a worker's orderly shutdown: the attempt does not count."""
    with held(lease) as (shard, seq):
        _leave(shard, S.QUEUED, seq, attempt=F("attempt") - 1)
        logbook.write(shard.experiment_id, seq, [logbook.Line(f"{shard} goes back to the queue: {reason}")], shard.pk)
        roll_up(shard.experiment_id, seq)
        dispatch.ring_on_commit({shard.queue: 1})


def _leave(shard: Shard, to: str, seq: int, **fields: Any) -> None:
    usage.record_attempt(shard, timezone.now())
    _move(Shard.objects.filter(pk=shard.pk), to, lease_until=None, seq=seq, **fields)


def _end_attempt(shard: Shard, seq: int, reason: str, log_tail: str, *, final: bool = False) -> None:
    given_up = final or shard.attempt >= settings.MAX_ATTEMPTS
    outcome = "another would fail too" if final else "no attempt is left" if given_up else "it is queued again"
    text = f"{shard}, attempt {shard.attempt} of {settings.MAX_ATTEMPTS}, failed: {reason.rstrip('.')}; {outcome}."
    logbook.write(shard.experiment_id, seq, [logbook.Line(text, "error" if given_up else "warning")], shard.pk)
    _leave(
        shard,
        S.FAILED if given_up else S.QUEUED,
        seq,
        reason=reason,
        log_tail=log_tail,
        finished_at=timezone.now() if given_up else None,
    )
    roll_up(shard.experiment_id, seq)
    if not given_up:
        dispatch.ring_on_commit({shard.queue: 1})


# --- from outside -----------------------------------------------------------------------------------------------------


def expire(now: datetime) -> int:
    """End the attempts whose lease ran out: their worker is gone, hung or cut off. Returns how many."""
    due = Q(status=S.RUNNING, lease_until__lt=now)
    return sum(
        _end_from_outside(shard, f"the worker {shard.worker} stopped answering", due)
        for shard in Shard.objects.filter(due)
    )


def reap(worker: str) -> int:
    """End the attempts a worker of this name left behind when it died: call it as the worker starts again."""
    held_before = Q(status=S.RUNNING, worker=worker)
    return sum(
        _end_from_outside(shard, f"the worker {worker} died", held_before)
        for shard in Shard.objects.filter(held_before)
    )


def _end_from_outside(shard: Shard, reason: str, still: Q) -> bool:
    try:
        with held(Lease.of(shard)) as (fresh, seq):
            if not Shard.objects.filter(still, pk=fresh.pk).exists():
                raise LeaseLost("extended meanwhile")
            _end_attempt(fresh, seq, reason, fresh.log_tail)
    except LeaseLost:
        return False
    return True


def cancel(experiment_id: int, reason: str) -> None:
    """Take back every shard that is not done. A worker that runs one finds its lease lost and stops within 2 s."""
    with transaction.atomic():
        seq = next_seq(experiment_id)
        now = timezone.now()
        for shard in Shard.objects.filter(experiment_id=experiment_id, status=S.RUNNING):
            usage.record_attempt(shard, now)
        _move(
            Shard.objects.filter(experiment_id=experiment_id), S.CANCELLED, lease_until=None, finished_at=now, seq=seq
        )
        Experiment.objects.filter(pk=experiment_id).update(status=Status.CANCELLED, reason=reason, finished_at=now)
        logbook.write(experiment_id, seq, [logbook.Line(reason, "warning")])
        summarise(experiment_id)
        signals.tell_ended(experiment_id)
        live.announce_on_commit(experiment_id)


def reopen(shards: QuerySet[Shard], seq: int) -> int:
    """Have shards done once more, with fresh attempts, when what they wait for is done. Call roll_up afterwards."""
    return _move(
        shards,
        S.WAITING,
        attempt=0,
        done=0,
        resumed_from=0,
        reason="",
        log_tail="",
        lease_until=None,
        started_at=None,
        finished_at=None,
        seq=seq,
    )


# --- stages and the experiment as a whole -----------------------------------------------------------------------------


def promote(experiment_id: int, seq: int) -> dict[str, int]:
    """Queue the waiting shards whose turn has come; returns how many per queue.

    A pairwise shard waits for the shard of its index in the stage before, one aside for none, any other for all
    earlier stages. One that is done regardless waits no longer once what is left of these can never start, if the
    stage before it came to anything.
    """
    siblings = Shard.objects.filter(experiment_id=experiment_id)
    finished_before = siblings.filter(stage_index=OuterRef("stage_index") - 1, status=S.DONE)
    partner = finished_before.filter(index=OuterRef("index"))
    earlier = siblings.filter(stage_index__lt=OuterRef("stage_index"))
    unfinished = earlier.exclude(status=S.DONE)
    open_now = earlier.filter(status__in=[S.QUEUED, S.RUNNING])
    their_turn = (
        Q(stage_index=0) | Q(aside=True) | Q(Exists(partner), pairwise=True) | Q(~Exists(unfinished), pairwise=False)
    )
    nothing_left = Q(Exists(finished_before), ~Exists(open_now), regardless=True)
    counts: dict[str, int] = {}
    for ready in (their_turn, nothing_left):  # in this order: what the first one queues is left to do
        found = list(siblings.filter(ready, status=S.WAITING).values_list("pk", "queue"))
        _move(siblings.filter(pk__in=[pk for pk, _ in found]), S.QUEUED, seq=seq)
        for _, queue in found:
            counts[queue] = counts.get(queue, 0) + 1
    return counts


def experiment_status(counts: dict[str, int], started: bool) -> Status:
    """The state of an experiment from how many of its shards are in which state."""
    if counts.get(S.QUEUED) or counts.get(S.RUNNING):
        return Status.RUNNING if started else Status.QUEUED
    if counts.get(S.FAILED):
        return Status.FAILED
    if counts.get(S.CANCELLED):
        return Status.CANCELLED
    return Status.FINISHED


def roll_up(experiment_id: int, seq: int) -> None:
    """Start what may start and bring the experiment's own state up to date, inside the caller's transaction."""
    dispatch.ring_on_commit(promote(experiment_id, seq))
    experiment = Experiment.objects.get(pk=experiment_id)
    counted = experiment.shards.filter(aside=False)
    counts = dict(counted.values_list("status").annotate(n=Count("id")).order_by())
    status = experiment_status(counts, experiment.started_at is not None)
    changed = status != experiment.status
    if changed:
        _enter(experiment, status, seq)
    summarise(experiment_id)
    if changed and status in ENDED:
        signals.tell_ended(experiment_id)
    live.announce_on_commit(experiment_id)


def _enter(experiment: Experiment, status: Status, seq: int) -> None:
    experiment.status = status
    experiment.finished_at = timezone.now() if status in ENDED else None
    if status == Status.FAILED:
        failed = experiment.shards.filter(status=S.FAILED, aside=False).order_by("stage_index", "index")
        first = failed.first()
        assert first is not None
        others = failed.count() - 1
        experiment.reason = f"{first} failed: {first.reason}" + (f" ({others} more failed)" if others else "")
    experiment.save(update_fields=["status", "finished_at", "reason"])
    if status in ENDED:
        logbook.write(experiment.pk, seq, [logbook.Line(f"The experiment {_ENDINGS[status]}.")])


_ENDINGS = {Status.FINISHED: "is finished", Status.FAILED: "failed", Status.CANCELLED: "was cancelled"}


def summarise(experiment_id: int) -> None:
    """Refresh what lists show. A kind's mistake there must not lose a finished shard."""
    experiment = Experiment.objects.get(pk=experiment_id)
    try:
        with transaction.atomic():
            summary = experiment.kind_object.summary(experiment)
    except Exception:
        logger.exception("the summary of experiment %s failed", experiment.code)
    else:
        Experiment.objects.filter(pk=experiment_id).update(summary=summary)
