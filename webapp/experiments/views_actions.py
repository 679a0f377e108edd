"""What members do to an experiment. Every action is a POST that goes back to the experiment's page."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from jobs import services
from jobs.models import Experiment, Priority
from webapp.experiments.access import get_experiment


class Refused(Exception):
    """The request itself is wrong; the sentence says what to change."""


Action = Callable[[HttpRequest, Experiment], str]


def _action(act: Action) -> Callable[..., HttpResponse]:
    """A POST view for members around ``act``, which returns the sentence to show."""

    @require_POST
    def view(request: HttpRequest, code: UUID) -> HttpResponse:
        experiment = get_experiment(request, code, write=True)
        try:
            messages.success(request, act(request, experiment))
        except (Refused, services.Refused) as error:
            messages.error(request, str(error))
        return redirect("experiment", code)

    return view


@_action
def cancel(request: HttpRequest, experiment: Experiment) -> str:
    services.cancel(experiment=experiment, by=request.user)
    return "Cancelled. What was drawn so far is kept."


@_action
def retry(request: HttpRequest, experiment: Experiment) -> str:
    services.retry(experiment=experiment)
    return "Queued again. What was done before is kept."


@_action
def more(request: HttpRequest, experiment: Experiment) -> str:
    samples = _whole_number(request, "samples", least=1)
    services.draw_more(experiment=experiment, samples=samples)
    return f"Drawing up to {samples:,} samples per problem."


@_action
def regrade(request: HttpRequest, experiment: Experiment) -> str:
    services.regrade(experiment=experiment, verifier=request.POST.get("verifier", ""))
    return "Grading again. No sample is drawn anew."


@_action
def score(request: HttpRequest, experiment: Experiment) -> str:
    label = _whole_number(request, "label", least=0) if request.POST.get("label", "").strip() else None
    services.score(experiment=experiment, scorer=request.POST.get("scorer", ""), label=label)
    return "Scoring. No sample is drawn or graded anew."


@_action
def rename(request: HttpRequest, experiment: Experiment) -> str:
    name = request.POST.get("name", "").strip()
    if not 1 <= len(name) <= 120:
        raise Refused("A name has 1 to 120 characters.")
    services.rename(experiment=experiment, name=name)
    return "Renamed."


@_action
def priority(request: HttpRequest, experiment: Experiment) -> str:
    value = _whole_number(request, "priority", least=0)
    if value not in Priority.values:
        raise Refused("Choose low, normal or high priority.")
    services.set_priority(experiment=experiment, priority=value)
    return f"{Priority(value).label} priority from now on."


@require_POST
def delete(request: HttpRequest, code: UUID) -> HttpResponse:
    """Needs ``confirm``: the page asks in a dialog, and nothing is deleted by a stray request."""
    experiment = get_experiment(request, code, write=True)
    if request.POST.get("confirm") != "delete":
        messages.error(request, "Nothing was deleted: confirm it in the dialog first.")
        return redirect("experiment", code)
    try:
        services.delete(experiment=experiment)
    except services.Refused as error:
        messages.error(request, str(error))
        return redirect("experiment", code)
    messages.success(request, f"{experiment.name} is deleted, with its samples and files.")
    return redirect("experiments", experiment.team.code)


def _whole_number(request: HttpRequest, name: str, *, least: int) -> int:
    raw = request.POST.get(name, "").strip()
    if not (raw.isascii() and raw.isdigit()) or len(raw) > 9 or int(raw) < least:
        raise Refused(f"{name.capitalize()} must be a whole number of at least {least}.")
    return int(raw)
