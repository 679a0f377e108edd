"""Share links through the API: who may change which, and what is said once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from jobs.models import Experiment, Status
from webapp.accounts.models import Team, User
from webapp.sharing.models import ShareLink

Api = Callable[..., Client]


@pytest.fixture
def experiment(make_experiment: Callable[..., Experiment]) -> Experiment:
    return make_experiment(status=Status.FINISHED, n=2, c=1)


def make(client: Client, experiment: Experiment, **more: Any) -> Any:
    body = {"target": "experiment", "scope": {"experiment": str(experiment.code)}} | more
    address = f"/api/v1/teams/{experiment.team.code}/share-links"
    return client.post(address, body, content_type="application/json")


def test_the_address_is_told_once_and_works(api: Api, alice: User, experiment: Experiment) -> None:
    client = api(alice)
    made = make(client, experiment, anonymous=True, days=None, embed_hosts=["lab.org"]).json()
    assert Client().get(made["url"].removeprefix("http://testserver")).status_code == 200
    assert made["expires_at"] is None and made["state"] == "open" and "<iframe" in made["embed_code"]
    read = client.get(f"/api/v1/share-links/{made['code']}").json()
    assert read["use_count"] == 1 and not {"url", "qr", "embed_url"} & set(read)
    assert made["url"].split("/")[-2] not in str(ShareLink.objects.values().get())


def test_members_and_service_accounts_change_their_own(
    api: Api, alice: User, bob: User, team: Team, experiment: Experiment
) -> None:
    owner, member, robot = api(alice), api(bob), api(None, team=team)
    codes = {who: make(client, experiment).json()["code"] for who, client in (("bob", member), ("robot", robot))}
    assert member.post(f"/api/v1/share-links/{codes['robot']}/pause").status_code == 403
    assert robot.post(f"/api/v1/share-links/{codes['bob']}/pause").status_code == 403
    assert robot.post(f"/api/v1/share-links/{codes['robot']}/pause").json()["made_by"] == "service account nightly"
    many = {"codes": list(codes.values())}
    address = f"/api/v1/teams/{team.code}/share-links/revoke"
    assert member.post(address, many, content_type="application/json").json() == {"revoked": [codes["bob"]]}
    assert owner.post(address, many, content_type="application/json").json() == {"revoked": [codes["robot"]]}
    assert owner.post(f"/api/v1/share-links/{codes['bob']}/resume").status_code == 409


def test_pages_of_the_list_follow_each_other(api: Api, alice: User, experiment: Experiment) -> None:
    client = api(alice)
    made = [make(client, experiment, label=f"link {i}").json()["code"] for i in range(5)]
    found: list[str] = []
    cursor = ""
    while cursor is not None:
        query = {"limit": 2, "cursor": cursor, "state": "open"}
        page = client.get(f"/api/v1/teams/{experiment.team.code}/share-links", query).json()
        found += [item["code"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert found == made[::-1]


@pytest.mark.parametrize(
    "wrong",
    [{"target": "planet"}, {"scope": {}}, {"days": 0}, {"embed_hosts": ["*"]}, {"label": "a\0"}, {"password": "x"}],
)
def test_what_is_wrong_is_refused_with_a_sentence(wrong: Any, api: Api, alice: User, experiment: Experiment) -> None:
    answer = make(api(alice), experiment, **wrong)
    assert answer.status_code == 422 and answer.json()["errors"]
    assert not ShareLink.objects.exists()
