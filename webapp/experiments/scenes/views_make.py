"""What the Make tab posts: a scene to draw with a trained model."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from jobs import services
from jobs.kinds.scenes.asking import ask
from jobs.kinds.scenes.spec import ScenesSpec
from webapp.experiments.access import get_experiment

BOX = ("left", "top", "right", "bottom")  # in percent of the ground


@require_POST
def make(request: HttpRequest, code: UUID) -> HttpResponse:
    """Queue the scene. A script that asks for JSON gets {"number", "url"} or {"error"}; else back to the tab."""
    experiment = get_experiment(request, code, write=True)
    if experiment.kind != "scenes":
        raise Http404("only scene experiments draw scenes")
    wants_json = "application/json" in request.headers.get("Accept", "")
    try:
        wanted = read(request.POST, ScenesSpec.model_validate(experiment.spec))
        files = {name: request.FILES[name] for name in ("map", "image") if name in request.FILES}
        scene = ask(experiment=experiment, by=request.user, **wanted, **files)
    except services.Refused as error:
        if wants_json:
            return JsonResponse({"error": str(error)}, status=422)
        messages.error(request, str(error))
        return redirect("experiment-tab", code, "make")
    url = f"{reverse('experiment-tab', args=[code, 'scenes'])}?at={scene.number}"
    return JsonResponse({"number": scene.number, "url": url}, status=201) if wants_json else redirect(url)


def read(data: QueryDict, spec: ScenesSpec) -> dict[str, Any]:
    """What was posted as the arguments of `ask`. Raises Refused for what is no number."""
    operation = data.get("operation", "new")
    settings: dict[str, Any] = {
        group: {
            "sampler": data.get("sampler", how["sampler"]),
            "steps": int(_number(data, f"steps_{group}", how["steps"])),
            "guidance": _number(data, f"guidance_{group}", how["guidance"]),
        }
        for group, how in spec.drawing().items()
    }
    if operation == "inpaint":
        settings["box"] = {name: _number(data, name, 0) / 100 for name in BOX}
    if operation == "vary":
        settings["strength"] = _number(data, "strength", 0.5)
        settings["groups"] = data.getlist("groups")
    takes = {"join": ("scene", "other"), "new": ()}.get(operation, ("scene",))
    return {
        "operation": operation,
        "settings": settings,
        "seed": int(_number(data, "seed", spec.seed)),
        "parent": int(_number(data, "scene", 0)) if "scene" in takes else None,
        "other": int(_number(data, "other", 0)) if "other" in takes else None,
    }


def _number(data: QueryDict, name: str, default: float) -> float:
    raw = data.get(name, "").strip()
    try:
        value = float(raw) if raw else float(default)
    except ValueError:
        raise services.Refused(f"Write a number for {name.replace('_', ' ')}.") from None
    if not abs(value) < 2**53:  # also what is not a number
        raise services.Refused(f"Write a number for {name.replace('_', ' ')}.")
    return value
