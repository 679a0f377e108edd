"""Share links: shown once, scoped, expiring, revocable, counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from jobs.models import Experiment
from webapp.accounts.models import Team, User
from webapp.sharing.models import ShareLink

SignIn = Callable[[User], Client]
MakeExperiment = Callable[..., Experiment]


@pytest.fixture
def experiment(make_experiment: MakeExperiment) -> Experiment:
    return make_experiment(status="finished", n=2, c=1)


def make_link(client: Client, experiment: Experiment, **form: str) -> Any:
    url = reverse("share-create", args=[experiment.team.code])
    what = {"target": "experiment", "scope": json.dumps({"experiment": str(experiment.code)})}
    values = what | {"expires": "30", "include_samples": "on"} | form
    return client.post(url, values, headers={"Accept": "application/json"})


def shared_path(response: Any) -> str:
    return str(response.json()["url"]).removeprefix("http://testserver")


def test_the_token_is_shown_once_and_kept_hashed(as_user: SignIn, alice: User, experiment: Experiment) -> None:
    owner = as_user(alice)
    response = make_link(owner, experiment, label="for reviewers")
    token = shared_path(response).split("/")[2]
    link = ShareLink.objects.get()
    assert response["Cache-Control"] == "no-store"
    assert token not in str(ShareLink.objects.values().get())
    page = owner.get(reverse("share-links", args=[experiment.team.code])).content.decode()
    assert "for reviewers" in page and link.token_prefix in page and token not in page


@pytest.mark.parametrize(("expires", "days"), [("1", 1), ("90", 90)])
def test_a_link_ends_when_it_was_said(
    as_user: SignIn, alice: User, experiment: Experiment, expires: str, days: int
) -> None:
    make_link(as_user(alice), experiment, expires=expires)
    left = ShareLink.objects.get().expires_at
    assert left is not None
    assert timedelta(days) - timedelta(minutes=1) < left - timezone.now() <= timedelta(days)


def test_a_link_may_last(as_user: SignIn, alice: User, experiment: Experiment) -> None:
    make_link(as_user(alice), experiment, expires="never")
    assert ShareLink.objects.get().expires_at is None


@pytest.mark.parametrize("form", [{"expires": "999"}, {"expires": ""}, {"label": "x" * 81}])
def test_a_wrong_form_makes_no_link(as_user: SignIn, alice: User, experiment: Experiment, form: dict[str, str]) -> None:
    assert make_link(as_user(alice), experiment, **form).status_code == 400
    assert not ShareLink.objects.exists()


def test_without_script_the_page_itself_shows_the_link(as_user: SignIn, alice: User, experiment: Experiment) -> None:
    what = {"target": "experiment", "scope": json.dumps({"experiment": str(experiment.code)}), "expires": "7"}
    response = as_user(alice).post(reverse("share-create", args=[experiment.team.code]), what)
    assert 'id="new-link">http://testserver/s/' in response.content.decode()


def test_a_shared_page_has_no_way_out(as_user: SignIn, alice: User, make_experiment: MakeExperiment) -> None:
    experiment, other = make_experiment(name="Shared one"), make_experiment(name="Private one")
    path = shared_path(make_link(as_user(alice), experiment))
    stranger = Client()
    page = stranger.get(path)
    text = page.content.decode()
    assert page.status_code == 200 and "Shared one" in text
    for hidden in ("Private one", str(experiment.team.code), str(other.code), alice.email, "/teams/", "/account/"):
        assert hidden not in text
    assert stranger.get(reverse("experiment", args=[experiment.code])).status_code == 302
    assert not page.cookies  # no session, no login


def test_shared_answers_leak_no_token(as_user: SignIn, alice: User, experiment: Experiment) -> None:
    path = shared_path(make_link(as_user(alice), experiment))
    for address in (path, f"{path}live.json", f"{path}config/", "/s/unknown/"):
        response = Client().get(address)
        assert response["Referrer-Policy"] == "no-referrer"
        assert response["X-Robots-Tag"].startswith("noindex")
        assert response["Cache-Control"] == "private"


def test_an_ended_link_is_gone_and_an_unknown_one_not_found(
    as_user: SignIn, alice: User, experiment: Experiment
) -> None:
    owner = as_user(alice)
    revoked, expired = (shared_path(make_link(owner, experiment)) for _ in range(2))
    first, second = ShareLink.objects.order_by("pk")
    owner.post(reverse("share-revoke", args=[first.code]))
    ShareLink.objects.filter(pk=second.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    for path in (revoked, expired, f"{revoked}live.json", f"{expired}config/"):
        assert Client().get(path).status_code == 410
    assert Client().get("/s/unknown/").status_code == 404


def test_guessing_tokens_is_limited(client: Client, db: None) -> None:
    answers = [client.get(f"/s/guess-{i}/").status_code for i in range(31)]
    assert answers == [404] * 30 + [429]


def test_pages_count_as_uses_and_polling_does_not(as_user: SignIn, alice: User, experiment: Experiment) -> None:
    path = shared_path(make_link(as_user(alice), experiment))
    for address in (path, f"{path}live.json", f"{path}live.json"):
        Client().get(address)
    link = ShareLink.objects.get()
    assert link.use_count == 1
    assert link.last_used_at is not None


def test_members_revoke_their_own_links_only(as_user: SignIn, alice: User, bob: User, experiment: Experiment) -> None:
    make_link(as_user(alice), experiment)
    make_link(as_user(bob), experiment)
    theirs, own = ShareLink.objects.order_by("pk")
    member = as_user(bob)
    assert member.post(reverse("share-revoke", args=[theirs.code])).status_code == 403
    assert member.post(reverse("share-revoke", args=[own.code])).status_code == 302
    assert [link.is_active for link in ShareLink.objects.order_by("pk")] == [True, False]


@pytest.mark.django_db(transaction=True)
def test_open_shared_pages_hear_of_a_revoked_link(as_user: SignIn, alice: User, experiment: Experiment) -> None:
    owner = as_user(alice)
    make_link(owner, experiment)
    link = ShareLink.objects.get()
    layer = get_channel_layer()
    channel = async_to_sync(layer.new_channel)()
    async_to_sync(layer.group_add)(f"share.{link.pk}", channel)
    owner.post(reverse("share-revoke", args=[link.code]))
    assert async_to_sync(layer.receive)(channel) == {"type": "access.changed"}


def test_the_list_of_links_shows_the_teams_only(
    as_user: SignIn, alice: User, charlie: User, team: Team, make_experiment: MakeExperiment
) -> None:
    elsewhere = Team.objects.get(name="Elsewhere")
    make_link(as_user(charlie), make_experiment(team=elsewhere, owner=charlie, name="Theirs"), label="secret label")
    page = as_user(alice).get(reverse("share-links", args=[team.code])).content.decode()
    assert "secret label" not in page
