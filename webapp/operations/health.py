"""Is this web process alive, and can it do its work? For load balancers, containers and people in a hurry."""

from __future__ import annotations

import logging
from collections.abc import Callable

import redis
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.files.storage import default_storage
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

logger = logging.getLogger(__name__)

_SECONDS = 2.0  # the broker may take to answer


class NotReady(Exception):
    """A part that Canopy needs does not work; the text says which and what to do, and names no secret."""


@login_not_required
@never_cache
@require_safe
def alive(request: HttpRequest) -> JsonResponse:
    """200 as long as the process answers at all: restart it when it does not."""
    return JsonResponse({"status": "alive"})


@login_not_required
@never_cache
@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """200 when every part works, 503 with the parts that do not: send people elsewhere meanwhile."""
    parts = {name: _outcome(name, check) for name, check in CHECKS.items()}
    works = all(said == "ok" for said in parts.values())
    return JsonResponse({"status": "ready" if works else "not ready", "parts": parts}, status=200 if works else 503)


def _outcome(name: str, check: Callable[[], None]) -> str:
    try:
        check()
    except NotReady as trouble:
        return str(trouble)
    except Exception:
        # The error's own words may hold an address or a password.
        logger.exception("the %s check failed", name)
        return "does not answer; the server's log says why"
    return "ok"


def _database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _migrations() -> None:
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError:
        raise NotReady("unknown: the database does not answer") from None
    if missing:
        raise NotReady(f"{len(missing)} to run: manage.py migrate")


def _broker() -> None:
    url = settings.CACHES["default"]["LOCATION"]
    with redis.Redis.from_url(url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS) as broker:
        broker.ping()


def _storage() -> None:
    """Looks a name up: enough to need the folder or the bucket, its address and the keys."""
    default_storage.exists("health")


CHECKS: dict[str, Callable[[], None]] = {
    "database": _database,
    "migrations": _migrations,
    "broker": _broker,
    "storage": _storage,
}
