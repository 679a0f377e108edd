"""Who gets what answer from each operation: every operation of the API times every kind of token.

The operations are enumerated from the API, so one that is not in the table fails the test.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import async_to_sync
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import AsyncClient

from jobs.kinds.detection.models import DataSet
from jobs.kinds.scenes.models import SceneSet
from jobs.models import Experiment, Status
from jobs.services import apply_plan
from tests.webapp.detection import make_detection
from tests.webapp.scenes import make_scenes
from tests.webapp.test_samples import draw
from webapp.accounts.models import Team, User
from webapp.api.models import ApiToken, make_token
from webapp.api.pages import document
from webapp.boards import services as boards
from webapp.boards.content import Content
from webapp.boards.freezing import freeze
from webapp.boards.models import Board, FrozenBoard
from webapp.prices.models import Price
from webapp.sharing.models import ShareLink

VISITORS = ("none", "outsider", "viewer", "member", "owner", "member-reads", "service", "service-reads", "other-team")

# In the order of VISITORS; "other-team" is the owner's token for another of the owner's teams.
READ = (401, 404, 200, 200, 200, 200, 200, 200, 404)
OWN = (401, 200, 200, 200, 200, 200, 200, 200, 200)


ZIP = b"PK\x05\x06" + bytes(18)  # the smallest there is
PRICE_CODE = uuid4()
LINK_CODE = uuid4()


def manage(status: int) -> tuple[int, ...]:
    """For a person who owns the team alone: a service account is a member."""
    return (401, 404, 403, 403, status, 403, 403, 403, 404)


def write(status: int) -> tuple[int, ...]:
    return (401, 404, 403, status, status, 403, status, 403, 404)


@dataclass(frozen=True)
class Operation:
    expected: tuple[int, ...]
    body: dict[str, Any] | None = field(default=None)
    file: bytes | None = None  # sent as a form, in place of a JSON body
    kind: str = "sampling"  # of the experiment that it is about


PRICE = {"kind": "tokens", "name": "new", "input": 1, "output": 2, "as_of": "2026-01-01", "source": "a bill"}
OPERATIONS = {
    "get_me": Operation(OWN),
    "list_teams": Operation(OWN),
    "list_kinds": Operation(OWN),
    "list_problem_sets": Operation(READ),
    "add_problem_set": Operation(write(201), {"name": "sums", "problems": [{"question": "1 + 1?", "answer": "2"}]}),
    "list_prices": Operation(READ),
    "add_price": Operation(manage(201), PRICE),
    "change_price": Operation(manage(200), PRICE | {"name": "lab"}),
    "remove_price": Operation(manage(204)),
    "list_boards": Operation(READ),
    "create_board": Operation(write(201), {"title": "Autumn"}),
    "get_board": Operation(READ),
    "save_board": Operation(write(200), {"title": "Winter", "base": 1}),
    "delete_board": Operation(write(204)),
    "list_board_versions": Operation(READ),
    "restore_board": Operation(write(200), {"base": 1}),
    "list_frozen_boards": Operation(READ),
    "freeze_board": Operation(write(201)),
    "get_frozen_board": Operation(READ),
    "delete_frozen_board": Operation(write(204)),
    "list_tiles": Operation(READ),
    "get_usage": Operation(READ),
    "list_workers": Operation(READ),
    # The owner is the operator too; there is no such worker.
    "drain_worker": Operation((401, 404, 403, 403, 404, 403, 403, 403, 404), {"worker": "gpu@nowhere"}),
    "get_queue": Operation(READ),
    "order_queue": Operation(manage(422), {"experiments": [str(uuid4())]}),
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
    "preview_extra_draw": Operation(READ),
    "draw_where_it_helps": Operation(write(200), {"spend": 5, "unit": "samples", "number": 1}),
    "regrade_experiment": Operation(write(409), {"verifier": "gsm8k"}),  # no stage of grading was made here
    "score_experiment": Operation(write(409), {"scorer": ""}),
    "get_live_state": Operation(READ),
    "stream_events": Operation(READ),
    "list_files": Operation(READ),
    "get_file": Operation(READ),
    "get_offline_copy": Operation(READ),
    "get_curve": Operation(READ),
    "list_problems": Operation(READ),
    "list_samples": Operation(READ),
    "get_sample": Operation(READ),
    "list_data_sets": Operation(READ),
    "upload_data_set": Operation(write(201), file=ZIP),
    "add_data_set_folder": Operation(write(409), {"path": "/etc"}),  # the operator allows none
    "get_data_set": Operation(READ),
    "delete_data_set": Operation(write(204)),
    "list_runs": Operation(READ, kind="detection"),
    "list_scores": Operation(READ, kind="detection"),
    "get_score_details": Operation(READ, kind="detection"),
    "list_label_quality": Operation(READ, kind="detection"),
    "list_tried_pictures": Operation(READ, kind="detection"),
    "list_share_links": Operation(READ),
    "make_share_link": Operation(write(201), {"target": "experiment", "scope": {"experiment": "CODE"}}),
    "get_share_link": Operation(READ),
    # The owner made it; members change what they made themselves.
    "pause_share_link": Operation(manage(200)),
    "resume_share_link": Operation(manage(200)),
    "revoke_share_link": Operation(manage(200)),
    "revoke_share_links": Operation(write(200), {"codes": [str(LINK_CODE)]}),
    "try_picture": Operation(write(201), file=b"not looked at here", kind="detection"),
    "list_scene_sets": Operation(READ),
    "upload_scene_set": Operation(write(201), file=ZIP),
    "add_scene_set_folder": Operation(write(409), {"path": "/etc"}),
    "get_scene_set": Operation(READ),
    "delete_scene_set": Operation(write(204)),
    "list_stages": Operation(READ, kind="scenes"),
    "list_losses": Operation(READ, kind="scenes"),
    "list_scenes": Operation(READ, kind="scenes"),
    "get_scene": Operation(READ, kind="scenes"),
    "draw_scene": Operation(write(201), {"operation": "vary", "parent": 1}, kind="scenes"),
    "list_scene_scores": Operation(READ, kind="scenes"),
}


def operations() -> dict[str, tuple[str, str]]:
    """{operation id: (method, path)}"""
    paths = document()["paths"]
    return {one["operationId"]: (method, path) for path, methods in paths.items() for method, one in methods.items()}


def test_every_operation_is_in_the_table() -> None:
    assert sorted(operations()) == sorted(OPERATIONS)


@pytest.fixture(autouse=True)
def _folder(settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path


@pytest.fixture
def experiment(make_experiment: Callable[..., Experiment]) -> Experiment:
    made = make_experiment(status=Status.FINISHED, n=2, c=0)
    draw(made, 2)
    Price.objects.create(team=made.team, code=PRICE_CODE, **PRICE | {"name": "lab"})
    ShareLink.objects.create(
        code=LINK_CODE, experiment=made, created_by=made.owner, token_prefix="secret", token_hash="0",
        scope={"experiment": str(made.code)},
    )  # fmt: skip
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
    """The status, after the whole answer was read as servers read it. ``experiment``: the code of what it is about."""
    method, path = operations()[name]
    values = {"team": team, "code": experiment, "name": "problems.csv", "problem": 0, "index": 0, "run": 0}
    values |= {
        "data_set": experiment,
        "scene_set": experiment,
        "price": PRICE_CODE,
        "link": LINK_CODE,
        "board": experiment,
        "frozen": experiment,
        "number": 1,
    }
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body, file = OPERATIONS[name].body, OPERATIONS[name].file

    async def send() -> int:
        extra: dict[str, Any] = (
            {}
            if body is None
            else {"data": json.dumps(body).replace("CODE", str(experiment)), "content_type": "application/json"}
        )
        if file is not None:
            extra = {"data": {"file": SimpleUploadedFile("file", file), "name": uuid4().hex}}
        answer = await getattr(AsyncClient(), method)(path.format(**values), headers=headers, **extra)
        if answer.streaming:
            assert b"".join([piece async for piece in answer.streaming_content])
        return int(answer.status_code)

    return async_to_sync(send)()


# One after the other in one test: a database per pair would take minutes.
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", OPERATIONS)
def test_operation(name: str, tokens: dict[str, str], team: Team, experiment: Experiment) -> None:
    about = subject(name, experiment)
    order = sorted(VISITORS, key=lambda who: OPERATIONS[name].expected[VISITORS.index(who)] < 300)  # refusals first
    for who in order:
        expected = OPERATIONS[name].expected[VISITORS.index(who)]
        if expected == 204 and not type(about)._base_manager.filter(pk=about.pk).exists():
            continue  # the first who may delete it did
        if (
            name in {"draw_more", "draw_where_it_helps", "add_problem_set", "save_board"}
            and expected < 300
            and _was_done(name, experiment)
        ):
            expected = 409
        assert ask(name, tokens[who], team.code, about.code) == expected, who


def subject(name: str, experiment: Experiment) -> Experiment | DataSet | SceneSet | Board | FrozenBoard:
    """What an operation is about: the experiment, one of the kind it wants, a data set, or a board."""
    if "{board}" in operations()[name][1] or "{frozen}" in operations()[name][1]:
        author = boards.Author(None, "Alice")
        board = boards.create(experiment.team, Content(title="Summer"), author)
        return freeze(board, author) if "{frozen}" in operations()[name][1] else board
    if "{scene_set}" in operations()[name][1]:
        return SceneSet.objects.create(team=experiment.team, name="rooms", source="upload")
    if OPERATIONS[name].kind == "scenes":
        return make_scenes(experiment.team, experiment.owner)
    if "{data_set}" in operations()[name][1]:
        return DataSet.objects.create(team=experiment.team, name="cells", source="upload")
    if OPERATIONS[name].kind == "detection":
        made = make_detection(experiment.team, experiment.owner)
        apply_plan(made, made.kind_object.Spec.model_validate(made.spec), seq=1)
        made.shards.update(status="done")
        return made
    return experiment


def _was_done(name: str, experiment: Experiment) -> bool:
    from jobs.kinds.sampling.models import ProblemSet

    if name == "save_board":  # each knows the first version only
        return Board.objects.get().version > 1
    if name == "draw_where_it_helps":
        return "extra" in Experiment.objects.get(pk=experiment.pk).spec
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
    for name in ("change_experiment", "draw_more", "draw_where_it_helps", "delete_experiment"):
        for who in ("none", "outsider", "viewer", "member-reads", "service-reads", "other-team"):
            ask(name, tokens[who], team.code, experiment.code)
    assert Experiment.objects.values().get() == before
