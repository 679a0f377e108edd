"""Sets of posed pictures of a team: the list with its form, and each one's page with its cameras and what is wrong."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from jobs.kinds.data_sets import standing
from jobs.kinds.scenes.models import SceneSet
from jobs.kinds.scenes.sets import SETS
from jobs.services import Refused
from webapp.accounts.models import Membership, Team, User
from webapp.experiments.access import get_team
from webapp.experiments.detection.views_sets import STATES
from webapp.experiments.downloads import PICTURE_SECONDS
from webapp.experiments.scenes import sets
from webapp.experiments.scenes.pictures import set_picture

FORMATS = {"gsn": "GSN's layout", "transforms": "transforms.json", "colmap": "COLMAP"}


@require_safe
def scene_sets(request: HttpRequest, team: UUID) -> HttpResponse:
    found, membership = get_team(request, team)
    return _list(request, found, membership)


@require_POST
def scene_set_add(request: HttpRequest, team: UUID) -> HttpResponse:
    """Keep an upload, or note a folder, and have it read. A script that asks for JSON gets {"url"} or {"error"}."""
    found, membership = get_team(request, team, write=True)
    wants_json = "application/json" in request.headers.get("Accept", "")
    try:
        made = _add(request, found)
    except Refused as error:
        if wants_json:
            return JsonResponse({"error": str(error)}, status=422)
        return _list(request, found, membership, error=str(error), status=422)
    url = reverse("scene-set", args=[made.code])
    return JsonResponse({"url": url}, status=201) if wants_json else redirect(url)


def _add(request: HttpRequest, team: Team) -> SceneSet:
    user, name, path = cast(User, request.user), request.POST.get("name", ""), request.POST.get("path", "")
    file = request.FILES.get("file")
    if file is not None:
        return SETS.add_upload(team=team, by=user, file=file, name=name)
    if path.strip():
        return SETS.add_path(team=team, by=user, path=path, name=name)
    raise Refused("Choose a zip first." if not settings.SCENES_DIRS else "Choose a zip, or write a folder's path.")


def _list(
    request: HttpRequest, team: Team, membership: Membership, *, error: str = "", status: int = 200
) -> HttpResponse:
    found = SceneSet.objects.filter(team=team).select_related("reader").order_by("-created_at")
    context = {
        "team": team,
        "membership": membership,
        "rows": [{"set": one, "state": STATES[standing(one)[0]]} for one in found],
        "error": error,
        "values": {name: request.POST.get(name, "") for name in ("name", "path")},
        "folders": settings.SCENES_DIRS,
        "most_megabytes": settings.SCENES_MAX_BYTES // 2**20,
    }
    return render(request, "scene_sets/list.html", context, status=status)


def reach(request: HttpRequest, code: UUID, *, write: bool = False) -> tuple[SceneSet, Membership]:
    """The set and the visitor's membership. Http404 for outsiders, PermissionDenied for viewers who write."""
    found = SceneSet.objects.select_related("team", "reader", "created_by").filter(code=code).first()
    if found is None:
        raise Http404("no such set")
    _, membership = get_team(request, found.team.code, write=write)
    return found, membership


@require_safe
def scene_set(request: HttpRequest, code: UUID) -> HttpResponse:
    """Its cameras and pictures in 3D, what is in it and what is wrong with it."""
    found, membership = reach(request, code)
    state, reason = standing(found)
    rig = sets.rig(found, request.GET, lambda key: reverse("scene-set-cameras", args=[code, key]))
    context = {
        "team": found.team,
        "membership": membership,
        "set": found,
        "state": state,
        "chip": STATES[state],
        "reason": reason,
        "format": FORMATS.get(found.format, found.format),
        "problems": sets.problems(found.report),
        "path": request.path,
        **rig,
    }
    is_part = request.headers.get("X-Part") == "browser" and rig["rig"] is not None
    response = render(request, "experiments/scenes/rig.html" if is_part else "scene_sets/detail.html", context)
    response.headers["Vary"] = "Cookie, X-Part"
    return response


@require_safe
def scene_set_cameras(request: HttpRequest, code: UUID, key: str) -> HttpResponse:
    """The cameras of a scene of the set, by its number."""
    found, _ = reach(request, code)
    told = sets.cameras(found, key, lambda view: reverse("scene-set-picture", args=[code, view]))
    if told is None:
        raise Http404("no such scene")
    return JsonResponse(told)


@require_safe
def scene_set_picture(request: HttpRequest, code: UUID, key: str) -> HttpResponse:
    """A small copy of one view: "<scene>-<view>"."""
    found, _ = reach(request, code)
    jpeg = set_picture(found.pk, key)
    if jpeg is None:
        raise Http404("no such picture")
    response = HttpResponse(jpeg, content_type="image/jpeg")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = f"private, max-age={PICTURE_SECONDS}"
    return response


@require_POST
def scene_set_delete(request: HttpRequest, code: UUID) -> HttpResponse:
    """Needs ``confirm``, as the deletion of an experiment does."""
    found, _ = reach(request, code, write=True)
    if request.POST.get("confirm") != "delete":
        messages.error(request, "Nothing was deleted: confirm it in the dialog first.")
        return redirect("scene-set", code)
    try:
        SETS.delete(data_set=found)
    except Refused as error:
        messages.error(request, str(error))
        return redirect("scene-set", code)
    messages.success(request, f"{found.name} is deleted. Results of experiments with it are kept.")
    return redirect("scene-sets", found.team.code)
