"""Making, listing, pausing and revoking share links. What a link shows is its target's (webapp.sharing.targets)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from webapp.accounts.models import Membership, Team, User
from webapp.experiments.access import get_team
from webapp.sharing import services
from webapp.sharing.forms import LinkFilters, ShareForm, select
from webapp.sharing.models import ShareLink, State
from webapp.sharing.passing_on import shown_once
from webapp.sharing.targets import CannotShare, all_targets, target_of
from webapp.sharing.uses import write_pending
from webapp.sharing.words import scope_of

ON_A_PAGE = 50
MOST_AT_ONCE = 500  # links revoked together


@require_safe
def share_links(request: HttpRequest, team: UUID) -> HttpResponse:
    return _links_page(request, *get_team(request, team))


def _links_page(
    request: HttpRequest, team: Team, membership: Membership, made: dict[str, Any] | None = None
) -> HttpResponse:
    filters = LinkFilters.read(request.GET)
    pages = Paginator(select(team, filters, membership.user_id), ON_A_PAGE)
    write_pending(pages.get_page(filters.page).object_list)
    page = pages.get_page(filters.page)  # again: with what was just counted
    context = {
        "team": team,
        "filters": filters,
        "rows": [_row(link, membership) for link in page],
        "total": pages.count,
        "open": ShareLink.objects.filter(team=team).active().count(),
        "states": State.choices,
        "targets": all_targets(),
        "made": made,
        "earlier_url": filters.url(page.number - 1) if page.has_previous() else "",
        "next_url": filters.url(page.number + 1) if page.has_next() else "",
    }
    response = render(request, "sharing/links.html", context)
    if made:
        response["Cache-Control"] = "no-store"  # the one time that the token is shown
    return response


def _row(link: ShareLink, membership: Membership) -> dict[str, Any]:
    target = target_of(link)
    return {
        "link": link,
        "about": target.about(link) if target else None,
        "scope": scope_of(link),
        "may_change": may_change(membership, link) and not link.has_ended,
    }


def may_change(membership: Membership, link: ShareLink) -> bool:
    """Owners pause and revoke any link of the team, members the ones they made."""
    return membership.can_manage or (membership.can_write and link.created_by_id == membership.user_id)


# --- making -----------------------------------------------------------------------------------------------------------


@require_POST
def share_words(request: HttpRequest, team: UUID) -> HttpResponse:
    """What a link made with this form would show, in words; nothing is made."""
    found, _ = get_team(request, team, write=True)
    form = ShareForm(request.POST)
    if not form.is_valid():
        return _refused(form)
    options = form.options()
    try:
        link = services.draft(found, options)
    except CannotShare as error:
        return JsonResponse({"errors": {"": [{"message": str(error)}]}}, status=400)
    scope = scope_of(link, freeze=options.freeze)
    return JsonResponse({"shows": scope.shows, "hides": scope.hides, "terms": scope.terms})


@require_POST
def share_create(request: HttpRequest, team: UUID) -> HttpResponse:
    """Make a link and show its address, this once: as JSON for the dialog, as a page without script."""
    found, membership = get_team(request, team, write=True)
    form = ShareForm(request.POST)
    wants_json = "application/json" in request.headers.get("Accept", "")
    if not form.is_valid():
        if wants_json:
            return _refused(form)
        messages.error(request, "The link was not made: choose how long it works and a label of at most 80 characters.")
        return redirect("share-links", found.code)
    try:
        link, token = services.make_link(found, form.options(), by=cast(User, request.user))
    except CannotShare as error:
        if wants_json:
            return JsonResponse({"errors": {"": [{"message": str(error)}]}}, status=400)
        messages.error(request, f"The link was not made. {error}")
        return redirect("share-links", found.code)
    made = shown_once(request, link, token)
    if wants_json:
        response: HttpResponse = JsonResponse(made, status=201)
        response["Cache-Control"] = "no-store"
        return response
    return _links_page(request, found, membership, made)


def _refused(form: ShareForm) -> HttpResponse:
    return JsonResponse({"errors": form.errors.get_json_data()}, status=400)


# --- afterwards -------------------------------------------------------------------------------------------------------


def _get_link(request: HttpRequest, code: UUID) -> ShareLink:
    """The link, if the visitor may change it. Http404 for other teams' links."""
    link = ShareLink.objects.filter(code=code).select_related("team").first()
    if link is None:
        raise Http404("no such link")
    _, membership = get_team(request, link.team.code)
    if not may_change(membership, link):
        raise PermissionDenied("Owners change any link, members the links they made themselves.")
    return link


def _changes(change: Callable[[ShareLink], bool], done: str) -> Callable[..., HttpResponse]:
    @require_POST
    def view(request: HttpRequest, code: UUID) -> HttpResponse:
        link = _get_link(request, code)
        if change(link):
            messages.success(request, done)
        return redirect("share-links", link.team.code)

    return view


share_pause = _changes(services.pause, "The link is paused. Pages that were open with it are closed.")
share_resume = _changes(services.resume, "The link works again.")
share_revoke = _changes(services.revoke, "The link no longer works. Pages that were open with it are closed.")


@require_POST
def share_revoke_many(request: HttpRequest, team: UUID) -> HttpResponse:
    """Revoke the ticked links, of those that the visitor may revoke."""
    found, membership = get_team(request, team, write=True)
    codes = [code for raw in request.POST.getlist("code")[:MOST_AT_ONCE] if (code := _uuid(raw))]
    links = [link for link in ShareLink.objects.filter(team=found, code__in=codes) if may_change(membership, link)]
    revoked = sum(services.revoke(link) for link in links)
    if revoked:
        messages.success(request, f"{revoked} link{'s' if revoked > 1 else ''} revoked.")
    else:
        messages.error(request, "No link was revoked: tick those that are to end.")
    return redirect("share-links", found.code)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
