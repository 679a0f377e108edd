"""The OpenAPI document against the running API: random requests, no crash, no answer that it does not describe."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from django.core.wsgi import get_wsgi_application

from jobs.kinds.detection.models import DataSet
from jobs.kinds.scenes.models import SceneSet
from jobs.models import Experiment, Status
from tests.webapp.api.test_permissions import LINK_CODE, OPERATIONS, PRICE, PRICE_CODE
from tests.webapp.detection import make_detection
from tests.webapp.scenes import make_scenes
from tests.webapp.test_samples import draw
from webapp.accounts.models import Team, User
from webapp.api.models import ApiToken
from webapp.api.pages import document
from webapp.boards import services as boards
from webapp.boards.content import Content
from webapp.boards.freezing import freeze
from webapp.prices.models import Price
from webapp.sharing.models import ShareLink

EXAMPLES = int(os.environ.get("CANOPY_TEST_API_EXAMPLES", "5"))  # random requests for each operation


def test_every_operation_says_what_it_does() -> None:
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            assert operation["description"], (method, path)
            assert {"401", "422", "429"} <= set(operation["responses"]), (method, path)
            for parameter in operation.get("parameters", []):
                assert parameter["in"] == "path" or parameter.get("description") or "enum" in parameter["schema"], (
                    method,
                    path,
                    parameter["name"],
                )
            if "application/json" in operation.get("requestBody", {}).get("content", {}):
                name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                assert document()["components"]["schemas"][name]["examples"], name


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")  # WSGI; servers run ASGI
@pytest.mark.usefixtures("one_connection")
@pytest.mark.parametrize("name", OPERATIONS)
def test_answers_are_as_documented(
    name: str,
    team: Team,
    alice: User,
    make_experiment: Callable[..., Experiment],
    token_for: Callable[..., tuple[ApiToken, str]],
    settings: Any,
) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, given
    from hypothesis import settings as how
    from schemathesis import checks

    settings.ALLOWED_HOSTS = ["*"]
    settings.API_REQUESTS_A_MINUTE = settings.API_SUBMITS_A_MINUTE = 100_000
    experiment = make_experiment(status=Status.FINISHED, n=2, c=1)
    draw(experiment, 2)
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", get_wsgi_application())
    operation = next(
        found for result in schema.get_all_operations() if (found := result.ok()).definition.raw["operationId"] == name
    )
    detected = make_detection(team, alice)
    data_set = DataSet.objects.create(team=team, name="cells", source="upload")
    scenes = make_scenes(team, alice) if OPERATIONS[name].kind == "scenes" else experiment
    scene_set = SceneSet.objects.create(team=team, name="rooms", source="upload")
    code = {"detection": detected, "scenes": scenes}.get(OPERATIONS[name].kind, experiment).code
    known = {"team": str(team.code), "code": str(code), "name": "coverage.csv", "data_set": str(data_set.code)}
    board = boards.create(team, Content(title="Summer"), boards.Author.of(alice))
    known |= {"board": str(board.code), "frozen": str(freeze(board, boards.Author.of(alice)).code), "number": "1"}
    Price.objects.create(team=team, code=PRICE_CODE, **PRICE | {"name": "lab"})
    known |= {"price": str(PRICE_CODE), "scene_set": str(scene_set.code), "number": 1}
    known["link"] = str(LINK_CODE)
    ShareLink.objects.create(
        code=LINK_CODE, experiment=experiment, created_by=alice, token_prefix="secret", token_hash="0"
    )
    # Werkzeug, which calls the application here, does not unpack gzip.
    headers = {"Authorization": f"Bearer {token_for(alice)[1]}", "Accept-Encoding": "identity"}
    wanted = [
        checks.not_a_server_error,
        *(
            checks.CHECKS.get_one(each)
            for each in (
                "status_code_conformance",
                "content_type_conformance",
                "response_schema_conformance",
                "response_headers_conformance",
                "negative_data_rejection",
                "unsupported_method",
                "ignored_auth",
            )
        ),
    ]

    @given(case=operation.as_strategy())
    @how(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def check(case: Any) -> None:
        parameters = case.path_parameters or {}
        case.path_parameters = {key: known.get(key, value) for key, value in parameters.items()}
        case.call_and_validate(headers=headers, checks=wanted)

    check()
