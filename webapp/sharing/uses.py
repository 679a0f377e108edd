"""How often links are opened, without a write for each request: uses are counted in the cache and written at most once
a minute. What a lost cache forgets is less than a minute of uses."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from django.core.cache import cache
from django.db.models import F
from django.utils import timezone
from redis.exceptions import RedisError

from webapp.sharing.models import ShareLink

logger = logging.getLogger(__name__)
WRITE_EVERY = 60  # seconds
KEPT = (
    7 * 24 * 3600
)  # seconds that uses wait at most: they are written with the next use, or when the list is looked at


def note_use(link: ShareLink) -> None:
    """Somebody opened the link."""
    key = _key(link.pk)
    try:
        cache.add(key, 0, timeout=KEPT)
        cache.incr(key)
        if cache.add(f"{key}:written", 1, timeout=WRITE_EVERY):
            _write(link.pk)
    except ValueError:  # it was evicted between the two calls
        _add(link.pk, 1)
    except RedisError:
        logger.warning("The cache did not answer; a use of a share link is not counted.")


def write_pending(links: Iterable[ShareLink]) -> None:
    """Before the numbers are shown."""
    try:
        keys = {_key(link.pk): link.pk for link in links}
        for key, uses in cache.get_many(keys).items():
            if uses:
                _write(keys[key])
    except RedisError:
        logger.warning("The cache did not answer; uses of the last minute are not shown.")


def _write(pk: int) -> None:
    """Move what is counted in the cache into the row. Of two processes at once, one does."""
    key = _key(pk)
    if not cache.add(f"{key}:lock", 1, timeout=5):
        return
    uses = int(cache.get(key) or 0)
    if uses:
        cache.decr(key, uses)
        _add(pk, uses)
    cache.delete(f"{key}:lock")


def _add(pk: int, uses: int) -> None:
    ShareLink.objects.filter(pk=pk).update(use_count=F("use_count") + uses, last_used_at=timezone.now())


def _key(pk: int) -> str:
    return f"share-uses:{pk}"
