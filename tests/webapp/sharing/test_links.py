"""Share links: shown once, scoped, expiring, revocable, counted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from jobs.kinds.sampling.models import Problem
from jobs.models import Experiment
from tests.webapp.sharing.conftest import get
from webapp.accounts.models import Team, User
from webapp.experiments.compare.shared import _HASH
from webapp.sharing import services
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


# --- pausing, many at once, filters -----------------------------------------------------------------------------------


def test_a_paused_link_rests_and_works_again(as_user: SignIn, alice: User, experiment: Experiment) -> None:
    owner = as_user(alice)
    path = shared_path(make_link(owner, experiment))
    link = ShareLink.objects.get()
    assert owner.post(reverse("share-pause", args=[link.code])).status_code == 302
    assert Client().get(path).status_code == 403
    assert "paused" in Client().get(path).content.decode()
    owner.post(reverse("share-resume", args=[link.code]))
    assert Client().get(path).status_code == 200


def test_an_ended_link_cannot_be_resumed(as_user: SignIn, alice: User, experiment: Experiment) -> None:
    owner = as_user(alice)
    path = shared_path(make_link(owner, experiment))
    link = ShareLink.objects.get()
    for action in ("share-pause", "share-revoke", "share-resume"):
        owner.post(reverse(action, args=[link.code]))
    assert Client().get(path).status_code == 410


def test_many_links_end_at_once_but_only_those_one_may_revoke(
    as_user: SignIn, alice: User, bob: User, team: Team, experiment: Experiment
) -> None:
    for who in (alice, bob, bob):
        make_link(as_user(who), experiment)
    every = [str(link.code) for link in ShareLink.objects.all()]
    address = reverse("share-revoke-many", args=[team.code])
    as_user(bob).post(address, {"code": [*every, "nonsense"]})
    assert [link.is_active for link in ShareLink.objects.order_by("pk")] == [True, False, False]
    as_user(alice).post(address, {"code": every})
    assert not ShareLink.objects.active().exists()


@pytest.mark.parametrize(
    ("query", "labels"),
    [
        ("", {"open", "paused", "bobs"}),
        ("state=revoked", {"revoked"}),
        ("state=all", {"open", "paused", "bobs", "revoked"}),
        ("state=open&q=bob", {"bobs"}),
        ("mine=1", {"open", "paused"}),
        ("target=chart", set()),
        ("state=nonsense&page=99999&target=x", {"open", "paused", "bobs"}),
    ],
)
def test_the_list_is_filtered_by_its_address(
    query: str, labels: set[str], as_user: SignIn, alice: User, bob: User, team: Team, experiment: Experiment
) -> None:
    for label, who in (("open", alice), ("paused", alice), ("revoked", alice), ("bobs", bob)):
        make_link(as_user(who), experiment, label=f"label-{label}")
    ShareLink.objects.filter(label="label-paused").update(paused_at=timezone.now())
    ShareLink.objects.filter(label="label-revoked").update(revoked_at=timezone.now())
    page = as_user(alice).get(f"{reverse('share-links', args=[team.code])}?{query}").content.decode()
    assert set(re.findall(r"label-(\w+)", page)) == labels


def test_uses_are_written_once_a_minute_and_counted_all(as_user: SignIn, alice: User, experiment: Experiment) -> None:
    owner = as_user(alice)
    path = shared_path(make_link(owner, experiment))
    visitor = Client()
    visitor.get(path)
    with CaptureQueriesContext(connection) as queries:
        for _ in range(3):
            visitor.get(path)
    assert not [query for query in queries.captured_queries if query["sql"].startswith("UPDATE")]
    assert "4 times" in owner.get(reverse("share-links", args=[experiment.team.code])).content.decode()
    assert ShareLink.objects.get().use_count == 4


# --- words, codes, frames ---------------------------------------------------------------------------------------------


def test_the_scope_is_said_before_and_after(as_user: SignIn, alice: User, experiment: Experiment) -> None:
    owner = as_user(alice)
    scope = json.dumps({"experiment": str(experiment.code)})
    form = {"target": "experiment", "scope": scope, "expires": "never", "anonymous": "on", "freeze": "on"}
    said = owner.post(reverse("share-words", args=[experiment.team.code]), form).json()
    assert not ShareLink.objects.exists()
    made = make_link(owner, experiment, **form).json()
    assert made["shows"] == said["shows"] and made["hides"] == said["hides"]
    assert f"The experiment {experiment.name}: its figures, settings and state" in said["shows"]
    assert any("sample texts" in line for line in said["hides"])  # a snapshot keeps none
    assert any(line.startswith("Names of people") for line in said["hides"])
    assert "As it is at this moment; later changes do not show" in said["terms"]
    assert "Until it is revoked" in made["terms"]
    assert made["qr"].startswith("data:image/svg+xml") and made["embed_code"] == ""


@pytest.mark.parametrize(
    ("target", "scope"),
    [
        ("experiment", {}),
        ("experiment", {"experiment": "x"}),
        ("chart", {"experiment": "CODE", "chart": "secrets"}),
        ("chart", {"experiment": "CODE", "chart": ["coverage"]}),
        ("comparison", {"query": "e=CODE2"}),
        ("comparison", {"query": 3}),
        ("planet", {}),
        ("experiment", {"experiment": "CODE2"}),
    ],
)
def test_nothing_of_others_and_nothing_unknown_is_shared(
    target: str, scope: dict[str, Any], as_user: SignIn, alice: User, charlie: User, make_experiment: MakeExperiment
) -> None:
    own = make_experiment()
    theirs = make_experiment(team=Team.objects.get(name="Elsewhere"), owner=charlie)
    text = json.dumps(scope).replace("CODE2", str(theirs.code)).replace("CODE", str(own.code))
    form = {"target": target, "scope": text, "expires": "7"}
    for name in ("share-words", "share-create"):
        address = reverse(name, args=[own.team.code])
        answer = as_user(alice).post(address, form, headers={"Accept": "application/json"})
        assert answer.status_code == 400 and answer.json()["errors"]
    assert not ShareLink.objects.exists()


def test_a_frame_is_for_the_named_sites_alone(as_user: SignIn, alice: User, experiment: Experiment) -> None:
    made = make_link(as_user(alice), experiment, embed_hosts="lab.example.org, https://*.example.net").json()
    path = made["embed_url"].removeprefix("http://testserver")
    assert f'src="http://testserver{path}"' in made["embed_code"] and "sandbox=" in made["embed_code"]
    page = Client().get(path)
    policy = dict(part.strip().split(" ", 1) for part in page["Content-Security-Policy"].split(";"))
    assert policy["frame-ancestors"] == "lab.example.org https://*.example.net"
    assert "X-Frame-Options" not in page and not page.cookies
    assert 'class="topbar"' not in page.content.decode()
    shown = Client().get(shared_path(make_link(as_user(alice), experiment)))
    assert "frame-ancestors 'none'" in shown["Content-Security-Policy"] and shown["X-Frame-Options"] == "DENY"


def test_a_link_without_sites_has_no_frame(as_user: SignIn, alice: User, experiment: Experiment) -> None:
    token = shared_path(make_link(as_user(alice), experiment)).split("/")[2]
    assert Client().get(reverse("embedded", args=[token])).status_code == 404


@pytest.mark.parametrize("hosts", ["'self'", "*", "a.org; script-src *", "data:", "https://a.org/path", "a..b\r\nX: 1"])
def test_what_is_no_host_is_refused(hosts: str, as_user: SignIn, alice: User, experiment: Experiment) -> None:
    assert make_link(as_user(alice), experiment, embed_hosts=hosts).status_code == 400


# --- frozen -----------------------------------------------------------------------------------------------------------


def test_a_frozen_link_shows_what_was(as_user: SignIn, alice: User, experiment: Experiment) -> None:
    path = shared_path(make_link(as_user(alice), experiment, freeze="on"))
    addresses = ["", "config/", "live.json", "data/forecast.json", "downloads/problems.csv"]
    before = [_plain(path + each) for each in addresses]
    Problem.objects.filter(experiment=experiment).update(n=9, c=9, seq=7)
    spec = experiment.spec | {"temperature": 0.123}
    Experiment.objects.filter(pk=experiment.pk).update(name="Renamed", status="failed", spec=spec, last_seq=7)
    assert [_plain(path + each) for each in addresses] == before
    live = shared_path(make_link(as_user(alice), experiment))
    assert [_plain(live + each) != then for each, then in zip(addresses, before, strict=True)] == [True] * 5


def _plain(path: str) -> str:
    status, body, _ = get(path)
    assert status == 200
    return re.sub(r'nonce="[^"]*"|/s/[\w-]+/', "", body.decode())


def test_a_frozen_link_keeps_a_bounded_amount(
    as_user: SignIn, alice: User, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "MOST_SNAPSHOT", 1000)
    assert (
        "too large to freeze" in make_link(as_user(alice), experiment, freeze="on").json()["errors"][""][0]["message"]
    )
    assert not ShareLink.objects.exists()


def test_a_frozen_comparison_shows_what_was(
    as_user: SignIn, alice: User, experiment: Experiment, make_experiment: MakeExperiment
) -> None:
    other = make_experiment(name="Other", status="finished", n=2, c=2)
    scope = json.dumps({"query": f"e={experiment.code}&e={other.code}"})
    made = [
        shared_path(make_link(as_user(alice), experiment, target="comparison", scope=scope, **how))
        for how in ({"freeze": "on"}, {})
    ]
    addresses = ["", "compared/0/selection.json", "compared/1/forecast.json"]
    before = [[_plain(path + each) for each in addresses] for path in made]
    assert [json.loads(text) == json.loads(live) for text, live in zip(*before, strict=True) if text[0] == "{"] == [
        True,
        True,
    ]
    assert all("Other" in page and "/experiments/" not in page and "TOKEN" not in page for page, *_ in before)
    Problem.objects.filter(experiment=other).update(n=9, c=3)
    Experiment.objects.filter(pk=other.pk).update(name="Renamed", last_seq=7)
    after = [[_plain(path + each) for each in addresses] for path in made]
    assert after[0] == before[0] and after[1] != before[1]


@pytest.mark.parametrize("name", ["webapp/img/icons.svg", "webapp/img/icons.0123456789ab.svg"])
def test_kept_pages_name_static_files_without_their_hash(name: str) -> None:
    assert _HASH.sub("", name) == "webapp/img/icons.svg"
