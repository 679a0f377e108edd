"""Tokens: shown once, kept hashed, limited to their scope, their team and their time."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from webapp.accounts.models import Membership, Role, Team, User
from webapp.api import models
from webapp.api.models import ApiToken

SignIn = Callable[[User], Client]
Make = Callable[..., tuple[ApiToken, str]]
ME = "/api/v1/me"


def bearer(text: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {text}"})


def create(client: Client, **values: str) -> str:
    """The token's text out of the page that shows it."""
    form = {"name": "laptop", "acts_for": "me", "scope": "read", "expires": "30"} | values
    page = client.post(reverse("api-token-create"), form)
    assert page.status_code == 200
    assert page["Cache-Control"] == "no-store"
    found = re.search(r'id="new-token">([^<]+)<', page.content.decode())
    assert found
    return found[1]


def test_a_token_is_shown_once_and_kept_hashed(as_user: SignIn, alice: User) -> None:
    client = as_user(alice)
    text = create(client)
    assert re.fullmatch(r"cnp_r_[\w-]{32}", text)
    kept = ApiToken.objects.values().get()
    assert text not in str(kept)
    assert kept["token_prefix"] == text[:12]
    account = client.get(reverse("account")).content.decode()
    assert text[:12] in account and text not in account
    assert bearer(text).get(ME).json()["person"] == {"code": str(alice.code), "name": "Alice"}


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer nonsense", "Basic YTpi", "Bearer \x00", "Token {}", "{}"])
def test_anything_but_a_bearer_token_is_refused(header: str, token_for: Make, alice: User) -> None:
    text = token_for(alice)[1]
    answer = Client(headers={"Authorization": header.format(text)}).get(ME)
    assert answer.status_code == 401
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["WWW-Authenticate"] == "Bearer"
    assert "account page" in answer.json()["detail"]


def test_a_session_opens_nothing(as_user: SignIn, alice: User, team: Team) -> None:
    client = as_user(alice)
    assert client.get(ME).status_code == 401
    assert client.post(f"/api/v1/teams/{team.code}/experiments", {}, "application/json").status_code == 401


def test_expired_revoked_and_switched_off(token_for: Make, alice: User) -> None:
    token, text = token_for(alice)
    assert bearer(text).get(ME).status_code == 200
    ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert bearer(text).get(ME).status_code == 401
    ApiToken.objects.update(expires_at=None)
    assert bearer(text).get(ME).status_code == 200
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert bearer(text).get(ME).status_code == 401
    User.objects.filter(pk=alice.pk).update(is_active=True)
    ApiToken.objects.filter(pk=token.pk).update(revoked_at=timezone.now())
    assert bearer(text).get(ME).status_code == 401


def test_revoking(as_user: SignIn, token_for: Make, alice: User, bob: User, charlie: User, team: Team) -> None:
    own, _ = token_for(bob)
    service, _ = token_for(None, team=team)

    def revoke(token: ApiToken, user: User) -> int:
        return as_user(user).post(reverse("api-token-revoke", args=[token.code])).status_code

    assert revoke(own, alice) == 404  # not even the team's owner touches another person's token
    assert revoke(service, bob) == 404
    assert revoke(service, charlie) == 404
    assert ApiToken.objects.active().count() == 2
    assert revoke(own, bob) == 302
    assert revoke(service, alice) == 302
    assert ApiToken.objects.active().count() == 0


def test_only_owners_make_service_accounts(as_user: SignIn, alice: User, bob: User, team: Team) -> None:
    form = {"name": "ci", "acts_for": f"team:{team.code}", "scope": "write", "expires": "never"}
    assert as_user(bob).post(reverse("api-token-create"), form).status_code == 422
    text = create(as_user(alice), **form)
    me = bearer(text).get(ME).json()
    assert me["person"] is None
    assert [(one["name"], one["role"], one["can_write"]) for one in me["teams"]] == [("Marsh lab", "member", True)]
    assert ApiToken.objects.get().expires_at is None


def test_a_service_account_outlives_its_maker(token_for: Make, alice: User, bob: User, team: Team) -> None:
    _, text = token_for(None, team=team, scope="read")
    Membership.objects.filter(user=bob).update(role=Role.OWNER)
    alice.delete()
    assert bearer(text).get(ME).json()["teams"][0]["can_write"] is False


def test_a_token_for_one_team_reaches_no_other(token_for: Make, alice: User, team: Team) -> None:
    other = Team.objects.create(name="Second")
    Membership.objects.create(team=other, user=alice, role=Role.OWNER)
    _, everywhere = token_for(alice)
    _, one = token_for(alice, team=team)
    path = f"/api/v1/teams/{other.code}/experiments"
    assert bearer(everywhere).get(path).status_code == 200
    assert bearer(one).get(path).status_code == 404
    assert [each["name"] for each in bearer(one).get(ME).json()["teams"]] == ["Marsh lab"]


def test_a_token_loses_what_its_person_loses(token_for: Make, bob: User, team: Team) -> None:
    _, text = token_for(bob)
    Membership.objects.filter(user=bob).update(role=Role.VIEWER)
    assert bearer(text).get(ME).json()["teams"][0]["can_write"] is False
    Membership.objects.filter(user=bob).delete()
    assert bearer(text).get(f"/api/v1/teams/{team.code}/workers").status_code == 404


def test_last_used_is_written_now_and_then(token_for: Make, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    _, text = token_for(alice)
    bearer(text).get(ME)
    first = ApiToken.objects.get().last_used_at
    assert first is not None
    bearer(text).get(ME)
    assert ApiToken.objects.get().last_used_at == first
    monkeypatch.setattr(models, "USE_NOTED_EVERY", timedelta(0))
    bearer(text).get(ME)
    assert ApiToken.objects.get().last_used_at > first


def test_guessing_is_limited(alice: User) -> None:
    answers = [bearer(f"cnp_r_{i}").get(ME) for i in range(61)]
    assert {answer.status_code for answer in answers[:60]} == {401}
    assert answers[60].status_code == 429
    assert answers[60]["Retry-After"]
