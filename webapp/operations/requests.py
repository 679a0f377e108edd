"""Each request gets an id, one line in the log and a place in the metrics."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from jobs.log_context import log_context
from webapp.operations.prometheus import REQUESTS

logger = logging.getLogger("webapp.requests")

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


class RequestMiddleware:
    """Stands first, so that whatever is logged on the way carries the id.

    The id of a proxy in front (X-Request-ID) is kept when it is plain, and answered in the same header. Routes are
    logged and counted, never paths: those hold the tokens of links.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        name = given if _GIVEN_ID.fullmatch(given) else secrets.token_hex(8)
        begun = time.perf_counter()
        with log_context(request=name):
            response = self.get_response(request)
            seconds = time.perf_counter() - begun
            route = request.resolver_match.route if request.resolver_match else "(none)"
            REQUESTS.labels(_method(request), route, response.status_code).observe(seconds)
            logger.info("%s /%s %d in %.0f ms", _method(request), route, response.status_code, 1000 * seconds)
        response.headers["X-Request-ID"] = name
        return response


def _method(request: HttpRequest) -> str:
    """A label must not take whatever a client makes up."""
    return request.method if request.method in _METHODS else "other"
