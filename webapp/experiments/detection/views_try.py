"""An upload on the tab "Try an image"."""

from __future__ import annotations

from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from jobs import services
from jobs.kinds.detection.tries import try_image
from webapp.experiments.access import get_experiment


@require_POST
def try_picture(request: HttpRequest, code: UUID) -> HttpResponse:
    """Keep the picture, queue the detectors, and go back to the tab with the picture chosen."""
    experiment = get_experiment(request, code, write=True)
    if experiment.kind != "detection":
        raise Http404("only detectors look at pictures")
    tab = reverse("experiment-tab", args=[code, "try"])
    file = request.FILES.get("file")
    if file is None:
        messages.error(request, "Choose a picture first.")
        return redirect(tab)
    try:
        tried = try_image(experiment=experiment, by=request.user, file=file)
    except services.Refused as error:
        messages.error(request, str(error))
        return redirect(tab)
    return redirect(f"{tab}?{urlencode({'at': tried.code})}")
