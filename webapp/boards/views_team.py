"""The team's page: what runs, what ended, what was used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, F, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_safe

from jobs.live import alive_workers
from jobs.models import ENDED, Experiment, Status
from jobs.progress import Progress, progress_of
from webapp.accounts.models import Team
from webapp.boards.usage import DAYS, Usage, usage_of
from webapp.experiments.access import get_team

SHOWN = 12  # experiments that run or wait, and that ended
BOARDS_SHOWN = 6
WEEK = 7


@dataclass(frozen=True, slots=True)
class Going:
    """A line of what runs and waits."""

    experiment: Experiment
    progress: Progress | None


@require_safe
def team_home(request: HttpRequest, team: UUID) -> HttpResponse:
    """With ``X-Part: now`` only what changes from second to second, for the page that keeps itself fresh."""
    found, membership = get_team(request, team)
    context = _now(found) | {"team": found, "membership": membership}
    if request.headers.get("X-Part") == "now":
        response = render(request, "boards/team_now.html", context)
    else:
        usage = usage_of(found)
        boards = found.boards.order_by("-updated_at").only("code", "title", "updated_at")[:BOARDS_SHOWN]
        context |= {
            "usage": usage,
            "figures": _figures(usage),
            "series": usage.as_json(),
            "days": DAYS,
            "boards": boards,
        }
        response = render(request, "boards/team.html", context)
    response.headers["Cache-Control"] = "private, no-cache"
    patch_vary_headers(response, ["Cookie", "X-Part"])
    return response


def _now(team: Team) -> dict[str, Any]:
    mine = Experiment.objects.filter(team=team).select_related("owner")
    going = mine.filter(status__in=[Status.RUNNING, Status.QUEUED])
    # What runs stands above what waits; the oldest of each first, as the queue takes them.
    lines = list(going.order_by(F("started_at").asc(nulls_last=True), "-priority", "created_at")[:SHOWN])
    progress = progress_of([each for each in lines if each.status == Status.RUNNING])
    week = timezone.now() - timedelta(days=WEEK)
    counts = Experiment.objects.filter(team=team).aggregate(
        total=Count("pk"),
        running=Count("pk", filter=Q(status=Status.RUNNING)),
        queued=Count("pk", filter=Q(status=Status.QUEUED)),
        ended=Count("pk", filter=Q(status__in=ENDED, finished_at__gt=week)),
        failed=Count("pk", filter=Q(status=Status.FAILED, finished_at__gt=week)),
    )
    workers = list(alive_workers().values_list("shard_id", flat=True))
    return {
        "going": [Going(each, progress.get(each.pk)) for each in lines],
        "ended": mine.filter(status__in=ENDED).order_by(F("finished_at").desc(nulls_last=True), "-pk")[:SHOWN],
        "counts": counts,
        "workers": {"all": len(workers), "busy": sum(shard is not None for shard in workers)},
        "shown": SHOWN,
    }


def _figures(usage: Usage) -> dict[str, Any]:
    """The key figures about use: this week against the one before, and the spend."""
    this = usage.hours_on(usage.days[-WEEK:])
    before = usage.hours_on(usage.days[-2 * WEEK : -WEEK])
    by_day = [usage.hours_on([day]) for day in usage.days[-2 * WEEK :]]
    return {
        "hours": this,
        "hours_before": before,
        "change": 100 * (this - before) / before if before else None,
        "spark": by_day,
        "spent": sum(usage.dollars.values()),
        "all_hours": sum(usage.hours.values()),
        "unpriced": sorted(usage.unpriced.items(), key=lambda item: -item[1]),
    }
