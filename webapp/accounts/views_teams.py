"""Teams, the people in them and invitations by link."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from webapp import rate_limits
from webapp.accounts import memberships
from webapp.accounts.forms import RoleForm, TeamForm
from webapp.accounts.models import Invitation, Membership, Team, User
from webapp.experiments.access import get_team
from webapp.tokens import hash_token

LAST_OWNER = "A team needs an owner. Make somebody else an owner first."


@require_http_methods(["GET", "HEAD", "POST"])
def team_new(request: HttpRequest) -> HttpResponse:
    form = TeamForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        team = memberships.create_team(form.cleaned_data["name"], cast(User, request.user))
        messages.success(request, f"The team {team.name} is made. Invite people to it here.")
        return redirect("team-people", team.code)
    return render(request, "accounts/team_new.html", {"form": form})


@require_safe
def team_people(request: HttpRequest, team: UUID) -> HttpResponse:
    return _people_page(request, *get_team(request, team))


def _people_page(request: HttpRequest, team: Team, membership: Membership, *, new_link: str = "") -> HttpResponse:
    context = {
        "team": team,
        "membership": membership,
        "people": team.memberships.select_related("user").order_by("joined_at"),
        "invitations": _open_invitations(team) if membership.can_manage else [],
        "new_link": new_link,
        "rename_form": TeamForm(instance=team),
        "role_form": RoleForm(),
    }
    response = render(request, "accounts/people.html", context)
    if new_link:
        response["Cache-Control"] = "no-store"  # the one time that the token is shown
    return response


def _open_invitations(team: Team) -> list[Invitation]:
    return list(Invitation.objects.usable().filter(team=team).select_related("created_by").order_by("-created_at"))


@require_POST
def team_rename(request: HttpRequest, team: UUID) -> HttpResponse:
    found, _ = get_team(request, team, manage=True)
    form = TeamForm(request.POST, instance=found)
    if form.is_valid():
        form.save()
        messages.success(request, "The team has a new name.")
    else:
        messages.error(request, "A team's name has 1 to 80 characters.")
    return redirect("team-people", team)


@require_POST
def member_role(request: HttpRequest, team: UUID, member: UUID) -> HttpResponse:
    found, _ = get_team(request, team, manage=True)
    form = RoleForm(request.POST)
    membership = get_object_or_404(found.memberships.select_related("user"), user__code=member)
    if not form.is_valid():
        messages.error(request, "Choose owner, member or viewer.")
        return redirect("team-people", team)
    try:
        memberships.set_role(membership, form.cleaned_data["role"])
    except memberships.LastOwner:
        messages.error(request, LAST_OWNER)
    else:
        messages.success(request, f"{membership.user.name}: {membership.get_role_display().lower()} from now on.")
    return redirect("team-people", team)


@require_POST
def member_remove(request: HttpRequest, team: UUID, member: UUID) -> HttpResponse:
    """Owners remove anybody; everybody may leave."""
    found, own = get_team(request, team)
    membership = get_object_or_404(found.memberships.select_related("user"), user__code=member)
    leaving = membership.pk == own.pk
    if not leaving and not own.can_manage:
        raise PermissionDenied("Only an owner of the team can remove people.")
    try:
        memberships.remove(membership)
    except memberships.LastOwner:
        messages.error(request, LAST_OWNER)
        return redirect("team-people", team)
    messages.success(request, f"You left {found.name}." if leaving else f"{membership.user.name} is removed.")
    return redirect("home") if leaving else redirect("team-people", team)


@require_POST
def invite_create(request: HttpRequest, team: UUID) -> HttpResponse:
    found, membership = get_team(request, team, manage=True)
    form = RoleForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Choose owner, member or viewer.")
        return redirect("team-people", team)
    token = memberships.invite(found, role=form.cleaned_data["role"], by=cast(User, request.user))
    link = request.build_absolute_uri(reverse("invitation", args=[token]))
    return _people_page(request, found, membership, new_link=link)


@require_POST
def invite_revoke(request: HttpRequest, team: UUID, code: UUID) -> HttpResponse:
    found, _ = get_team(request, team, manage=True)
    invitation = get_object_or_404(Invitation, team=found, code=code)
    Invitation.objects.usable().filter(pk=invitation.pk).update(revoked_at=timezone.now())
    messages.success(request, "The invitation no longer works.")
    return redirect("team-people", team)


@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """What an invitation link opens: join at once, or sign in or up and come back."""
    found = Invitation.objects.filter(token_hash=hash_token(token)).select_related("team", "created_by").first()
    if found is None:
        rate_limits.enforce("invitation-guess", rate_limits.address(request), limit=30, seconds=600)
        raise Http404("no such invitation")
    if not Invitation.objects.usable().filter(pk=found.pk).exists():
        return render(request, "accounts/invitation_ended.html", status=410)
    if not request.user.is_authenticated:
        return render(request, "accounts/invitation.html", {"invitation": found})
    user = request.user
    if found.team.memberships.filter(user=user).exists():
        messages.info(request, f"You are in {found.team.name} already. The invitation is still good for somebody else.")
        return redirect("experiments", found.team.code)
    if request.method == "POST" and memberships.accept(found, user):
        messages.success(request, f"Welcome to {found.team.name}.")
        return redirect("experiments", found.team.code)
    return render(request, "accounts/invitation.html", {"invitation": found})
