"""The API, version 1: all operations under /api/v1/, and its OpenAPI document."""

from __future__ import annotations

from typing import Any

from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema

from webapp.api import boards, detection, errors, events, experiments, prices, queue, results, scenes, shares, teams
from webapp.api.auth import TokenAuth
from webapp.api.schemas import EXAMPLE_CODE

DESCRIPTION = (
    "Experiments, their results, problem sets and workers, for programs. Send Authorization: Bearer and a token; make "
    "tokens on your account page. Lists give next_cursor for ?cursor=. Reads carry an ETag: send it as If-None-Match "
    "and get 304 when nothing changed. Every answer tells the token's limit in RateLimit. Errors are problem details "
    "(RFC 9457)."
)
PROBLEM_TITLES = {
    "400": "The body is not JSON",
    "401": "No token that works",
    "403": "The token, or its role in the team, may not do this",
    "404": "Not there, or out of the token's reach",
    "409": "The state does not allow it",
    "422": "Parts of the request are wrong",
    "429": "Too many requests; Retry-After says when to try again",
}
LIMIT_HEADERS = {
    "RateLimit": {"schema": {"type": "string"}, "description": "What is left.", "example": '"token";r=599;t=42'},
    "RateLimit-Policy": {"schema": {"type": "string"}, "description": "The limit.", "example": '"token";q=600;w=60'},
}


class CanopyAPI(NinjaAPI):
    """Adds to the document what holds for every operation, so that no operation repeats it."""

    def get_openapi_schema(self, **rest: Any) -> OpenAPISchema:
        document = super().get_openapi_schema(**rest)
        schemas = document["components"]["schemas"]
        problem = errors.ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= problem.pop("$defs") | {"ProblemDetails": problem}
        document["components"]["securitySchemes"] = {"TokenAuth": {"type": "http", "scheme": "bearer"}}
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                _complete(path, method, operation)
        return document


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    operation["security"] = [{"TokenAuth": []}]
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path" and parameter["schema"].get("format") == "uuid":
            parameter["example"] = EXAMPLE_CODE
    responses = {str(status): answer for status, answer in operation["responses"].items()}
    for answer in responses.values():
        answer["headers"] = dict(LIMIT_HEADERS)
        if method == "get":
            answer["headers"]["ETag"] = {"schema": {"type": "string"}}
    if method == "get":
        responses["304"] = {"description": "Nothing changed since the copy that If-None-Match names"}
    own = [status for status in responses if int(status) >= 400]  # errors that an operation names itself
    for status in [*_errors_of(path, method, operation), *own]:
        responses[status] = _problem(status)
    operation["responses"] = dict(sorted(responses.items()))


def _errors_of(path: str, method: str, operation: dict[str, Any]) -> list[str]:
    found = ["401", "422", "429"]
    if "{" in path:
        found.append("404")
    if method != "get":
        found += ["403", "409"]
    if "requestBody" in operation:
        found.append("400")
    return found


def _problem(status: str) -> dict[str, Any]:
    title = PROBLEM_TITLES[status]
    example = {"type": "about:blank", "title": title, "status": int(status), "detail": title + ".", "errors": []}
    schema = {"$ref": "#/components/schemas/ProblemDetails"}
    answer: dict[str, Any] = {
        "description": title,
        "content": {errors.CONTENT_TYPE: {"schema": schema, "example": example}},
    }
    if status == "429":
        answer["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    return answer


# The document and the reference page are pages of our own (webapp.api.pages): ninja's load scripts from elsewhere.
api = CanopyAPI(
    title="Canopy",
    version="1.0",
    description=DESCRIPTION,
    urls_namespace="api-v1",
    docs_url=None,
    openapi_url=None,
    auth=TokenAuth(),
)
errors.install(api)
for router in (
    teams.router,
    boards.router,
    queue.router,
    prices.router,
    experiments.router,
    results.router,
    detection.router,
    scenes.router,
    shares.router,
    events.router,
):
    api.add_router("", router)
