"""The live state of an experiment: one format for the page's first snapshot, its catching up and every broadcast.

``live_state(experiment, after)`` holds the current state, absolute and small, and the log lines, metrics, artifacts
and kind's rows that changed after sequence number ``after``. A page subscribes, reads a snapshot, and merges the states
that arrive while their ``after`` is not beyond its own ``seq``; otherwise it missed one and asks with its own ``seq``.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, QuerySet, Sum
from django.utils import timezone

from jobs import metrics
from jobs.announcer import announcer
from jobs.forecast import Pace, StagePace, eta_seconds
from jobs.models import Artifact, Experiment, LogLine, Queue, ShardStatus, Status, Worker
from jobs.selection import waiting_order

MOST_LOG_LINES = 200
MOST_FAILURES = 5
_PACED_SHARDS = 200  # the latest shards say enough about the rate
S = ShardStatus


def announce(experiment_id: int) -> None:
    """Have the pages that watch the experiment told what changed, soon: at most 5 broadcasts a second and experiment
    over all processes, none lost. Returns at once; a broker that is away is retried in the background."""
    announcer.mark(experiment_id)


def announce_on_commit(experiment_id: int) -> None:
    transaction.on_commit(lambda: announce(experiment_id))


def live_state(experiment: Experiment, after: int = 0) -> dict[str, Any]:
    """The JSON-able state described above; ``after=0`` gives the snapshot."""
    experiment = Experiment.objects.get(pk=experiment.pk)  # the sequence number is read before the rows it covers
    stages = _stages(experiment)
    return {
        "after": after,
        "seq": experiment.last_seq,
        "status": experiment.status,
        "reason": experiment.reason,
        "name": experiment.name,
        "started": _iso(experiment.started_at),
        "finished": _iso(experiment.finished_at),
        "now": _iso(timezone.now()),
        "eta_seconds": _eta(experiment, stages),
        **_waiting(experiment, stages),
        "stages": stages,
        "workers": sorted(set(experiment.shards.filter(status=S.RUNNING).values_list("worker", flat=True))),
        "failures": _failures(experiment),
        "log": _log(experiment, after),
        "metrics": metrics.changes(experiment, after),
        "artifacts": _artifacts(experiment, after),
        "kind": experiment.kind_object.changes(experiment, after),
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


# --- stages -----------------------------------------------------------------------------------------------------------


def _stages(experiment: Experiment) -> list[dict[str, Any]]:
    rows = (
        experiment.shards.order_by()
        .values("stage", "status")
        .annotate(shards=Count("id"), units_done=Sum("done"), units=Sum("total"))
    )
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        stage = found.setdefault(row["stage"], {"done": 0, "total": 0, "shards": {}})
        stage["done"] += row["units_done"]
        stage["total"] += row["units"]
        stage["shards"][row["status"]] = row["shards"]
    return [
        {
            "name": stage["name"],
            "unit": stage["unit"],
            "queue": stage["queue"],
            "state": stage_state(found.get(stage["name"], {}).get("shards", {})),
            "done": 0,
            "total": 0,
            "shards": {},
            **found.get(stage["name"], {}),
        }
        for stage in experiment.stages
        if stage["name"] in found or not found  # a stage that is planned for later only has no shards yet
    ]


def stage_state(shards: dict[str, int]) -> str:
    """One word for a stage, from how many of its shards are in which state: what moves counts before what ended."""
    for state in (S.RUNNING, S.QUEUED, S.FAILED, S.CANCELLED, S.WAITING):
        if shards.get(state):
            # Between two shards of a stage that has begun, nothing may run for a moment.
            return str(S.RUNNING if state == S.QUEUED and shards.get(S.DONE) else state)
    return str(S.DONE)


def _eta(experiment: Experiment, stages: list[dict[str, Any]]) -> float | None:
    if experiment.status != Status.RUNNING:
        return None
    now = timezone.now()
    started = experiment.shards.filter(started_at__isnull=False, status__in=[S.RUNNING, S.DONE]).order_by("-started_at")
    paces: dict[str, list[Pace]] = {}
    for shard in started[:_PACED_SHARDS]:
        assert shard.started_at is not None
        seconds = ((shard.finished_at or now) - shard.started_at).total_seconds()
        pace = Pace(shard.done - shard.resumed_from, seconds, shard.status == S.RUNNING)
        paces.setdefault(shard.stage, []).append(pace)
    return eta_seconds(StagePace(stage["total"] - stage["done"], paces.get(stage["name"], [])) for stage in stages)


def _failures(experiment: Experiment) -> list[dict[str, Any]]:
    failed = experiment.shards.filter(status=S.FAILED).order_by("stage_index", "index")
    rows = failed.values("stage", "index", "attempt", "reason", "log_tail")[:MOST_FAILURES]
    return [dict(row) for row in rows]


# --- waiting ----------------------------------------------------------------------------------------------------------


def _waiting(experiment: Experiment, stages: list[dict[str, Any]]) -> dict[str, Any]:
    """Why nothing happens: place in the queue (of a queued experiment) and a sentence; None while shards run."""
    queue = next((stage["queue"] for stage in stages if stage["shards"].get(S.QUEUED)), None)
    busy = any(stage["shards"].get(S.RUNNING) for stage in stages)
    if queue is None or busy or experiment.has_ended:
        return {"queue_position": None, "waiting_for": None, "waiting": None}
    label = Queue(queue).label
    place = next((each for each in waiting_order(queue) if each.experiment.pk == experiment.pk), None)
    position = place.position if place and experiment.status == Status.QUEUED else None
    if place and place.reason:
        sentence = place.reason
    elif not has_workers(queue):
        sentence = f"No {label} worker is running. Start one with: python manage.py worker {queue}"
    else:
        turn = f", {ordinal(position)} in the queue" if position else ""
        sentence = f"Waiting for a {label} worker{turn}."
    return {"queue_position": position, "waiting_for": f"a {label} worker", "waiting": sentence}


def has_workers(queue: str) -> bool:
    """Whether a worker of this queue has shown itself lately."""
    return alive_workers().filter(queue=queue).exists()


def alive_workers() -> QuerySet[Worker]:
    return Worker.objects.filter(heartbeat_at__gt=timezone.now() - WORKER_SILENCE)


WORKER_SILENCE = timedelta(seconds=30)  # heartbeats come every 5 s


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st ..."""
    suffix = "th" if number % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


# --- what changed -----------------------------------------------------------------------------------------------------


def _between(experiment: Experiment, after: int) -> dict[str, Any]:
    """Rows up to the state's own number only: later ones come with the next state, and never twice."""
    return {"experiment": experiment, "seq__gt": after, "seq__lte": experiment.last_seq}


def _log(experiment: Experiment, after: int) -> list[dict[str, Any]]:
    lines = LogLine.objects.filter(**_between(experiment, after)).order_by("-seq", "-id")
    newest = lines.values("seq", "at", "level", "text")[:MOST_LOG_LINES]
    return [{**line, "at": _iso(line["at"])} for line in reversed(newest)]


def _artifacts(experiment: Experiment, after: int) -> list[dict[str, Any]]:
    changed: Iterable[Artifact] = Artifact.objects.filter(**_between(experiment, after)).order_by("name")
    return [
        {"code": str(item.code), "name": item.name, "size": item.size, "content_type": item.content_type}
        for item in changed
    ]
