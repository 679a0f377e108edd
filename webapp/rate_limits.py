"""Limits on how often something may be tried, counted in the shared cache."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass

from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)


class TooManyAttempts(PermissionDenied):
    """Raised when a limit is exceeded; the sentence tells the person how long to wait."""


def enforce(action: str, who: str, *, limit: int, seconds: int) -> None:
    """Count one attempt; raise TooManyAttempts after ``limit`` of them within ``seconds``.

    A fixed window: simple, and an attacker gains at most twice the limit around a window's edge. When the cache does
    not answer, people must still be able to sign in, so nothing is refused.
    """
    if _count(f"limit:{action}:{who.lower()}", seconds) > limit:
        minutes = max(1, round(seconds / 60))
        raise TooManyAttempts(f"Too many attempts. Wait {minutes} minute{'s' if minutes > 1 else ''} and try again.")


def forgive(action: str, who: str) -> None:
    """Forget the attempts, after a success."""
    try:
        cache.delete(f"limit:{action}:{who.lower()}")
    except RedisError:
        logger.warning("The cache did not answer; attempts of %s are still counted.", action)


def _count(key: str, seconds: int) -> int:
    try:
        cache.add(key, 0, timeout=seconds)
        return cache.incr(key)
    except ValueError:  # the window ended between the two calls
        return 1
    except RedisError:
        logger.warning("The cache did not answer; the limit %s is not enforced.", key.split(":")[1])
        return 1


def address(request: HttpRequest) -> str:
    """The visitor's network address as the server saw it (the proxy's, unless uvicorn is told to trust it)."""
    return str(request.META.get("REMOTE_ADDR", "unknown"))


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a limit in the present window."""

    limit: int
    used: int
    resets_in: int  # seconds
    window: int  # seconds

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used)

    @property
    def is_exceeded(self) -> bool:
        return self.used > self.limit


def spend(action: str, who: str, *, limit: int, seconds: int) -> Allowance:
    """Count one use in a window that begins at a multiple of ``seconds``, and say what is left. Raises nothing."""
    now = time.time()
    used = _count(f"limit:{action}:{who}:{int(now // seconds)}", seconds)
    return Allowance(limit, used, math.ceil(seconds - now % seconds), seconds)
