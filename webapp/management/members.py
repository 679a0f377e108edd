"""Who a command acts for: a member of a team, named by address and team on the command line."""

from __future__ import annotations

from uuid import UUID

from django.core.management.base import CommandError

from webapp.accounts.models import Membership, Team


def find_member(team: str, owner: str) -> Membership:
    """The membership of ``owner`` (e-mail address) in ``team`` (name or code). CommandError unless it may write."""
    memberships = Membership.objects.select_related("team", "user").filter(user__email__iexact=owner)
    try:
        found = list(memberships.filter(team__code=UUID(team)))
    except ValueError:
        found = list(memberships.filter(team__name=team))
    if not found:
        raise CommandError(f"{owner} is in no team {team!r}; there are: {', '.join(_teams()) or 'no teams yet'}.")
    if len(found) > 1:
        raise CommandError(f"Several teams are called {team!r}: give the code that stands in the team's addresses.")
    if not found[0].can_write:
        raise CommandError(f"{owner} is a viewer of {team}: choose a member or an owner.")
    return found[0]


def _teams() -> list[str]:
    return list(Team.objects.order_by("name").values_list("name", flat=True)[:20])
