"""Who may see and change what. Every view reaches its object through one of these functions.

Outsiders get 404, so that an address tells nothing about what exists. Viewers of the team get 403 when they write.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase

from jobs.models import Experiment
from webapp.accounts.models import Membership, Team
from webapp.sharing.models import ShareLink

View = Callable[..., HttpResponseBase]
SESSION_TEAM = "team"  # the team whose pages the person saw last


@dataclass(frozen=True, slots=True)
class ExperimentAccess:
    """An experiment together with what this visitor may do. Views for members and for share links both take one."""

    experiment: Experiment
    can_write: bool = False
    can_manage: bool = False
    share: ShareLink | None = None

    @property
    def shows_samples(self) -> bool:
        """Whether the texts of samples may be shown; a share link can leave them out."""
        return self.share is None or self.share.include_samples


def get_team(request: HttpRequest, code: UUID, *, write: bool = False, manage: bool = False) -> tuple[Team, Membership]:
    """The team and the visitor's membership. Http404 for outsiders; PermissionDenied when the role is too low."""
    membership = _membership(request, team__code=code)
    _require(membership, write=write, manage=manage)
    _remember(request, membership)
    return membership.team, membership


def get_experiment(request: HttpRequest, code: UUID, *, write: bool = False) -> Experiment:
    """The experiment, if the visitor is in its team. Http404 for outsiders, PermissionDenied for viewers who write."""
    return resolve_member(request, code, write=write).experiment


def resolve_member(request: HttpRequest, code: UUID, *, write: bool = False) -> ExperimentAccess:
    """What a signed-in visitor may do with the experiment; raises like ``get_experiment``."""
    try:
        experiment = Experiment.objects.select_related("team", "owner").get(code=code)
    except Experiment.DoesNotExist:
        raise Http404("no such experiment") from None
    membership = _membership(request, team_id=experiment.team_id)
    _require(membership, write=write)
    _remember(request, membership)
    return ExperimentAccess(experiment, can_write=membership.can_write, can_manage=membership.can_manage)


def for_members(view: View) -> View:
    """Make ``view(request, access, **rest)`` an address ``(request, code, **rest)`` for members of the team."""

    @wraps(view)
    def wrapper(request: HttpRequest, code: UUID, **rest: Any) -> HttpResponseBase:
        return view(request, resolve_member(request, code), **rest)

    return wrapper


def _membership(request: HttpRequest, **team: Any) -> Membership:
    """The visitor's membership; an unknown team and someone else's look the same from outside."""
    memberships = Membership.objects.select_related("team")
    membership = memberships.filter(user=request.user, **team).first() if request.user.pk else None
    if membership is None:
        raise Http404("no such page")
    return membership


def _require(membership: Membership, *, write: bool = False, manage: bool = False) -> None:
    if manage and not membership.can_manage:
        raise PermissionDenied("Only an owner of the team can do this.")
    if write and not membership.can_write:
        raise PermissionDenied("Viewers can read everything here but not change it. An owner can raise your role.")


def _remember(request: HttpRequest, membership: Membership) -> None:
    """Let the frame of the page (webapp.context) show this team, now and on pages that belong to no team."""
    request.canopy_membership = membership  # type: ignore[attr-defined]
    if request.session.get(SESSION_TEAM) != str(membership.team.code):
        request.session[SESSION_TEAM] = str(membership.team.code)
