"""What the Make tab posts: a scene to draw with a trained model."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST
from pydantic import ValidationError

from jobs import services
from jobs.kinds.scenes.asking import SceneRequest, ask_scene
from webapp.experiments.access import get_experiment

BOX = {"x0": "left", "y0": "top", "x1": "right", "y1": "bottom"}  # the form's, in percent of the ground


@require_POST
def make(request: HttpRequest, code: UUID) -> HttpResponse:
    """Queue the scene. A script that asks for JSON gets {"number", "url"} or {"error"}; else back to the tab."""
    experiment = get_experiment(request, code, write=True)
    if experiment.kind != "scenes":
        raise Http404("only scene experiments draw scenes")
    wants_json = "application/json" in request.headers.get("Accept", "")
    try:
        scene = ask_scene(
            experiment=experiment,
            by=request.user,
            request=read(request.POST),
            map=request.FILES.get("map"),
            image=request.FILES.get("image"),
        )
    except services.Refused as error:
        if wants_json:
            return JsonResponse({"error": str(error)}, status=422)
        messages.error(request, str(error))
        return redirect("experiment-tab", code, "make")
    url = f"{reverse('experiment-tab', args=[code, 'scenes'])}?at={scene.number}"
    return JsonResponse({"number": scene.number, "url": url}, status=201) if wants_json else redirect(url)


def read(data: QueryDict) -> SceneRequest:
    """What was posted as a request. Raises Refused with a sentence."""
    operation = data.get("operation", "new")
    wanted: dict[str, Any] = {"operation": operation}
    for group in ("g", "c", "f"):
        told = {"sampler": data.get("sampler"), **{name: data.get(f"{name}_{group}") for name in ("steps", "guidance")}}
        wanted[group] = {name: value for name, value in told.items() if value}
    if seed := data.get("seed", "").strip():
        wanted["seed"] = seed
    if operation != "new" and data.get("scene"):
        wanted["parent"] = data["scene"]
    if operation == "join" and data.get("other"):
        wanted["other"] = data["other"]
    if operation == "inpaint":
        wanted["box"] = {name: _share(data.get(edge, "")) for name, edge in BOX.items()}
    if operation == "vary":
        wanted |= {"strength": data.get("strength") or 0.5, "groups": data.getlist("groups")}
    try:
        return SceneRequest.model_validate(wanted)
    except ValidationError as error:
        raise services.Refused(_sentence(error)) from None


def _share(percent: str) -> float | str:
    try:
        return float(percent) / 100
    except ValueError:
        return percent  # pydantic says what is wrong with it


def _sentence(error: ValidationError) -> str:
    """The first thing that is wrong: "Steps of c: Input should be ..."."""
    first = error.errors(include_url=False)[0]
    *groups, name = [str(part) for part in first["loc"]] or ["request"]
    what = f"{name} of {groups[0]}" if groups else name
    text = str(first.get("ctx", {}).get("error") or first["msg"])
    return f"{what[:1].upper()}{what[1:]}: {text[:1].lower()}{text[1:].rstrip('.')}."
