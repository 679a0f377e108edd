"""Pages of the API for people: making and revoking tokens, and the reference."""

from __future__ import annotations

import functools
import json
from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.serializers.json import DjangoJSONEncoder
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from webapp.accounts.models import User
from webapp.api.forms import TokenForm
from webapp.api.models import ApiToken


@require_POST
def token_create(request: HttpRequest) -> HttpResponse:
    """Make a token and show it, this once."""
    form = TokenForm(cast(User, request.user), request.POST)
    if not form.is_valid():
        return render(request, "api/token.html", {"form": form}, status=422)
    token, text = form.create()
    response = render(request, "api/token.html", {"token": token, "text": text})
    response["Cache-Control"] = "no-store"
    return response


@require_POST
def token_revoke(request: HttpRequest, code: UUID) -> HttpResponse:
    user = cast(User, request.user)
    token = ApiToken.objects.manageable_by(user).filter(code=code).first()
    if token is None:
        raise Http404("no such token")
    if ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now()):
        messages.success(request, f"The token {token.name} no longer works.")
    return redirect("account")


@functools.cache
def document() -> dict[str, Any]:
    """The OpenAPI document as plain JSON; the same for everybody, so it is made once."""
    from webapp.api.v1 import api  # reads the URL conf, which imports this module

    made: dict[str, Any] = json.loads(json.dumps(api.get_openapi_schema(path_prefix="/api/v1/"), cls=DjangoJSONEncoder))
    return made


@login_not_required
@require_safe
def openapi(request: HttpRequest) -> HttpResponse:
    """The OpenAPI document."""
    return HttpResponse(json.dumps(document(), indent=1), content_type="application/json")


@login_not_required
@require_safe
def reference(request: HttpRequest) -> HttpResponse:
    """The document as a page that needs no script."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            success, *others = [status for status in operation["responses"] if status != "304"]  # in order
            entry = {
                "id": operation["operationId"],
                "summary": operation["summary"],
                "description": operation["description"],
                "address": f"{method.upper()} {path}",
                "parameters": [_parameter(one) for one in operation.get("parameters", [])],
                "example": _example(operation),
                "success": success,
                "errors": others,
            }
            groups.setdefault(operation["tags"][0], []).append(entry)
    return render(request, "api/reference.html", {"groups": groups, "info": document()["info"]})


def _parameter(one: dict[str, Any]) -> dict[str, Any]:
    schema = one["schema"]
    meaning = one.get("description") or schema.get("description") or schema.get("title", "")
    values = schema.get("enum", [])
    return {
        "name": one["name"],
        "place": one["in"],
        "needed": one.get("required"),
        "meaning": meaning,
        "values": values,
    }


def _example(operation: dict[str, Any]) -> str:
    """The request body's example as JSON; empty for an operation without a body."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
    schema = document()["components"]["schemas"].get(name, {})
    examples = schema.get("examples", [])
    return json.dumps(examples[0], indent=2) if examples else ""
