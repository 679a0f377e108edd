"""Operations on what waits for workers, and on the workers."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from ninja import Router

from jobs import services, usage
from jobs.live import alive_workers
from jobs.models import Experiment, Queue, Worker
from webapp.accounts.models import Team
from webapp.api.auth import reach_team, token_of
from webapp.api.errors import Problem
from webapp.api.schemas import PRIORITY_NAMES, DrainIn, Listing, QueueOrderIn, QueueOut, WorkerOut
from webapp.experiments.queue import Line, line_of

router = Router(tags=["workers"])


@router.get("/teams/{uuid:team}/workers", response=Listing[WorkerOut], operation_id="list_workers")
def list_workers(request: HttpRequest, team: UUID) -> dict[str, Any]:
    """Every worker that reported itself. What it does for another team is not told."""
    found, _ = reach_team(request, team)
    workers = Worker.objects.select_related("shard__experiment").order_by("host", "name")
    alive = set(alive_workers().values_list("pk", flat=True))
    return {"items": [_worker(worker, found, worker.pk in alive) for worker in workers], "next_cursor": None}


@router.post("/teams/{uuid:team}/workers/drain", response=WorkerOut, operation_id="drain_worker")
def drain_worker(request: HttpRequest, team: UUID, body: DrainIn) -> dict[str, Any]:
    """Have a worker finish its shard and take nothing new, or take shards again. Operators only."""
    found, _ = reach_team(request, team)
    token = token_of(request)
    if token.user is None or not token.user.is_operator or not token.can_write:
        raise PermissionDenied("Only an operator of this installation can do this, with a write token of their own.")
    worker = Worker.objects.select_related("shard__experiment").filter(name=body.worker).first()
    if worker is None:
        raise Http404("no such worker")
    services.drain(worker=worker, draining=body.draining)
    return _worker(worker, found, alive_workers().filter(pk=worker.pk).exists())


@router.get("/teams/{uuid:team}/queue", response=QueueOut, operation_id="get_queue")
def get_queue(request: HttpRequest, team: UUID) -> dict[str, Any]:
    """What waits, in the order in which workers take it, and what the team uses of its quota. Other teams' experiments
    take their places and tell nothing else."""
    found, _ = reach_team(request, team)
    lines = [line_of(queue, found) for queue in (Queue.GPU, Queue.CPU)]
    return {
        "queues": [_line(line) for line in lines],
        "uses": {name: {"used": use.used, "limit": use.limit} for name, use in usage.uses(found.pk).items()},
    }


@router.post("/teams/{uuid:team}/queue/order", response=QueueOut, operation_id="order_queue")
def order_queue(request: HttpRequest, team: UUID, body: QueueOrderIn) -> dict[str, Any]:
    """Have the team's experiments begin in this order, as far as their priorities are alike. Owners only."""
    found, _ = reach_team(request, team, manage=True)
    named = {each.code: each for each in Experiment.objects.filter(team=found, code__in=body.experiments)}
    unknown = [str(code) for code in body.experiments if code not in named]
    if unknown:
        raise Problem(422, "The order was not changed.", errors={"experiments": f"Not the team's: {unknown[0]}."})
    services.reorder(team=found, experiments=[named[code] for code in dict.fromkeys(body.experiments)])
    return get_queue(request, team)


def _line(line: Line) -> dict[str, Any]:
    return {
        "queue": line.queue.value,
        "workers": line.workers,
        "busy": line.busy,
        "waiting": [
            {
                "position": place.waiting.position,
                "experiment": place.experiment.code if place.is_own else None,
                "name": place.experiment.name if place.is_own else None,
                "priority": PRIORITY_NAMES.get(place.experiment.priority, "normal"),
                "shards_queued": place.waiting.queued if place.is_own else None,
                "shards_running": place.waiting.running if place.is_own else None,
                "why": place.why,
                "starts_in_seconds": place.starts_in,
            }
            for place in line.places
        ],
    }


def _worker(worker: Worker, team: Team, is_alive: bool) -> dict[str, Any]:
    return {
        "name": worker.name,
        "queue": worker.queue,
        "host": worker.host,
        "device": worker.device,
        "is_alive": is_alive,
        "draining": worker.draining,
        "heartbeat_at": worker.heartbeat_at,
        "experiment": _own(worker, team),
        "processors": worker.processors,
    }


def _own(worker: Worker, team: Team) -> UUID | None:
    if worker.shard is None or worker.shard.experiment.team_id != team.pk:
        return None
    return worker.shard.experiment.code
