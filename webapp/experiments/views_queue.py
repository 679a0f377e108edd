"""The queue of a team and the machines that work it off: reorder, drain."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.defaultfilters import filesizeformat
from django.views.decorators.http import require_POST, require_safe

from jobs import services, usage
from jobs.models import Experiment, Queue, Worker
from webapp.accounts.models import User
from webapp.experiments.access import get_team
from webapp.experiments.queue import line_of


@require_safe
def queue(request: HttpRequest, team: UUID) -> HttpResponse:
    """What waits on both queues, in the order in which workers take it."""
    found, membership = get_team(request, team)
    return render(
        request,
        "experiments/queue.html",
        {
            "team": found,
            "membership": membership,
            "lines": [line_of(each, found) for each in (Queue.GPU, Queue.CPU)],
            "uses": [_shown(name, use) for name, use in usage.uses(found.pk).items()],
        },
    )


def _shown(name: str, use: usage.Use) -> dict[str, Any]:
    """A line of the quota in words."""

    def words(number: float) -> str:
        if name == "storage":
            return filesizeformat(number)
        return f"{number:,.1f}" if name == "gpu_hours" else f"{number:,.0f}"

    return {
        "name": use.name[:1].upper() + use.name[1:],
        "used": words(use.used),
        "limit": "" if use.limit is None else words(use.limit),
        "value": min(use.used, use.limit or 0),
        "most": use.limit or 0,
        "is_full": use.is_full,
    }


@require_POST
def reorder(request: HttpRequest, team: UUID) -> HttpResponse:
    """``order``: codes of the team's experiments, first first; or ``move`` (a code) and ``by`` (-1 up, 1 down)."""
    found, membership = get_team(request, team)
    if not membership.can_manage:
        raise PermissionDenied("Only owners order the queue.")
    codes = request.POST.getlist("order")
    if move := request.POST.get("move"):
        codes = _moved(codes, move, -1 if request.POST.get("by") == "-1" else 1)
    named = {str(each.code): each for each in Experiment.objects.filter(team=found, code__in=_uuids(codes))}
    if not codes or len(named) != len(set(codes)):
        raise Http404("No such experiment.")
    services.reorder(team=found, experiments=[named[code] for code in codes])
    messages.success(request, "The order is changed. Priorities and other teams' fair share still come first.")
    return redirect("queue", team)


def _moved(codes: list[str], code: str, by: int) -> list[str]:
    if code not in codes:
        raise Http404("No such experiment.")
    rest = [each for each in codes if each != code]
    rest.insert(max(0, codes.index(code) + by), code)
    return rest


def _uuids(codes: list[str]) -> list[UUID]:
    try:
        return [UUID(code) for code in codes]
    except ValueError:
        raise Http404("No such experiment.") from None


@require_POST
def drain(request: HttpRequest, team: UUID, worker: str) -> HttpResponse:
    """Operators only: ``on`` (1 or 0). A draining worker finishes its shard and takes nothing new."""
    get_team(request, team)
    if not cast(User, request.user).is_operator:
        raise PermissionDenied("Only operators drain workers.")
    draining = request.POST.get("on") == "1"
    found = Worker.objects.filter(name=worker).first()
    if found is None:
        raise Http404("No such worker.")
    services.drain(worker=found, draining=draining)
    done = "finishes what it does and takes nothing new" if draining else "takes shards again"
    messages.success(request, f"{found.name} {done}.")
    return redirect("workers", team)
