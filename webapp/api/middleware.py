"""What holds for every answer of the API, successes and errors alike."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response, patch_vary_headers

from webapp.api.errors import CONTENT_TYPE, NOT_HERE, Problem, respond

PREFIX = "/api/v1/"
DETAILS = {404: NOT_HERE, 500: "Something went wrong in Canopy, and it is logged. Try again; a submit with its key."}


class ApiMiddleware:
    """Rate-limit headers, ETags with 304 for reads, no shared caching, and problem details where Django itself
    answers (an unknown address, a wrong method, a crash)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if not request.path_info.startswith(PREFIX):
            return response
        if response.streaming:
            # Django's GZipMiddleware makes a gzip member of each piece, and many clients (httpx for one) silently stop
            # after the first. It would also hold live events back.
            request.META.pop("HTTP_ACCEPT_ENCODING", None)
        if response.status_code >= 400 and response.headers.get("Content-Type") != CONTENT_TYPE:
            response = _as_problem(response)
        elif request.method in ("GET", "HEAD") and response.status_code == 200 and not response.streaming:
            response = _conditional(request, response)
        if not response.has_header("Cache-Control"):
            response.headers["Cache-Control"] = "private, no-cache"
        patch_vary_headers(response, ["Authorization"])
        _tell_limits(request, response)
        return response


def _as_problem(response: HttpResponse) -> HttpResponse:
    status = response.status_code
    detail = DETAILS.get(status, f"{HTTPStatus(status).phrase}. See the reference at /api/ for what is possible here.")
    problem = respond(Problem(status, detail))
    if response.has_header("Allow"):
        problem.headers["Allow"] = response.headers["Allow"]
    return problem


def _conditional(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    if not response.has_header("ETag"):
        response.headers["ETag"] = f'"{hashlib.sha256(response.content).hexdigest()[:24]}"'
    found = get_conditional_response(request, etag=response.headers["ETag"], response=response)
    return found if isinstance(found, HttpResponse) else response


def _tell_limits(request: HttpRequest, response: HttpResponse) -> None:
    """The RateLimit header fields of the IETF draft (httpapi-ratelimit-headers)."""
    allowance = getattr(request, "canopy_allowance", None)
    if allowance is not None:
        response.headers["RateLimit-Policy"] = f'"token";q={allowance.limit};w={allowance.window}'
        response.headers["RateLimit"] = f'"token";r={allowance.remaining};t={allowance.resets_in}'
