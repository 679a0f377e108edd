"""Rings the broker: "there is work on this queue". Which shard it is, the rung worker asks the database."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from django.db import transaction
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

MOST_RINGS = 32  # at once; a worker that finds more shards queued rings again


def ring(queue: str, count: int = 1) -> bool:
    """Ring up to ``count`` times; False when the broker is away. Nothing is lost then: the reconciler rings later."""
    from jobs.tasks import work

    try:
        for _ in range(min(count, MOST_RINGS)):
            work.apply_async(args=[queue], queue=queue, retry=False)
    except (OSError, OperationalError) as error:
        logger.warning("could not ring for the %s queue (%s); the reconciler will", queue, error)
        return False
    return True


def ring_on_commit(counts: Mapping[str, int]) -> None:
    """Ring per queue once the current transaction is committed; not at all when it is rolled back."""

    def ring_all() -> None:
        for queue, count in counts.items():
            ring(queue, count)

    if counts:
        transaction.on_commit(ring_all)
