"""Which queued shard a free worker takes, asked of the database."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Count, Max, Min, Q

from jobs import fairness
from jobs.models import ENDED, Shard, ShardStatus


def best_queued(queue: str) -> Shard | None:
    """By priority, the teams' fair share, the experiments' age and the plan's order; None when nothing is queued."""
    queued = Shard.objects.filter(queue=queue, status=ShardStatus.QUEUED)
    groups = list(
        queued.values("experiment__team_id", "experiment__priority").annotate(oldest=Min("experiment__created_at"))
    )
    teams = {group["experiment__team_id"] for group in groups}
    running, served = _team_loads(queue, teams) if len(teams) > 1 else ({}, {})
    best = fairness.choose(
        fairness.Claimant(
            team_id=(team := group["experiment__team_id"]),
            priority=group["experiment__priority"],
            running=running.get(team, 0),
            last_served=served.get(team),
            oldest=group["oldest"],
        )
        for group in groups
    )
    if best is None:
        return None
    of_team = queued.filter(experiment__team_id=best.team_id, experiment__priority=best.priority)
    # Later stages first: what is begun comes to its results before more is begun, and a live page has them early.
    return of_team.order_by("experiment__created_at", "experiment_id", "-stage_index", "index").first()


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
