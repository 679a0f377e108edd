"""Removes what the operator wants gone after some days (KEEP_LOG_DAYS, KEEP_EXPERIMENT_DAYS), and dead sessions.

The reconciler does it once a day; several at once do no harm. Nothing of an unfinished experiment is ever removed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import import_module

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from jobs import services
from jobs.models import ENDED, Experiment, LogLine

logger = logging.getLogger(__name__)

_AT_ONCE = 100  # experiments whose log lines go in one transaction: a long one would hold up the workers


@dataclass(frozen=True, slots=True)
class Removed:
    experiments: int
    log_lines: int


def prune(now: datetime | None = None, *, only_count: bool = False) -> Removed:
    """Remove what is older than its days; ``only_count`` removes nothing and says what would go."""
    now = now or timezone.now()
    removed = Removed(_experiments(now, only_count), _log_lines(now, only_count))
    if not only_count:
        import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
    return removed


def _experiments(now: datetime, only_count: bool) -> int:
    if not settings.KEEP_EXPERIMENT_DAYS:
        return 0
    end = now - timedelta(days=settings.KEEP_EXPERIMENT_DAYS)
    old = Experiment.objects.filter(status__in=ENDED, finished_at__lt=end)
    if only_count:
        return old.count()
    return sum(map(_delete, old.order_by("pk").iterator(chunk_size=100)))


def _delete(experiment: Experiment) -> bool:
    try:
        with transaction.atomic():
            services.delete(experiment=experiment)
    except services.Refused as error:  # somebody was faster, or draws more samples
        logger.info("%s stays: %s", experiment, error)
        return False
    logger.info("experiment %s of %s is removed after its days", experiment.code, experiment.finished_at)
    return True


def _log_lines(now: datetime, only_count: bool) -> int:
    if not settings.KEEP_LOG_DAYS:
        return 0
    end = now - timedelta(days=settings.KEEP_LOG_DAYS)
    old = Experiment.objects.filter(status__in=ENDED, finished_at__lt=end)
    old = old.filter(pk__in=LogLine.objects.values("experiment_id")).order_by("pk")
    ids = list(old.values_list("pk", flat=True))
    found = [LogLine.objects.filter(experiment__in=ids[at : at + _AT_ONCE]) for at in range(0, len(ids), _AT_ONCE)]
    return sum(lines.count() if only_count else lines.delete()[0] for lines in found)


class Daily:
    """Calls ``work`` at most once a day, the first time soon after the start."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work, self._due = work, timezone.now()

    def __call__(self) -> None:
        if timezone.now() >= self._due:
            self._due = timezone.now() + timedelta(days=1)
            self._work()
