"""What waits for workers, in which order, why, and when its turn comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Avg, DurationField, ExpressionWrapper, F
from django.utils import timezone

from jobs.forecast import starts
from jobs.live import alive_workers
from jobs.models import Experiment, Queue, Shard, ShardStatus
from jobs.selection import Waiting, waiting_order
from webapp.accounts.models import Team


@dataclass(frozen=True, slots=True)
class Place:
    """A row of the queue page. Another team's experiment takes its place and tells nothing else."""

    waiting: Waiting
    is_own: bool
    starts_in: float | None  # seconds
    why: str

    @property
    def experiment(self) -> Experiment:
        return self.waiting.experiment


@dataclass(frozen=True, slots=True)
class Line:
    """One queue: "gpu" or "cpu"."""

    queue: Queue
    workers: int  # alive
    busy: int
    places: list[Place]

    @property
    def own(self) -> list[Experiment]:
        return [place.experiment for place in self.places if place.is_own]


def line_of(queue: Queue, team: Team) -> Line:
    """The queue as the team may see it. A fixed number of queries."""
    waiting = waiting_order(queue)
    workers = list(alive_workers().filter(queue=queue).select_related("shard"))
    free_in = [_remaining(worker.shard) for worker in workers if not worker.draining]
    lengths = _shard_seconds([each.experiment for each in waiting], queue)
    turns = iter(starts(free_in, (lengths.get(each.experiment.pk) for each in waiting if each.position)))
    places = []
    for each in waiting:
        starts_in = next(turns) if each.position else None
        is_own = each.experiment.team_id == team.pk
        places.append(Place(each, is_own, starts_in, _why(each, queue, len(workers), len(free_in), is_own)))
    return Line(queue, len(workers), sum(worker.shard_id is not None for worker in workers), places)


def _remaining(shard: Shard | None) -> float | None:
    """Seconds until a worker has done its shard, at the rate so far; 0 when it has none."""
    if shard is None:
        return 0.0
    fresh = shard.done - shard.resumed_from
    if shard.started_at is None or fresh <= 0:
        return None
    return (shard.total - shard.done) * (timezone.now() - shard.started_at).total_seconds() / fresh


def _shard_seconds(experiments: Sequence[Experiment], queue: Queue) -> dict[int, float]:
    """How long a shard of each experiment took so far, of those that have finished any."""
    took = ExpressionWrapper(F("finished_at") - F("started_at"), output_field=DurationField())
    done = Shard.objects.filter(
        experiment__in=experiments, queue=queue, status=ShardStatus.DONE, started_at__isnull=False
    )
    rows = done.values_list("experiment_id").annotate(mean=Avg(took)).order_by()
    return {pk: mean.total_seconds() for pk, mean in rows if mean is not None}


def _why(each: Waiting, queue: Queue, workers: int, taking: int, is_own: bool) -> str:
    if each.reason:
        return each.reason if is_own else "Its team's quota is used."
    if not workers:
        return f"No {queue.label} worker is running. Start one with: python manage.py worker {queue.value}"
    if not taking:
        return "All workers are draining: they take nothing new."
    if each.running:
        return f"{each.running:,} of its shards run; the others wait for more workers."
    if each.position == 1:
        return "The next free worker takes it."
    return "Others are before it."
