"""The page "Import results": an upload becomes an experiment, which a CPU worker fills from the file."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods
from pydantic import ValidationError

from engine.exchange import AUTO, FORMATS, ExchangeError
from jobs import services
from jobs.kinds.sampling.imports import submit_import
from jobs.models import Experiment
from webapp.accounts.models import Team, User
from webapp.experiments.access import get_team
from webapp.experiments.views_new import NAME_LENGTH

FIELDS = ("name", "model", "format", "score", "filter")


@require_http_methods(["GET", "HEAD", "POST"])
def import_results(request: HttpRequest, team: UUID) -> HttpResponse:
    """The form; a POST keeps the file and goes to the new experiment's page, where the import is followed live.

    A script that asks for JSON gets ``{"url"}`` or ``{"error"}``.
    """
    found, _ = get_team(request, team, write=True)
    if request.method != "POST":
        return _page(request, found)
    try:
        experiment = _submit(request, found)
    except (ExchangeError, services.Refused) as error:
        if _wants_json(request):
            return JsonResponse({"error": str(error)}, status=422)
        return _page(request, found, error=str(error), status=422)
    if _wants_json(request):
        return JsonResponse({"url": reverse("experiment", args=[experiment.code])}, status=201)
    return redirect("experiment", experiment.code)


def _submit(request: HttpRequest, team: Team) -> Experiment:
    file = request.FILES.get("file")
    if file is None:
        raise ExchangeError("Choose a file with results first.")
    values = {name: request.POST.get(name, "").replace("\0", "").strip() for name in FIELDS}
    if len(values["name"]) > NAME_LENGTH:
        raise ExchangeError(f"A name has at most {NAME_LENGTH} characters.")
    try:
        return submit_import(
            team=team,
            owner=cast(User, request.user),
            file=file,
            file_name=file.name or "results",
            name=values["name"],
            model=values["model"],
            format=values["format"] or AUTO,
            score=values["score"],
            filter=values["filter"],
        )
    except ValidationError as error:
        raise ExchangeError(
            f"The {error.errors()[0]['loc'][0]} cannot be stored: {error.errors()[0]['msg']}."
        ) from None


def _page(request: HttpRequest, team: Team, *, error: str = "", status: int = 200) -> HttpResponse:
    context = {
        "team": team,
        "error": error,
        "values": {name: request.POST.get(name, "") for name in FIELDS},
        "formats": [(AUTO, "Detect from the file"), *((one.name, one.title) for one in FORMATS.values())],
        "most_megabytes": settings.IMPORT_MAX_BYTES // 2**20,
    }
    return render(request, "experiments/sampling/import.html", context, status=status)


def _wants_json(request: HttpRequest) -> bool:
    return "application/json" in request.headers.get("Accept", "")
