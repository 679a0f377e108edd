"""Making, listing and revoking share links. What a link shows is in webapp.experiments, behind ``for_share_links``."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from jobs.models import Experiment
from webapp.access_events import link_changed
from webapp.accounts.models import Membership, Team, User
from webapp.experiments.access import get_experiment, get_team
from webapp.sharing.forms import ShareForm
from webapp.sharing.models import ShareLink
from webapp.tokens import hash_token, new_token

TOKEN_PREFIX = 6  # characters kept in clear, to tell links apart in the list
ENDED_SHOWN = 50


@require_safe
def share_links(request: HttpRequest, team: UUID) -> HttpResponse:
    return _links_page(request, *get_team(request, team))


def _links_page(
    request: HttpRequest, team: Team, membership: Membership, *, new_link: str = "", made: ShareLink | None = None
) -> HttpResponse:
    links = ShareLink.objects.filter(experiment__team=team).select_related("experiment", "created_by")
    rows = [(link, may_revoke(membership, link)) for link in links.order_by("-created_at")]
    active = [row for row in rows if row[0].is_active]
    context = {
        "team": team,
        "active": active,
        "ended": [row for row in rows if not row[0].is_active][:ENDED_SHOWN],
        "new_link": new_link,
        "made": made,
    }
    response = render(request, "sharing/links.html", context)
    if new_link:
        response["Cache-Control"] = "no-store"  # the one time that the token is shown
    return response


def may_revoke(membership: Membership, link: ShareLink) -> bool:
    """Owners revoke any link of the team, members the ones they made."""
    return membership.can_manage or (membership.can_write and link.created_by_id == membership.user_id)


@require_POST
def share_create(request: HttpRequest, code: UUID) -> HttpResponse:
    """Make a link and show its address, this once: as JSON for the live page's dialog, as a page without script."""
    experiment = get_experiment(request, code, write=True)
    form = ShareForm(request.POST)
    wants_json = "application/json" in request.headers.get("Accept", "")
    if not form.is_valid():
        if wants_json:
            return JsonResponse({"errors": form.errors.get_json_data()}, status=400)
        messages.error(request, "The link was not made: choose how long it works and a label of at most 80 characters.")
        return redirect("share-links", experiment.team.code)
    token = new_token()
    link = _make(form, experiment, token, cast(User, request.user))
    url = request.build_absolute_uri(reverse("shared", args=[token]))
    if wants_json:
        response: HttpResponse = JsonResponse({"url": url, "label": link.label, "expires": link.expires_at}, status=201)
        response["Cache-Control"] = "no-store"
        return response
    return _links_page(request, *get_team(request, experiment.team.code), new_link=url, made=link)


def _make(form: ShareForm, experiment: Experiment, token: str, user: User) -> ShareLink:
    link = form.save(commit=False)
    link.experiment = experiment
    link.token_prefix = token[:TOKEN_PREFIX]
    link.token_hash = hash_token(token)
    link.created_by = user
    link.expires_at = form.expires_at()
    link.save()
    return link


@require_POST
def share_revoke(request: HttpRequest, code: UUID) -> HttpResponse:
    link = ShareLink.objects.filter(code=code).select_related("experiment__team").first()
    if link is None:
        raise Http404("no such link")
    team, membership = get_team(request, link.experiment.team.code)
    if not may_revoke(membership, link):
        raise PermissionDenied("Owners revoke any link, members the links they made themselves.")
    if ShareLink.objects.active().filter(pk=link.pk).update(revoked_at=timezone.now()):
        link_changed(link)
        messages.success(request, "The link no longer works. Pages that were open with it are closed.")
    return redirect("share-links", team.code)
