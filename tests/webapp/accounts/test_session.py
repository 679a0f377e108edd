"""Signing up, in and out; limits on guessing; the account page; password reset."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.conftest import PASSWORD
from webapp import rate_limits
from webapp.accounts.memberships import invite
from webapp.accounts.models import Membership, Team, User

pytestmark = pytest.mark.django_db
NEW = {"name": "Dana Fen", "email": "Dana@Example.org", "password": PASSWORD}


def sign_in(client: Client, email: str, password: str = PASSWORD, **extra: Any) -> Any:
    return client.post(reverse("sign-in"), {"username": email, "password": password}, **extra)


def test_sign_up_makes_a_person_with_a_team(client: Client) -> None:
    response = client.post(reverse("sign-up"), NEW, follow=True)
    user = User.objects.get()
    team = Team.objects.get()
    assert user.email == "dana@example.org"
    assert team.memberships.get().role == "owner"
    assert response.redirect_chain[-1][0] == reverse("team-home", args=[team.code])
    assert "No experiments yet" in response.content.decode()


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("password", "short", "10 characters"),
        ("password", "dana@example.org", "too similar"),
        ("email", "not an address", "valid email"),
        ("name", "", "required"),
    ],
)
def test_sign_up_says_what_is_wrong(client: Client, field: str, value: str, sentence: str) -> None:
    response = client.post(reverse("sign-up"), NEW | {field: value})
    assert sentence in response.content.decode()
    assert not User.objects.exists()


def test_an_address_signs_up_once_whatever_its_capitals(client: Client) -> None:
    Client().post(reverse("sign-up"), NEW)
    response = client.post(reverse("sign-up"), NEW | {"email": "DANA@EXAMPLE.ORG"})
    assert "Sign in instead" in response.content.decode()


def test_closed_sign_up_opens_for_an_invitation(client: Client, settings: Any, team: Team, alice: User) -> None:
    settings.OPEN_SIGN_UP = False
    assert client.get(reverse("sign-up")).status_code == 403
    assert client.post(reverse("sign-up"), NEW).status_code == 403
    link = reverse("invitation", args=[invite(team, role="member", by=alice)])
    client.post(reverse("sign-up"), NEW | {"next": link})
    client.post(link)
    assert Membership.objects.get(user__email="dana@example.org").team == team


def test_sign_in_takes_any_capitals_in_the_address(client: Client, alice: User) -> None:
    assert sign_in(client, "ALICE@example.org").status_code == 302


def test_sign_in_goes_back_to_this_site_only(client: Client, alice: User) -> None:
    form = {"username": alice.email, "password": PASSWORD}
    assert client.post(reverse("sign-in"), form | {"next": "/account/"}).url == "/account/"
    client.logout()
    assert client.post(reverse("sign-in"), form | {"next": "https://evil.example"}).url == reverse("home")


def test_guessing_a_password_is_limited(client: Client, alice: User) -> None:
    for _ in range(10):
        assert sign_in(client, alice.email, "wrong").status_code == 200
    response = sign_in(client, alice.email)  # even the right one
    assert response.status_code == 429
    assert "Wait 10 minutes" in response.content.decode()
    assert sign_in(Client(REMOTE_ADDR="192.0.2.7"), alice.email).status_code == 302  # from elsewhere it works


def test_a_success_forgives_earlier_mistakes(client: Client, alice: User) -> None:
    for _ in range(3):
        for _ in range(9):
            sign_in(client, alice.email, "wrong")
        assert sign_in(client, alice.email).status_code == 302
        client.logout()


class SilentCache:
    """A cache server that does not answer."""

    def __getattr__(self, name: str) -> Any:
        raise RedisConnectionError("no server")


def test_a_silent_cache_does_not_lock_people_out(client: Client, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "cache", SilentCache())
    assert sign_in(client, alice.email).status_code == 302


def test_account_changes_the_name(as_user: Callable[[User], Client], alice: User) -> None:
    as_user(alice).post(reverse("account"), {"form": "name", "name": "Alice Marsh"})
    alice.refresh_from_db()
    assert alice.name == "Alice Marsh"


def test_account_changes_the_password_and_signs_other_browsers_out(client: Client, alice: User) -> None:
    other = Client()
    sign_in(client, alice.email)
    sign_in(other, alice.email)
    new = {
        "old_password": PASSWORD,
        "new_password1": "a very new pass phrase",
        "new_password2": "a very new pass phrase",
    }
    client.post(reverse("account"), new | {"form": "password"})
    assert client.get(reverse("account")).status_code == 200
    assert other.get(reverse("account")).status_code == 302
    assert sign_in(Client(), alice.email, "a very new pass phrase").status_code == 302


def test_a_wrong_old_password_changes_nothing(as_user: Callable[[User], Client], alice: User) -> None:
    wrong = {"form": "password", "old_password": "no", "new_password1": "x" * 12, "new_password2": "x" * 12}
    response = as_user(alice).post(reverse("account"), wrong)
    assert response.status_code == 200
    assert User.objects.get(pk=alice.pk).check_password(PASSWORD)


def test_password_reset_by_mail(client: Client, alice: User) -> None:
    client.post(reverse("password_reset"), {"email": alice.email})
    link = re.search(r"http://testserver(/password/\S+)", str(mail.outbox[0].body))
    assert link
    form_url = client.get(link[1], follow=True).redirect_chain[-1][0]
    client.post(form_url, {"new_password1": "a very new pass phrase", "new_password2": "a very new pass phrase"})
    assert sign_in(Client(), alice.email, "a very new pass phrase").status_code == 302


def test_password_reset_tells_nobody_who_signed_up(client: Client, alice: User) -> None:
    known = client.post(reverse("password_reset"), {"email": alice.email})
    unknown = client.post(reverse("password_reset"), {"email": "nobody@example.org"})
    assert known.url == unknown.url
    assert len(mail.outbox) == 1
