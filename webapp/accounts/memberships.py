"""Joining, leaving and changing roles, with the one rule that a team always keeps an owner."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from webapp.access_events import user_changed
from webapp.accounts.models import Invitation, Membership, Role, Team, User
from webapp.tokens import hash_token, new_token


class LastOwner(Exception):
    """The change would leave the team without an owner."""


@transaction.atomic
def create_team(name: str, owner: User) -> Team:
    team = Team.objects.create(name=name)
    Membership.objects.create(team=team, user=owner, role=Role.OWNER)
    return team


@transaction.atomic
def set_role(membership: Membership, role: str) -> None:
    """Raises LastOwner when the team's only owner would lose that role."""
    if role != Role.OWNER:
        _keep_an_owner(membership)
    membership.role = role
    membership.save(update_fields=["role"])
    user_changed(membership.user)


@transaction.atomic
def remove(membership: Membership) -> None:
    """Raises LastOwner when the team's only owner would leave."""
    _keep_an_owner(membership)
    membership.delete()
    user_changed(membership.user)


def _keep_an_owner(membership: Membership) -> None:
    """Locks the team's owners first: two owners who leave at the same time must not both succeed."""
    owners = Membership.objects.select_for_update().filter(team=membership.team_id, role=Role.OWNER)
    if {owner.pk for owner in owners} == {membership.pk}:
        raise LastOwner


def invite(team: Team, *, role: str, by: User) -> str:
    """Make an invitation and return its token; only the hash is kept."""
    token = new_token()
    Invitation.objects.create(team=team, role=role, token_hash=hash_token(token), created_by=by)
    return token


@transaction.atomic
def accept(invitation: Invitation, user: User) -> bool:
    """Make the person a member. False when the invitation was used, revoked or ran out in the meantime."""
    now = timezone.now()
    used = Invitation.objects.usable().filter(pk=invitation.pk).update(accepted_at=now, accepted_by=user)
    if used:
        Membership.objects.get_or_create(team=invitation.team, user=user, defaults={"role": invitation.role})
        user_changed(user)
    return bool(used)
