"""Writes an entry for every request that changed something, in one place: views need not think of it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import cache
from ipaddress import ip_address
from typing import Any
from uuid import UUID

from django.apps import apps
from django.contrib.messages import ERROR
from django.core.exceptions import FieldDoesNotExist
from django.db import DatabaseError, models, transaction
from django.http import HttpRequest, HttpResponse

from webapp.accounts.models import Team, User
from webapp.activity.models import Entry
from webapp.activity.phrases import NO_CHANGE, PHRASES
from webapp.rate_limits import address

logger = logging.getLogger(__name__)

_READS = ("GET", "HEAD", "OPTIONS")
# Recorded by signals, which know whether it worked and who it was.
_SIGNALLED = {"sign-in", "sign-out", "sign-up"}


class ActivityMiddleware:
    """Stands last: what it sees was let through by everything before it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.method not in _READS and response.status_code < 400:
            _record_request(request)
        return response

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: dict[str, Any]) -> None:
        """Before the view: afterwards what was deleted has no name any more."""
        if request.method not in _READS:
            request.canopy_target = _named(kwargs)  # type: ignore[attr-defined]


def record(
    *, actor: User | None, actor_name: str, action: str, team: Team | None = None, target: str = "", via: str = "",
    request: HttpRequest | None = None,
) -> None:  # fmt: skip
    """Add an entry. A database that refuses it must not undo what was done."""
    try:
        with transaction.atomic():
            Entry.objects.create(
                team=team,
                team_name=team.name if team else "",
                actor=actor,
                actor_name=actor_name[:120],
                via=via[:100],
                action=action[:60],
                target=target[:160],
                address=_ip(request) if request else None,
            )
    except DatabaseError:
        logger.exception("%s by %s could not be recorded", action, actor_name)


def _ip(request: HttpRequest) -> str | None:
    """None behind a unix socket, where nobody says it."""
    try:
        return str(ip_address(address(request)))
    except ValueError:
        return None


def _record_request(request: HttpRequest) -> None:
    action = _action(request)
    if action in NO_CHANGE | _SIGNALLED or action not in PHRASES or _was_refused(request):
        return
    token = getattr(request, "auth", None)
    membership = getattr(request, "canopy_membership", None)
    user = token.user if token is not None else request.user if request.user.is_authenticated else None
    record(
        actor=user,
        actor_name=token.actor if token is not None else user.name if user else "somebody",
        action=action,
        team=membership.team if membership else getattr(request, "canopy_team", None),
        target=getattr(request, "canopy_target", ""),
        via=token.name if token is not None else "",
        request=request,
    )


def _action(request: HttpRequest) -> str:
    """The name of the address; of the API's, which do several things each, the id of the operation."""
    match = request.resolver_match
    if match is None:
        return ""
    if match.namespace != "api-v1":
        return match.url_name or ""
    path = "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", match.route)
    return _operations().get((path, (request.method or "").lower()), "")


@cache
def _operations() -> dict[tuple[str, str], str]:
    from webapp.api.v1 import api

    paths = api.get_openapi_schema()["paths"]
    return {(path, method): found["operationId"] for path, each in paths.items() for method, found in each.items()}


def _was_refused(request: HttpRequest) -> bool:
    """Pages say no by a message on the page that they lead back to."""
    queued = getattr(getattr(request, "_messages", None), "_queued_messages", [])
    return any(message.level >= ERROR for message in queued)


def _named(arguments: dict[str, Any]) -> str:
    """What the address is about: the object that its last code belongs to, or the last word of the address."""
    for name, value in reversed(arguments.items()):
        if name == "worker":
            return str(value)
        if name != "team" and (code := _code(value)):
            return _called(code)
    return ""


def _code(value: Any) -> UUID | None:
    try:
        return value if isinstance(value, UUID) else UUID(value)
    except (ValueError, TypeError, AttributeError):
        return None


def _called(code: UUID) -> str:
    for model in apps.get_models():
        try:
            field = model._meta.get_field("code")
        except FieldDoesNotExist:
            continue
        if isinstance(field, models.UUIDField) and (found := model._base_manager.filter(code=code).first()):
            return str(found)
    return ""
