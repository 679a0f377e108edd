"""Who asks: a token in the Authorization header, and nothing else. Sessions open no part of the API, so no other site
can make a browser write through it."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from ninja.security import HttpBearer

from jobs.models import Experiment
from webapp import rate_limits
from webapp.accounts.models import Role, Team
from webapp.api.errors import Problem
from webapp.api.models import ApiToken
from webapp.experiments.access import ExperimentAccess
from webapp.experiments.page import Page

MINUTE = 60


class TokenAuth(HttpBearer):
    """Finds the token, counts the request and remembers the use."""

    def authenticate(self, request: HttpRequest, token: str) -> ApiToken | None:
        found = ApiToken.objects.find(token)
        if found is None:
            rate_limits.enforce("api-guess", rate_limits.address(request), limit=60, seconds=600)
            return None
        allowance = rate_limits.spend("api", str(found.pk), limit=settings.API_REQUESTS_A_MINUTE, seconds=MINUTE)
        request.canopy_allowance = allowance  # type: ignore[attr-defined]  # webapp.api.middleware makes headers of it
        _refuse_beyond(allowance)
        found.note_use()
        return found


class StreamTokenAuth(TokenAuth):
    """For asynchronous operations: the look-up waits in a thread."""

    async def __call__(self, request: HttpRequest) -> Any:
        return await sync_to_async(super().__call__)(request)


def count_submit(request: HttpRequest) -> None:
    """Submits have a limit of their own: each makes many rows."""
    allowance = rate_limits.spend(
        "api-submit", str(token_of(request).pk), limit=settings.API_SUBMITS_A_MINUTE, seconds=MINUTE
    )
    if allowance.is_exceeded:
        request.canopy_allowance = allowance  # type: ignore[attr-defined]
    _refuse_beyond(allowance)


def _refuse_beyond(allowance: rate_limits.Allowance) -> None:
    if allowance.is_exceeded:
        detail = f"More than {allowance.limit} requests a minute. Wait {allowance.resets_in} s and try again."
        raise Problem(429, detail, headers={"Retry-After": str(allowance.resets_in)})


def token_of(request: HttpRequest) -> ApiToken:
    return cast(ApiToken, request.auth)  # type: ignore[attr-defined]  # ninja sets it


def actor_of(request: HttpRequest) -> Any:
    """Who did it: the token's person, or the service account by its name."""
    token = token_of(request)
    return token.user or token.actor


def reach_team(request: HttpRequest, code: UUID, *, write: bool = False, manage: bool = False) -> tuple[Team, str]:
    """The team and the token's role in it. Http404 for teams out of reach; PermissionDenied for a write it may not, or
    for what owners alone manage."""
    team = Team.objects.filter(code=code).first()
    if team is None:
        raise Http404("no such team")
    role = _role(request, team.pk, write=write or manage)
    request.canopy_team = team  # type: ignore[attr-defined]  # for webapp.activity
    if manage and role != Role.OWNER:
        raise PermissionDenied("Only an owner of the team can do this, with a token of their own.")
    return team, role


def reach(request: HttpRequest, code: UUID, *, write: bool = False) -> Page:
    """The experiment, as its page is served to the people of its team; raises like ``reach_team``."""
    experiment = Experiment.objects.select_related("team", "owner").filter(code=code).first()
    if experiment is None:
        raise Http404("no such experiment")
    role = _role(request, experiment.team_id, write=write)
    request.canopy_team = experiment.team  # type: ignore[attr-defined]  # for webapp.activity
    can_write = may_write(token_of(request), role)
    access = ExperimentAccess(experiment, can_write=can_write, can_manage=can_write and role == Role.OWNER)
    return Page(access, "experiment", {"code": experiment.code})


def may_write(token: ApiToken, role: str) -> bool:
    return token.can_write and role in {Role.OWNER, Role.MEMBER}


def _role(request: HttpRequest, team_id: int, *, write: bool) -> str:
    token = token_of(request)
    role = token.roles().get(team_id)
    if role is None:
        raise Http404("no such team")
    if write and not token.can_write:
        raise PermissionDenied("This token may only read. Make one that may write on your account page.")
    if write and not may_write(token, role):
        raise PermissionDenied("Viewers can read everything here but not change it. An owner can raise your role.")
    return role
