"""Teams, roles and invitations."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from webapp.accounts import memberships
from webapp.accounts.models import Invitation, Membership, Role, Team, User

SignIn = Callable[[User], Client]


def role_of(user: User, team: Team) -> str | None:
    return Membership.objects.filter(user=user, team=team).values_list("role", flat=True).first()


def test_who_makes_a_team_owns_it(as_user: SignIn, alice: User) -> None:
    as_user(alice).post(reverse("team-new"), {"name": "Second"})
    assert role_of(alice, Team.objects.get(name="Second")) == Role.OWNER


def test_somebody_without_a_team_is_led_to_make_one(as_user: SignIn, alice: User) -> None:
    Membership.objects.all().delete()
    client = as_user(alice)
    assert client.get(reverse("home")).url == reverse("team-new")
    assert client.get(reverse("team-new")).status_code == 200
    assert client.get(reverse("account")).status_code == 200


def test_an_owner_changes_roles(as_user: SignIn, team: Team, alice: User, bob: User) -> None:
    as_user(alice).post(reverse("member-role", args=[team.code, bob.code]), {"role": "viewer"})
    assert role_of(bob, team) == Role.VIEWER


@pytest.mark.parametrize("data", [{}, {"role": ""}, {"role": "king"}])
def test_an_unknown_role_changes_nothing(
    as_user: SignIn, team: Team, alice: User, bob: User, data: dict[str, str]
) -> None:
    as_user(alice).post(reverse("member-role", args=[team.code, bob.code]), data)
    assert role_of(bob, team) == Role.MEMBER


def test_the_last_owner_stays(as_user: SignIn, team: Team, alice: User, bob: User) -> None:
    client = as_user(alice)
    own = [team.code, alice.code]
    client.post(reverse("member-role", args=own), {"role": "member"})
    response = client.post(reverse("member-remove", args=own), follow=True)
    assert "A team needs an owner" in response.content.decode()
    assert role_of(alice, team) == Role.OWNER
    client.post(reverse("member-role", args=[team.code, bob.code]), {"role": "owner"})
    client.post(reverse("member-remove", args=own))
    assert role_of(alice, team) is None


def test_a_removed_person_is_outside_at_once(as_user: SignIn, team: Team, alice: User, bob: User) -> None:
    page = reverse("experiments", args=[team.code])
    bobs = as_user(bob)
    assert bobs.get(page).status_code == 200
    as_user(alice).post(reverse("member-remove", args=[team.code, bob.code]))
    assert bobs.get(page).status_code == 404
    assert bobs.get(reverse("home")).url == reverse("team-new")


def new_link(response: Any) -> str:
    found = re.search(r'id="new-link">http://testserver([^<]+)<', response.content.decode())
    assert found
    return found[1]


def test_an_invitation_is_shown_once_and_works_once(
    as_user: SignIn, team: Team, alice: User, charlie: User, vera: User
) -> None:
    owner = as_user(alice)
    response = owner.post(reverse("invite-create", args=[team.code]), {"role": "viewer"})
    link = new_link(response)
    assert response["Cache-Control"] == "no-store"
    token = link.split("/")[2]
    assert token not in owner.get(reverse("team-people", args=[team.code])).content.decode()
    assert token not in str(list(Invitation.objects.values()))
    as_user(vera).post(link)  # in the team already: the invitation stays good
    as_user(charlie).post(link)
    assert role_of(charlie, team) == Role.VIEWER
    assert Client().get(link).status_code == 410


def test_a_link_leads_a_stranger_through_sign_up_into_the_team(client: Client, team: Team, alice: User) -> None:
    link = reverse("invitation", args=[memberships.invite(team, role="member", by=alice)])
    page = client.get(link).content.decode()
    assert team.name in page and f"{reverse('sign-up')}?next={link}" in page
    form = {"name": "Dana", "email": "dana@example.org", "password": "coverage grows with k", "next": link}
    assert client.post(reverse("sign-up"), form).url == link
    assert client.post(link).url == reverse("experiments", args=[team.code])
    assert Team.objects.count() == 1  # no team of one's own beside the one that invited


@pytest.mark.parametrize("change", [{"revoked_at": timezone.now()}, {"expires_at": timezone.now() - timedelta(1)}])
def test_an_ended_invitation_answers_gone(
    as_user: SignIn, team: Team, alice: User, charlie: User, change: dict[str, Any]
) -> None:
    link = reverse("invitation", args=[memberships.invite(team, role="member", by=alice)])
    Invitation.objects.update(**change)
    assert as_user(charlie).post(link).status_code == 410
    assert role_of(charlie, team) is None


def test_an_owner_revokes_an_invitation(as_user: SignIn, team: Team, alice: User) -> None:
    link = reverse("invitation", args=[memberships.invite(team, role="member", by=alice)])
    as_user(alice).post(reverse("invite-revoke", args=[team.code, Invitation.objects.get().code]))
    assert Client().get(link).status_code == 410


def test_guessing_invitations_is_limited(client: Client, db: None) -> None:
    answers = [client.get(reverse("invitation", args=[f"guess-{i}"])).status_code for i in range(31)]
    assert answers == [404] * 30 + [429]


def test_addresses_with_tokens_leak_nothing(client: Client, team: Team, alice: User) -> None:
    response = client.get(reverse("invitation", args=[memberships.invite(team, role="member", by=alice)]))
    assert response["Referrer-Policy"] == "no-referrer"
    assert "noindex" in response["X-Robots-Tag"]


@pytest.mark.django_db(transaction=True)
def test_open_pages_hear_of_a_changed_role(team: Team, alice: User, bob: User) -> None:
    layer = get_channel_layer()
    channel = async_to_sync(layer.new_channel)()
    async_to_sync(layer.group_add)(f"user.{bob.pk}", channel)
    memberships.set_role(team.memberships.get(user=bob), "viewer")
    assert async_to_sync(layer.receive)(channel) == {"type": "access.changed"}
