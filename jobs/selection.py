"""Which queued shard a free worker takes, and so in which order experiments wait, asked of the database."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db.models import Count, Max, Min, Q
from django.utils import timezone

from jobs import fairness, usage
from jobs.fairness import Claimant
from jobs.models import ENDED, Experiment, Shard, ShardStatus

# Within a team and a priority: as owners ordered them, then the oldest.
_IN_TURN = ("experiment__place", "experiment__created_at", "experiment_id")


def best_queued(queue: str) -> Shard | None:
    """By priority, the teams' fair share, the experiments' order and the plan's; None when nothing may be taken."""
    claimants, _ = _claimants(queue)
    best = fairness.choose(claimants)
    if best is None:
        return None
    queued = Shard.objects.filter(queue=queue, status=ShardStatus.QUEUED)
    of_team = queued.filter(experiment__team_id=best.team_id, experiment__priority=best.priority)
    # Later stages first: what is begun comes to its results before more is begun, and a live page has them early.
    return of_team.order_by(*_IN_TURN, "-stage_index", "index").first()


def _claimants(queue: str) -> tuple[list[Claimant], dict[int, str]]:
    """Who competes for a free worker, and which teams may not now and why (see jobs.usage)."""
    queued = Shard.objects.filter(queue=queue, status=ShardStatus.QUEUED)
    groups = list(
        queued.values("experiment__team_id", "experiment__priority").annotate(oldest=Min("experiment__created_at"))
    )
    teams = {group["experiment__team_id"] for group in groups}
    blocked = usage.blocked(queue, teams) if teams else {}
    running, served = _team_loads(queue, teams) if len(teams) > 1 else ({}, {})
    found = [
        Claimant(
            team_id=(team := group["experiment__team_id"]),
            priority=group["experiment__priority"],
            running=running.get(team, 0),
            last_served=served.get(team),
            oldest=group["oldest"],
        )
        for group in groups
        if group["experiment__team_id"] not in blocked
    ]
    return found, blocked


def _team_loads(queue: str, teams: set[int]) -> tuple[dict[int, int], dict[int, datetime]]:
    """Running shards and the last start per team, over experiments that are still open."""
    rows = (
        Shard.objects.filter(queue=queue, experiment__team_id__in=teams, started_at__isnull=False)
        .exclude(experiment__status__in=ENDED)
        .values("experiment__team_id")
        .annotate(running=Count("id", filter=Q(status=ShardStatus.RUNNING)), served=Max("started_at"))
    )
    return (
        {row["experiment__team_id"]: row["running"] for row in rows},
        {row["experiment__team_id"]: row["served"] for row in rows},
    )


@dataclass(frozen=True, slots=True)
class Waiting:
    """An experiment with queued shards on one queue."""

    experiment: Experiment
    queued: int  # shards
    running: int  # shards, on the same queue
    position: int | None  # 1: the next free worker takes one of its shards; None: the team may not now
    reason: str  # why none is taken, where position is None


def waiting_order(queue: str) -> list[Waiting]:
    """All open experiments with queued shards, as free workers would begin with them; those that may not begin last.

    The order is the one that `best_queued` gives, one worker after the other, if nothing else happens meanwhile.
    """
    claimants, blocked = _claimants(queue)
    rows = _queued_experiments(queue)
    lines: dict[tuple[int, int], list[Experiment]] = {}
    for experiment in rows:
        lines.setdefault((experiment.team_id, experiment.priority), []).append(experiment)
    order: list[Experiment] = []
    now = timezone.now()
    while claimants:
        best = fairness.choose(claimants)
        assert best is not None
        line = lines[best.team_id, best.priority]
        order.append(line.pop(0))
        claimants = [_served(each, best.team_id, now + timedelta(microseconds=len(order))) for each in claimants]
        claimants = [each for each in claimants if lines[each.team_id, each.priority]]
    places = {experiment.pk: place for place, experiment in enumerate(order, 1)}
    waiting = [
        Waiting(each, rows[each][0], rows[each][1], places.get(each.pk), blocked.get(each.team_id, "")) for each in rows
    ]
    return sorted(waiting, key=lambda each: (each.position is None, each.position))


def _served(claimant: Claimant, team_id: int, now: datetime) -> Claimant:
    """As it stands after a worker took a shard of the team."""
    if claimant.team_id != team_id:
        return claimant
    return replace(claimant, running=claimant.running + 1, last_served=now)


def _queued_experiments(queue: str) -> dict[Experiment, tuple[int, int]]:
    """Experiments in turn within each team and priority, with their queued and running shards."""
    on_queue = Q(shards__queue=queue)
    found = (
        Experiment.objects.exclude(status__in=ENDED)
        .annotate(
            n_queued=Count("shards", filter=on_queue & Q(shards__status=ShardStatus.QUEUED)),
            n_running=Count("shards", filter=on_queue & Q(shards__status=ShardStatus.RUNNING)),
        )
        .filter(n_queued__gt=0)
        .select_related("team", "owner")
        .order_by("place", "created_at", "pk")
    )
    return {each: (each.n_queued, each.n_running) for each in found}
