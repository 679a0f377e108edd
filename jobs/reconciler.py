"""Puts right what nobody else will: leases that ran out, rings that got lost, workers that vanished.

Several reconcilers do no harm: each step is a conditional update or may be done twice.
"""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from jobs import chores, dispatch, leases, retention
from jobs.models import Experiment, Queue, Shard, ShardStatus, Status, Worker, next_seq

logger = logging.getLogger(__name__)

_LONGEST_ROUND_SECONDS = 5.0
_SILENCE_SECONDS = 60.0  # after which a worker is taken off the list


def run(stopping: threading.Event) -> None:
    """Reconcile until ``stopping`` is set; a database that is away only delays the next round."""
    pause = min(_LONGEST_ROUND_SECONDS, settings.LEASE_SECONDS / 2)
    prune_daily = retention.Daily(retention.prune)
    chores.start(stopping)
    while not stopping.is_set():
        try:
            reconcile()
            prune_daily()
        except DatabaseError as error:
            logger.warning("the database does not answer: %s", error)
        connection.close()
        stopping.wait(pause)


def reconcile() -> None:
    """One round."""
    now = timezone.now()
    expired = leases.expire(now)
    if expired:
        logger.warning("%d lease(s) had run out", expired)
    Worker.objects.filter(heartbeat_at__lt=now - timedelta(seconds=_SILENCE_SECONDS)).delete()
    _roll_up_idle()
    for queue in Queue.values:
        ring_idle_workers(queue)


def _roll_up_idle() -> None:
    """Bring open experiments up to date of which no shard runs or is queued. Normally there are none."""
    active = Shard.objects.filter(status__in=[ShardStatus.QUEUED, ShardStatus.RUNNING]).values("experiment_id")
    idle = Experiment.objects.filter(status__in=[Status.QUEUED, Status.RUNNING]).exclude(pk__in=active)
    for experiment_id in list(idle.values_list("pk", flat=True)):
        with transaction.atomic():
            leases.roll_up(experiment_id, next_seq(experiment_id))


def ring_idle_workers(queue: str) -> int:
    """Ring once per idle worker while shards are queued; returns how often."""
    queued = Shard.objects.filter(queue=queue, status=ShardStatus.QUEUED).count()
    idle = Worker.objects.filter(queue=queue, shard=None, draining=False).count() if queued else 0
    rings = min(queued, idle)
    if rings:
        dispatch.ring(queue, rings)
    return rings
