"""What operations do: lists and cursors, submits that may be repeated, actions, ETags, limits, errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from jobs.kinds.sampling.models import ProblemSet, Sample
from jobs.models import Experiment, LogLine, Shard, Status, Worker
from tests.webapp.test_samples import draw
from webapp import rate_limits
from webapp.accounts.models import Team, User
from webapp.api import results
from webapp.api.models import IdempotencyKey

Api = Callable[..., Client]
Make = Callable[..., Experiment]
SMALL = {"kind": "sampling", "spec": {"samples": 2, "limit": 3}}


def send(client: Client, method: str, path: str, body: Any = None, **headers: str) -> Any:
    text = body if isinstance(body, str) else json.dumps(body)
    return getattr(client, method)(f"/api/v1{path}", text, content_type="application/json", headers=headers)


def every(client: Client, path: str, **query: Any) -> list[dict[str, Any]]:
    """All items of a list, page after page."""
    items: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = client.get(f"/api/v1{path}", query | ({"cursor": cursor} if cursor else {}))
        assert page.status_code == 200, page.content
        items += page.json()["items"]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            return items


def is_problem(answer: Any, status: int, *fields: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status and body["detail"].endswith((".", "!"))
    assert sorted(error["field"] for error in body["errors"]) == sorted(fields)
    return body


# --- lists ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sort", ["-created", "created", "name", "-name", "status", "-status"])
def test_pages_hold_everything_once(sort: str, api: Api, alice: User, team: Team, make_experiment: Make) -> None:
    now = timezone.now()
    statuses = [Status.FINISHED, Status.QUEUED]
    for i in range(7):
        moment = now - timedelta(seconds=i // 2)  # some are of the same moment, and some have the same name
        make_experiment(problems=0, name=f"run {i % 3}", status=statuses[i % 2], created_at=moment)
    items = every(api(alice), f"/teams/{team.code}/experiments", sort=sort, limit=2)
    assert len({item["code"] for item in items}) == len(items) == 7
    field = {"created": "created_at"}.get(sort.removeprefix("-"), sort.removeprefix("-"))
    values = [item[field] for item in items]
    assert values == sorted(values, reverse=sort.startswith("-"))


def test_a_page_is_not_upset_by_what_comes_and_goes(api: Api, alice: User, team: Team, make_experiment: Make) -> None:
    made = [make_experiment(problems=0, name=f"run {i}", status=Status.FINISHED) for i in range(4)]
    client, path = api(alice), f"/api/v1/teams/{team.code}/experiments"
    first = client.get(path, {"limit": 2}).json()
    make_experiment(problems=0, name="newer")
    made[3].delete()  # it was on the first page
    rest = client.get(path, {"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [item["name"] for item in first["items"] + rest["items"]] == ["run 3", "run 2", "run 1", "run 0"]
    assert rest["next_cursor"] is None


def test_filters(api: Api, alice: User, bob: User, team: Team, make_experiment: Make) -> None:
    make_experiment(problems=0, name="mine", status=Status.FINISHED)
    make_experiment(problems=0, name="bobs", owner=bob, spec={"model": "org/tiny"})
    path, client = f"/teams/{team.code}/experiments", api(alice)

    def names(**query: Any) -> list[str]:
        return [item["name"] for item in every(client, path, **query)]

    assert names(status="finished") == ["mine"]
    assert names(owner=bob.code) == ["bobs"]
    assert names(q="TINY") == ["bobs"]
    assert names(kind="sampling") == ["bobs", "mine"]
    assert names(kind="nothing") == []
    is_problem(client.get(f"/api/v1{path}", {"status": "odd"}), 422, "status")
    is_problem(client.get(f"/api/v1{path}", {"kind": "mine"}), 422, "kind")


@pytest.mark.parametrize("cursor", ["x", "W10", "WyJuYW1lIiwiYSIsMV0", "!!!", "WyItY3JlYXRlZCIsIngiLDFd"])
def test_a_foreign_cursor_is_refused(cursor: str, api: Api, alice: User, team: Team) -> None:
    answer = api(alice).get(f"/api/v1/teams/{team.code}/experiments", {"cursor": cursor})
    assert "next_cursor" in is_problem(answer, 422, "cursor")["errors"][0]["message"]


# --- submit -----------------------------------------------------------------------------------------------------------


def test_submit_as_the_form_does(api: Api, bob: User, team: Team) -> None:
    client = api(bob)
    answer = send(client, "post", f"/teams/{team.code}/experiments", SMALL | {"priority": "high"})
    assert answer.status_code == 201
    made = Experiment.objects.get()
    assert answer["Location"] == f"/api/v1/experiments/{made.code}"
    assert (made.owner, made.priority, made.spec["samples"]) == (bob, 9, 2)
    assert made.name == "smollm2-135m-instruct, arithmetic-60"
    assert made.problems.count() == 3 and made.shards.exists()
    shown = client.get(answer["Location"]).json()
    assert shown == answer.json()
    assert (shown["status"], shown["priority"], shown["owner"]["name"]) == ("queued", "high", "Bob")


def test_a_service_account_submits_under_its_own_name(api: Api, alice: User, team: Team) -> None:
    answer = send(api(None, team=team), "post", f"/teams/{team.code}/experiments", SMALL)
    assert answer.json()["owner"] is None
    assert LogLine.objects.filter(text="Submitted by the service account nightly.").exists()


@pytest.mark.parametrize(
    ("body", "status", "fields"),
    [
        ({"kind": "none"}, 422, ["kind"]),
        ({"kind": "sampling", "spec": {"temperature": 9, "samples": 0}}, 422, ["spec.samples", "spec.temperature"]),
        ({"kind": "sampling", "spec": {"nonsense": 1}}, 422, ["spec.nonsense"]),
        ({"kind": "sampling", "spec": {"model": "/etc/passwd"}}, 422, ["spec.model"]),
        ({"kind": "sampling", "priority": "urgent"}, 422, ["priority"]),
        ({"kind": "sampling", "owner": "me"}, 422, ["owner"]),
        ({"kind": "sampling", "spec": {"system": "\ud800"}}, 422, ["spec.system"]),
        ([], 422, [""]),
        ("{", 400, []),
        ("[" * 100_000, 400, []),
    ],
)
def test_what_is_wrong_is_said_by_field(
    body: Any, status: int, fields: list[str], api: Api, alice: User, team: Team
) -> None:
    is_problem(send(api(alice), "post", f"/teams/{team.code}/experiments", body), status, *fields)
    assert not Experiment.objects.exists()


def test_the_same_key_submits_once(api: Api, alice: User, bob: User, team: Team) -> None:
    path, client, key = f"/teams/{team.code}/experiments", api(alice), {"Idempotency-Key": "nightly-1"}
    first = send(client, "post", path, SMALL, **key)
    again = send(client, "post", path, SMALL, **key)
    assert first.json()["code"] == again.json()["code"] and again.status_code == 201
    assert "Idempotency-Replayed" not in first and again["Idempotency-Replayed"] == "true"
    is_problem(send(client, "post", path, SMALL | {"name": "other"}, **key), 409)
    assert send(api(bob), "post", path, SMALL, **key).json()["code"] != first.json()["code"]
    Experiment.objects.filter(code=first.json()["code"]).delete()
    is_problem(send(client, "post", path, SMALL, **key), 409)
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert send(client, "post", path, SMALL, **key).status_code == 201


def test_a_refused_submit_leaves_its_key_free(api: Api, alice: User, team: Team) -> None:
    path, client, key = f"/teams/{team.code}/experiments", api(alice), {"Idempotency-Key": "k"}
    is_problem(send(client, "post", path, {"kind": "sampling", "spec": {"samples": 0}}, **key), 422, "spec.samples")
    assert send(client, "post", path, SMALL, **key).status_code == 201


def test_estimate_submits_nothing(api: Api, vera: User, team: Team) -> None:
    answer = send(api(vera), "post", f"/teams/{team.code}/estimates", SMALL)
    assert answer.status_code == 200 and answer.json()["rows"]
    assert not Experiment.objects.exists()


# --- actions ----------------------------------------------------------------------------------------------------------


def test_the_life_of_an_experiment(api: Api, alice: User, team: Team) -> None:
    client = api(alice)
    code = send(client, "post", f"/teams/{team.code}/experiments", SMALL).json()["code"]
    path = f"/experiments/{code}"
    is_problem(send(client, "delete", path), 409)
    assert send(client, "patch", path, {"name": " Renamed ", "priority": "low"}).json()["name"] == "Renamed"
    is_problem(send(client, "patch", path, {"name": " \0 "}), 422, "name")
    assert send(client, "post", f"{path}/more", {"samples": 4}).json()["spec"]["samples"] == 4
    is_problem(send(client, "post", f"{path}/more", {"samples": 3}), 409)
    cancelled = send(client, "post", f"{path}/cancel").json()
    assert (cancelled["status"], cancelled["reason"]) == ("cancelled", "Cancelled by Alice.")
    is_problem(send(client, "patch", path, {"name": "Kept", "priority": "high"}), 409)
    assert client.get(f"/api/v1{path}").json()["name"] == "Renamed"  # both or neither
    assert send(client, "post", f"{path}/retry").json()["status"] == "queued"
    is_problem(send(client, "post", f"{path}/regrade", {"verifier": "gsm8k"}), 409)
    send(client, "post", f"{path}/cancel")
    assert send(client, "delete", path).status_code == 204
    is_problem(client.get(f"/api/v1{path}"), 404)


def test_problem_sets(api: Api, alice: User, bob: User, team: Team) -> None:
    client, path = api(alice), f"/teams/{team.code}/problem-sets"
    body = {"name": "sums", "problems": [{"id": "a", "question": "1 + 1?", "answer": "#### 2"}]}
    made = send(client, "post", path, body)
    assert made.status_code == 201
    assert ProblemSet.objects.get().problems == [{"uid": "a", "question": "1 + 1?", "answer": "2"}]
    assert made.json() in every(client, path)
    is_problem(send(client, "post", path, body), 409)
    twice = {"name": "two", "problems": [{"id": 1, "question": "?", "answer": "1"}]}
    is_problem(send(client, "post", path, twice), 422, "problems.0.id")
    empty = {"name": "two", "problems": [{"question": "", "answer": "1"}]}
    assert "Line 1" in is_problem(send(client, "post", path, empty), 422, "problems")["errors"][0]["message"]
    spec = {"kind": "sampling", "spec": {"problems": made.json()["value"], "samples": 1}}
    assert send(client, "post", f"/teams/{team.code}/experiments", spec).status_code == 201


def test_workers_do_not_tell_what_they_do_for_others(
    api: Api, alice: User, charlie: User, team: Team, make_experiment: Make
) -> None:
    experiment = make_experiment(problems=0)
    shard = Shard.objects.create(experiment=experiment, stage="generate", stage_index=0, index=0, queue="gpu")
    Worker.objects.create(name="gpu@a", queue="gpu", host="a", device="CPU, 2 cores", pid=1, shard=shard)
    other = Team.objects.get(name="Elsewhere")
    ours = every(api(alice), f"/teams/{team.code}/workers")
    theirs = every(api(charlie), f"/teams/{other.code}/workers")
    assert ours[0]["experiment"] == str(experiment.code) and ours[0]["is_alive"]
    assert theirs[0]["experiment"] is None


# --- results ----------------------------------------------------------------------------------------------------------


def test_samples(api: Api, alice: User, make_experiment: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = make_experiment(status=Status.FINISHED)
    draw(experiment, 5)
    client, path = api(alice), f"/experiments/{experiment.code}/samples"
    everything = every(client, path, limit=4)
    assert [(one["problem"], one["index"]) for one in everything] == list(
        Sample.objects.order_by("pk").values_list("problem__index", "index")
    )
    assert {one["text"] for one in everything} == {None}
    of_one = every(client, path, problem=1, limit=2, text=True)
    assert [one["index"] for one in of_one] == [0, 1, 2, 3, 4] and all(one["text"] for one in of_one)
    correct = every(client, path, verdict="correct")
    assert len(correct) == Sample.objects.filter(verdict="correct").count()
    one = client.get(f"/api/v1{path}/1/2").json()
    assert one == of_one[2]
    is_problem(client.get(f"/api/v1{path}/1/99"), 404)
    is_problem(client.get(f"/api/v1{path}/{10**30}/0"), 404)
    first = client.get(f"/api/v1{path}", {"problem": 1, "limit": 2}).json()["next_cursor"]
    is_problem(client.get(f"/api/v1{path}", {"cursor": first}), 422, "cursor")


def test_problems_and_curve(api: Api, alice: User, make_experiment: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = make_experiment(status=Status.FINISHED, problems=5, n=4, c=2)
    monkeypatch.setattr(results.samples, "PROBLEMS_SHOWN", 2)
    client, path = api(alice), f"/experiments/{experiment.code}"
    problems = every(client, f"{path}/problems")
    assert [(one["index"], one["uid"], one["n"], one["c"]) for one in problems] == [
        (i, f"p{i}", 4, 2) for i in range(5)
    ]
    curve = client.get(f"/api/v1{path}/curve").json()
    # 1 - C(2, k) / C(4, k)
    assert curve["coverage"] == pytest.approx([1 / 2, 5 / 6, 1, 1], abs=1e-5)
    assert curve["complete_to"] == 4
    some = client.get(f"/api/v1{path}/curve", {"k": [3, 2, 9]}).json()
    assert (some["k"], some["complete_to"]) == ([2, 3], 4)
    assert client.get(f"/api/v1{path}/curve", {"k": [9]}).json()["k"] == []
    is_problem(client.get(f"/api/v1{path}/curve", {"k": [0]}), 422, "k.0")
    assert curve["estimator"].startswith("unbiased pass@k") and problems[0]["first_correct"] is None


def test_the_curve_of_problems_that_stop_when_solved(api: Api, alice: User, make_experiment: Make) -> None:
    spec = {"samples": 8, "stop_when_solved": True}
    experiment = make_experiment(status=Status.FINISHED, problems=2, n=8, c=0, spec=spec)
    experiment.problems.filter(index=0).update(n=3, c=1, first_correct=2)
    client, path = api(alice), f"/experiments/{experiment.code}"
    curve = client.get(f"/api/v1{path}/curve", {"k": [2, 3, 8]}).json()
    assert (curve["coverage"], curve["complete_to"]) == ([0, 0.5, 0.5], 8)
    assert "solved within the first k samples" in curve["estimator"]
    assert [one["first_correct"] for one in every(client, f"{path}/problems")] == [2, None]
    answer = client.post(f"/api/v1{path}/regrade", {"verifier": "gsm8k"}, content_type="application/json")
    is_problem(answer, 409)


def test_live_state_is_the_pages(
    api: Api, as_user: Callable[[User], Client], alice: User, make_experiment: Make
) -> None:
    experiment = make_experiment(status=Status.FINISHED, n=4, c=1)
    ours = api(alice).get(f"/api/v1/experiments/{experiment.code}/live", {"after": 0})
    page = as_user(alice).get(f"/experiments/{experiment.code}/live.json")
    assert ours.json() | {"now": ""} == page.json() | {"now": ""}
    assert ours["ETag"] == page["ETag"]
    is_problem(api(alice).get(f"/api/v1/experiments/{experiment.code}/live", {"after": -1}), 422, "after")


# --- every answer -----------------------------------------------------------------------------------------------------


def test_etags(api: Api, alice: User, make_experiment: Make) -> None:
    experiment = make_experiment(status=Status.FINISHED)
    client = api(alice)
    for path in ("", "/live", "/problems", "/curve", "/files"):
        url = f"/api/v1/experiments/{experiment.code}{path}"
        first = client.get(url)
        again = client.get(url, headers={"If-None-Match": first["ETag"]})
        assert (first.status_code, again.status_code, again.content) == (200, 304, b""), path
        assert "Authorization" in first["Vary"] and first["Cache-Control"] == "private, no-cache"
    Experiment.objects.update(name="Other")
    url = f"/api/v1/experiments/{experiment.code}"
    assert client.get(url, headers={"If-None-Match": first["ETag"]}).status_code == 200


def test_limits_are_told_and_kept(api: Api, alice: User, bob: User, team: Team, settings: Any) -> None:
    settings.API_REQUESTS_A_MINUTE = 3
    client = api(alice)
    answers = [client.get("/api/v1/me") for _ in range(5)]
    assert [answer.status_code for answer in answers[:3]] == [200, 200, 200]
    assert answers[0]["RateLimit-Policy"] == '"token";q=3;w=60'
    assert answers[0]["RateLimit"].startswith('"token";r=2;t=')
    is_problem(answers[4], 429)
    assert 1 <= int(answers[4]["Retry-After"]) <= 60
    assert answers[4]["RateLimit"].startswith('"token";r=0;t=')
    assert api(bob).get("/api/v1/me").status_code == 200  # each token has its own


def test_submits_have_a_limit_of_their_own(api: Api, alice: User, team: Team, settings: Any) -> None:
    settings.API_SUBMITS_A_MINUTE = 1
    client, path = api(alice), f"/teams/{team.code}/experiments"
    assert send(client, "post", path, SMALL).status_code == 201
    is_problem(send(client, "post", path, SMALL), 429)
    assert client.get("/api/v1/me").status_code == 200


def test_a_window_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000_000_000.0
    monkeypatch.setattr(rate_limits.time, "time", lambda: now)
    used = [rate_limits.spend("a", "b", limit=1, seconds=60).is_exceeded for _ in range(2)]
    assert used == [False, True]
    now += 60
    assert not rate_limits.spend("a", "b", limit=1, seconds=60).is_exceeded


def test_unknown_addresses_and_methods(api: Api, alice: User) -> None:
    is_problem(api(alice).get("/api/v1/nothing/here"), 404)
    wrong = api(alice).post("/api/v1/me")
    is_problem(wrong, 405)
    assert wrong["Allow"] == "GET"


def test_a_crash_is_a_problem_too(api: Api, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(token: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("webapp.api.teams._teams", crash)
    client = api(alice)
    client.raise_request_exception = False
    assert "boom" not in str(is_problem(client.get("/api/v1/teams"), 500))


def test_an_audit_is_started_and_followed_like_any_experiment(api: Api, alice: User, team: Team) -> None:
    client = api(alice)
    body = {"kind": "audit", "spec": {"verifier": "gsm8k", "limit": 2, "repeats": 2}}
    made = send(client, "post", f"/teams/{team.code}/experiments", body).json()
    kind = client.get(f"/api/v1/experiments/{made['code']}/live").json()["kind"]
    assert (kind["total_problems"], kind["audited"], kind["repeats"]) == (2, 0, 2)
    wrong = {"kind": "audit", "spec": {"verifier": "code-stdio"}}
    is_problem(send(client, "post", f"/teams/{team.code}/experiments", wrong), 422, "spec.verifier")


def test_samples_tell_rewards_and_what_is_not_known(api: Api, alice: User, make_experiment: Make) -> None:
    """An imported sample without tokens, seed and log-probability is shown as it is."""
    experiment = make_experiment(problems=1, status=Status.FINISHED)
    Sample.objects.create(
        experiment=experiment, problem=experiment.problems.get(), index=0, verdict="correct", score=0.5
    )
    path = f"/api/v1/experiments/{experiment.code}/samples"
    item = api(alice).get(path).json()["items"][0]
    assert (item["reward"], item["tokens"], item["logprob"], item["seed"], item["self_certainty"]) == (0.5, *[None] * 4)
    assert api(alice).get(f"{path}/0/0").json()["reward"] == 0.5
