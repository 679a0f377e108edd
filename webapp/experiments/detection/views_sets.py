"""Data sets of a team: the list with its form, and each one's page with the report of what is wrong in it."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from jobs.kinds.detection import sets
from jobs.kinds.detection.models import DataSet
from jobs.services import Refused
from webapp.accounts.models import Membership, Team, User
from webapp.experiments.access import get_team

STATES = {
    "reading": ("running", "ring", "Being read"),
    "ready": ("finished", "check", "Ready"),
    "refused": ("failed", "warn", "Cannot be used"),
    "failed": ("failed", "warn", "Not read"),
}
KINDS = {
    "missing_image": ("Missing image", "left out"),
    "empty_image": ("Image of 0 bytes", "left out"),
    "broken_image": ("Broken image", "left out"),
    "huge_image": ("Image too large", "left out"),
    "unlabelled_image": ("Image without labels", "kept as background"),
    "size_mismatch": ("Size differs from the label's", "the file's size counts"),
    "degenerate_box": ("Box without an area", "object left out"),
    "box_outside": ("Box outside of its image", "cut, or object left out"),
    "unknown_class": ("Unknown class", "object left out"),
    "bad_mask": ("Mask that cannot be read", "its box is kept"),
    "bad_annotation": ("Label that cannot be read", "left out"),
}


@require_safe
def data_sets(request: HttpRequest, team: UUID) -> HttpResponse:
    found, membership = get_team(request, team)
    return _list(request, found, membership)


@require_POST
def data_set_add(request: HttpRequest, team: UUID) -> HttpResponse:
    """Keep an upload, or note a folder, and have it read. A script that asks for JSON gets {"url"} or {"error"}."""
    found, membership = get_team(request, team, write=True)
    try:
        made = _add(request, found)
    except Refused as error:
        if _wants_json(request):
            return JsonResponse({"error": str(error)}, status=422)
        return _list(request, found, membership, error=str(error), status=422)
    url = reverse("data-set", args=[made.code])
    return JsonResponse({"url": url}, status=201) if _wants_json(request) else redirect(url)


def _add(request: HttpRequest, team: Team) -> DataSet:
    user = cast(User, request.user)
    name, format, path = (request.POST.get(key, "") for key in ("name", "format", "path"))
    file = request.FILES.get("file")
    if file is not None:
        return sets.add_upload(team=team, by=user, file=file, name=name, format=format)
    if path.strip():
        return sets.add_path(team=team, by=user, path=path, name=name, format=format)
    raise Refused("Choose a zip first." if not settings.DETECTION_DIRS else "Choose a zip, or write a folder's path.")


def _list(
    request: HttpRequest, team: Team, membership: Membership, *, error: str = "", status: int = 200
) -> HttpResponse:
    rows = [
        {"set": one, "state": STATES[sets.standing(one)[0]]}
        for one in DataSet.objects.filter(team=team).select_related("reader").order_by("-created_at")
    ]
    context = {
        "team": team,
        "membership": membership,
        "rows": rows,
        "error": error,
        "values": {name: request.POST.get(name, "") for name in ("name", "format", "path")},
        "formats": sets.FORMATS.items(),
        "folders": settings.DETECTION_DIRS,
        "most_megabytes": settings.DETECTION_MAX_BYTES // 2**20,
    }
    return render(request, "datasets/list.html", context, status=status)


def reach_set(request: HttpRequest, code: UUID, *, write: bool = False) -> tuple[DataSet, Membership]:
    """The data set and the visitor's membership. Http404 for outsiders, PermissionDenied for viewers who write."""
    found = DataSet.objects.select_related("team", "reader", "created_by").filter(code=code).first()
    if found is None:
        raise Http404("no such data set")
    _, membership = get_team(request, found.team.code, write=write)
    return found, membership


@require_safe
def data_set(request: HttpRequest, code: UUID) -> HttpResponse:
    """What is in it and what is wrong with it."""
    found, membership = reach_set(request, code)
    state, reason = sets.standing(found)
    context = {
        "team": found.team,
        "membership": membership,
        "set": found,
        "state": state,
        "chip": STATES[state],
        "reason": reason,
        "problems": _problems(found),
        "classes": list(found.counts.get("by_class", {}).items()),
        "most": max(found.counts.get("by_class", {}).values(), default=0) or 1,
    }
    return render(request, "datasets/detail.html", context)


def _problems(found: DataSet) -> list[dict[str, Any]]:
    """Each kind of fault with its count and examples."""
    examples: dict[str, list[dict[str, str]]] = {}
    for each in found.report.get("problems", []):
        examples.setdefault(each["kind"], []).append(each)
    return [
        {
            "title": KINDS.get(kind, (kind, ""))[0],
            "done": KINDS.get(kind, ("", ""))[1],
            "count": found.report["counts"][kind],
            "examples": shown,
        }
        for kind, shown in examples.items()
    ]


@require_POST
def data_set_delete(request: HttpRequest, code: UUID) -> HttpResponse:
    """Needs ``confirm``, as the deletion of an experiment does."""
    found, _ = reach_set(request, code, write=True)
    if request.POST.get("confirm") != "delete":
        messages.error(request, "Nothing was deleted: confirm it in the dialog first.")
        return redirect("data-set", code)
    try:
        sets.delete(data_set=found)
    except Refused as error:
        messages.error(request, str(error))
        return redirect("data-set", code)
    messages.success(request, f"{found.name} is deleted. Results of experiments with it are kept.")
    return redirect("data-sets", found.team.code)


def _wants_json(request: HttpRequest) -> bool:
    return "application/json" in request.headers.get("Accept", "")
