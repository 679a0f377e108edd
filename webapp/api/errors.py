"""Errors as problem details (RFC 9457): one shape for every answer that is not a success, and it says what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI, Schema
from ninja.errors import AuthenticationError, HttpError, ValidationError
from pydantic import Field

from jobs import services
from webapp.rate_limits import TooManyAttempts

CONTENT_TYPE = "application/problem+json"
NO_TOKEN = (
    "Send a token that works: Authorization: Bearer cnp_... Make one on your account page; tokens end when they "
    "expire or are revoked."
)
NOT_HERE = "There is nothing here, or your token does not reach the team it belongs to. Check the address."


class FieldError(Schema):
    """What is wrong with one part of the request."""

    field: str = Field(description="Where it is, such as spec.temperature; empty when it is the whole.")
    message: str = Field(description="A sentence that says what to do.")


class ProblemDetails(Schema):
    """RFC 9457."""

    type: str = Field(default="about:blank")
    title: str
    status: int
    detail: str = Field(description="A sentence that says what to do.")
    errors: list[FieldError] = Field(default_factory=list)


class Problem(Exception):
    """Raised anywhere below an operation; becomes the answer."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = [{"field": field, "message": message} for field, message in (errors or {}).items()]
        self.headers = headers or {}


def respond(problem: Problem) -> HttpResponse:
    body = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "errors": problem.errors,
    }
    return HttpResponse(
        json.dumps(body), status=problem.status, content_type=CONTENT_TYPE, headers=dict(problem.headers)
    )


def install(api: NinjaAPI) -> None:
    """Answer every exception that an operation may raise with a problem."""

    def on(exception: type[Exception], convert: Any) -> None:
        def handler(request: HttpRequest, error: Any) -> HttpResponse:
            return respond(convert(error))

        api.add_exception_handler(exception, handler)

    on(Problem, lambda error: error)
    on(Http404, lambda error: Problem(404, NOT_HERE))
    on(PermissionDenied, lambda error: Problem(403, str(error)))
    on(TooManyAttempts, lambda error: Problem(429, str(error), headers={"Retry-After": "600"}))
    on(AuthenticationError, lambda error: Problem(401, NO_TOKEN, headers={"WWW-Authenticate": "Bearer"}))
    on(HttpError, lambda error: Problem(error.status_code, _sentence(str(error))))
    on(ValidationError, _invalid)
    on(services.Refused, lambda error: Problem(409, str(error)))


def _invalid(error: ValidationError) -> Problem:
    found: dict[str, str] = {}
    for one in error.errors:
        found.setdefault(_place(one["loc"]), _sentence(str(one["msg"])))
    return Problem(422, "Parts of the request are wrong; errors says which and what to write.", errors=found)


def _place(loc: Sequence[Any]) -> str:
    """Without "body" or "query" and the name of the function's argument."""
    parts = loc[2:] if loc[:1] == ("body",) else loc[1:]
    return ".".join(map(str, parts))


def _sentence(text: str) -> str:
    text = text.removeprefix("Value error, ")
    return text[:1].upper() + text[1:].rstrip(".") + "."
