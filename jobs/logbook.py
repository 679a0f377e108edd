"""Log lines of an experiment: bounded in length and number, safe for every database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from django.utils import timezone

from jobs.models import LogLine

LONGEST_LINE = 2_000  # characters
MOST_LINES = 5_000  # per experiment; the oldest go
_PRUNE_EVERY = 64  # writes


@dataclass(frozen=True, slots=True)
class Line:
    text: str
    level: str = "info"
    at: datetime = field(default_factory=timezone.now)


def write(experiment_id: int, seq: int, lines: Iterable[Line], shard_id: int | None = None) -> None:
    """Append lines stamped with ``seq``, inside the caller's transaction."""
    LogLine.objects.bulk_create(
        LogLine(
            experiment_id=experiment_id,
            shard_id=shard_id,
            seq=seq,
            at=line.at,
            level=line.level if line.level in {"info", "warning", "error"} else "info",
            text=line.text[:LONGEST_LINE],
        )
        for line in lines
    )
    if seq % _PRUNE_EVERY == 0:
        _prune(experiment_id)


def _prune(experiment_id: int) -> None:
    lines = LogLine.objects.filter(experiment_id=experiment_id).order_by("-id").values_list("id", flat=True)
    newest_to_drop = lines[MOST_LINES : MOST_LINES + 1].first()
    if newest_to_drop is not None:
        LogLine.objects.filter(experiment_id=experiment_id, id__lte=newest_to_drop).delete()
