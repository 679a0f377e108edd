"""Who gets what answer from each operation: every operation of the API times every kind of token.

The operations are enumerated from the API, so one that is not in the table fails the test.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient

from jobs.models import Experiment, Status
from tests.webapp.test_samples import draw
from webapp.accounts.models import Team, User
from webapp.api.models import ApiToken, make_token
from webapp.api.pages import document

VISITORS = ("none", "outsider", "viewer", "member", "owner", "member-reads", "service", "service-reads", "other-team")

# In the order of VISITORS; "other-team" is the owner's token for another of the owner's teams.
READ = (401, 404, 200, 200, 200, 200, 200, 200, 404)
OWN = (401, 200, 200, 200, 200, 200, 200, 200, 200)


def write(status: int) -> tuple[int, ...]:
    return (401, 404, 403, status, status, 403, status, 403, 404)


@dataclass(frozen=True)
class Operation:
    expected: tuple[int, ...]
    body: dict[str, Any] | None = field(default=None)


OPERATIONS = {
    "get_me": Operation(OWN),
    "list_teams": Operation(OWN),
    "list_kinds": Operation(OWN),
    "list_problem_sets": Operation(READ),
    "add_problem_set": Operation(write(201), {"name": "sums", "problems": [{"question": "1 + 1?", "answer": "2"}]}),
    "list_workers": Operation(READ),
    "list_experiments": Operation(READ),
    "submit_experiment": Operation(write(201), {"kind": "sampling", "spec": {"samples": 2, "limit": 2}}),
    "estimate_experiment": Operation(READ, {"kind": "sampling", "spec": {"samples": 2, "limit": 2}}),
    "get_experiment": Operation(READ),
    "change_experiment": Operation(write(200), {"name": "Other"}),
    "delete_experiment": Operation(write(204)),
    # The experiment has finished: these reach it, and its state refuses.
    "cancel_experiment": Operation(write(409)),
    "retry_experiment": Operation(write(409)),
    "draw_more": Operation(write(200), {"samples": 100}),
    "regrade_experiment": Operation(write(409), {"verifier": "gsm8k"}),  # no stage of grading was made here
    "score_experiment": Operation(write(409), {"scorer": ""}),
    "get_live_state": Operation(READ),
    "stream_events": Operation(READ),
    "list_files": Operation(READ),
    "get_file": Operation(READ),
    "get_curve": Operation(READ),
    "list_problems": Operation(READ),
    "list_samples": Operation(READ),
    "get_sample": Operation(READ),
}


def operations() -> dict[str, tuple[str, str]]:
    """{operation id: (method, path)}"""
    paths = document()["paths"]
    return {one["operationId"]: (method, path) for path, methods in paths.items() for method, one in methods.items()}


def test_every_operation_is_in_the_table() -> None:
    assert sorted(operations()) == sorted(OPERATIONS)


@pytest.fixture
def experiment(make_experiment: Callable[..., Experiment]) -> Experiment:
    made = make_experiment(status=Status.FINISHED)
    draw(made, 2)
    return made


@pytest.fixture
def tokens(team: Team, alice: User, bob: User, vera: User, charlie: User) -> dict[str, str]:
    """The text of each visitor's token."""
    other = Team.objects.create(name="Second")
    other.memberships.create(user=alice, role="owner")
    holders: dict[str, tuple[User | None, Team | None, str]] = {
        "outsider": (charlie, None, "write"),
        "viewer": (vera, None, "write"),
        "member": (bob, None, "write"),
        "owner": (alice, None, "write"),
        "member-reads": (bob, None, "read"),
        "service": (None, team, "write"),
        "service-reads": (None, team, "read"),
        "other-team": (alice, other, "write"),
    }
    made = {
        who: make_token(name=who, scope=scope, created_by=alice, user=user, team=of, days=1)[1]
        for who, (user, of, scope) in holders.items()
    }
    return made | {"none": ""}


def ask(name: str, token: str, team: object, experiment: object) -> int:
    """The status, after the whole answer was read as servers read it."""
    method, path = operations()[name]
    values = {"team": team, "code": experiment, "name": "problems.csv", "problem": 0, "index": 0}
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body = OPERATIONS[name].body

    async def send() -> int:
        extra = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        answer = await getattr(AsyncClient(), method)(path.format(**values), headers=headers, **extra)
        if answer.streaming:
            assert b"".join([piece async for piece in answer.streaming_content])
        return int(answer.status_code)

    return async_to_sync(send)()


# One after the other in one test: a database per pair would take minutes.
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", OPERATIONS)
def test_operation(name: str, tokens: dict[str, str], team: Team, experiment: Experiment) -> None:
    order = sorted(VISITORS, key=lambda who: OPERATIONS[name].expected[VISITORS.index(who)] < 300)  # refusals first
    for who in order:
        expected = OPERATIONS[name].expected[VISITORS.index(who)]
        if expected == 204 and not Experiment.objects.filter(pk=experiment.pk).exists():
            continue  # the first who may delete it did
        if name in {"draw_more", "add_problem_set"} and expected < 300 and _was_done(name, experiment):
            expected = 409
        assert ask(name, tokens[who], team.code, experiment.code) == expected, who


def _was_done(name: str, experiment: Experiment) -> bool:
    from jobs.kinds.sampling.models import ProblemSet

    if name == "draw_more":
        return bool(Experiment.objects.get(pk=experiment.pk).spec["samples"] == 100)
    return ProblemSet.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_unknown_codes_look_like_other_teams_codes(tokens: dict[str, str], team: Team) -> None:
    for name, (_, path) in operations().items():
        if "{" in path:
            assert ask(name, tokens["owner"], uuid4(), uuid4()) == 404, name


def test_refused_requests_change_nothing(tokens: dict[str, str], team: Team, experiment: Experiment) -> None:
    assert ApiToken.objects.count() == len(tokens) - 1
    before = Experiment.objects.values().get()
    for name in ("change_experiment", "draw_more", "delete_experiment"):
        for who in ("none", "outsider", "viewer", "member-reads", "service-reads", "other-team"):
            ask(name, tokens[who], team.code, experiment.code)
    assert Experiment.objects.values().get() == before
