"""The form for a new experiment, its estimate, and uploads of problem sets."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST
from pydantic import BaseModel

from engine.problems import ProblemFormatError, parse_bytes
from engine.tasks import TASKS, problems_of_file
from jobs import services
from jobs.kinds import all_kinds, get_kind
from jobs.kinds.base import Kind, SpecError
from jobs.kinds.sampling.models import ProblemSet
from jobs.kinds.sampling.problem_sets import save_problem_set
from jobs.models import Priority
from webapp.accounts.models import Team, User
from webapp.experiments.access import get_experiment, get_team
from webapp.experiments.forms import SpecForm, fields_of
from webapp.experiments.kind_forms import Estimate, kind_form

NAME_LENGTH = 120
CHOSEN_BY_LINK = {"data-set", "problem-set"}


def _kind(name: str) -> Kind:
    try:
        return get_kind(name)
    except KeyError:
        raise Http404("no such kind of experiment") from None


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest, team: UUID, kind: str) -> HttpResponse:
    """The form; ``?from=<code>`` fills it with an earlier experiment's settings, ``?preset=`` with a preset's,
    ``?data=`` chooses a data set."""
    found, _ = get_team(request, team, write=True)
    kind_object = _kind(kind)
    if request.method == "POST":
        return _submit(request, found, kind_object)
    values, name, preset = _initial(request, kind)
    form = SpecForm(kind_object.Spec, initial=values)
    return _page(request, found, kind_object, form, name=name, preset=preset)


def _initial(request: HttpRequest, kind: str) -> tuple[dict[str, Any], str, str]:
    """Values, name and chosen preset that the form starts with."""
    if source := request.GET.get("from"):
        try:
            experiment = get_experiment(request, UUID(source))
        except ValueError:
            raise Http404("no such experiment") from None
        if experiment.kind != kind:
            values = kind_form(kind).values_of(experiment)
            if values is None:
                raise Http404("an experiment of another kind")
            return values, "", ""
        return experiment.spec, f"{experiment.name[: NAME_LENGTH - 7]} (copy)", ""
    presets = kind_form(kind).presets()
    asked = request.GET.get("preset")
    chosen = next((preset for preset in presets if preset.name == asked), next(iter(presets), None))
    return (chosen.values if chosen else {}) | _asked(request, kind), "", chosen.name if chosen else ""


def _asked(request: HttpRequest, kind: str) -> dict[str, Any]:
    """What the address chooses, as a link from a data set does: ``?data=set/...``."""
    named = [field.name for field in fields_of(get_kind(kind).Spec) if field.widget in CHOSEN_BY_LINK]
    return {name: request.GET[name] for name in named if name in request.GET}


def _submit(request: HttpRequest, team: Team, kind: Kind) -> HttpResponse:
    form = SpecForm(kind.Spec, data=request.POST)
    name = request.POST.get("name", "").replace("\0", "").strip()
    if len(name) > NAME_LENGTH:
        form.add_error("name", f"Use at most {NAME_LENGTH} characters.")
    priority = request.POST.get("priority", str(Priority.NORMAL.value))
    if priority not in {str(value) for value in Priority.values}:
        form.add_error("priority", "Choose low, normal or high.")
    spec = _validated(form, kind, team)
    if spec is not None:
        name = name or kind_form(kind.name).default_name(spec, team)[:NAME_LENGTH]
        try:
            experiment = services.submit(
                team=team,
                owner=cast(User, request.user),
                kind=kind.name,
                name=name,
                spec=spec,
                priority=int(priority),
            )
        except services.Refused as error:
            form.add_error("", str(error))
        else:
            return redirect("experiment", experiment.code)
    return _page(request, team, kind, form, name=name, preset="", priority=priority, status=422)


def _validated(form: SpecForm, kind: Kind, team: Team) -> BaseModel | None:
    """The Spec, if neither it nor anything around it is wrong; else None and ``form.errors``."""
    if form.is_valid():
        for name, message in kind_form(kind.name).check(form.spec, team).items():
            form.add_error(name, message)
    return None if form.errors else form.spec


def _page(
    request: HttpRequest,
    team: Team,
    kind: Kind,
    form: SpecForm,
    *,
    name: str,
    preset: str,
    priority: str = "",
    status: int = 200,
) -> HttpResponse:
    adapter = kind_form(kind.name)
    presets = adapter.presets()
    widgets = {field.widget for field in form.fields}
    context = {
        "team": team,
        "kind": kind,
        "kinds": [(one.name, one.title, kind_form(one.name).icon) for one in all_kinds()],
        "lede": adapter.lede,
        "form": form,
        "name": name,
        "name_error": form.errors.get("name", ""),
        "presets": presets,
        "preset": preset,
        "preset_values": {card.name: _shown(kind, card.values) for card in presets},
        "options": {widget: groups for widget in widgets if (groups := adapter.options(widget, team))},
        "sets_address": adapter.sets_address,
        "tasks": [(task.name, task.title) for task in TASKS.values()],
        "priorities": [(str(value), label) for value, label in Priority.choices],
        "priority": priority or str(Priority.NORMAL.value),
        "estimate": _estimate(kind, form, team),
    }
    return render(request, "experiments/new.html", context, status=status)


def _shown(kind: Kind, values: dict[str, Any]) -> dict[str, Any]:
    """A preset's values for every field, as the form's controls hold them."""
    sections = SpecForm(kind.Spec, initial=values).sections
    return {bound.field.name: bound.value for section in sections for bound in section.fields}


def _estimate(kind: Kind, form: SpecForm, team: Team) -> Estimate:
    if form.spec is None and not form.errors:
        form.is_valid()
        form.errors.clear()  # an empty form is not accused of anything
    return kind_form(kind.name).estimate(form.spec, team) if form.spec is not None else Estimate()


@require_POST
def estimate(request: HttpRequest, team: UUID, kind: str) -> JsonResponse:
    """What the posted form would take: ``{"rows": [[label, value, how it is known], ...], "note", "errors"}``; errors
    are sentences by field."""
    found, _ = get_team(request, team)
    kind_object = _kind(kind)
    form = SpecForm(kind_object.Spec, data=request.POST)
    spec = _validated(form, kind_object, found)
    known = Estimate() if spec is None else kind_form(kind).estimate(spec, found)
    return JsonResponse({"rows": known.rows, "note": known.note, "errors": form.errors})


@require_POST
def problem_set_upload(request: HttpRequest, team: UUID) -> HttpResponse:
    """Keep a JSONL file of problems for the team. Answers JSON to the form's script, else goes to the form."""
    found, _ = get_team(request, team, write=True)
    made, error = _keep(request, found)
    if "application/json" in request.headers.get("Accept", ""):
        if made is None:
            return JsonResponse({"error": error}, status=422)
        return JsonResponse({"value": f"set/{made.code}", "label": f"{made.name}, {made.count:,} problems"}, status=201)
    if made is None:
        messages.error(request, error)
    else:
        messages.success(request, f"{made.name}: {made.count:,} problems are ready to choose.")
    return redirect(reverse("experiment-new", args=[found.code, "sampling"]))


def _keep(request: HttpRequest, team: Team) -> tuple[ProblemSet | None, str]:
    """The stored set, or None and what is wrong with the upload."""
    file = request.FILES.get("file")
    if file is None:
        return None, "Choose a file with one JSON object a line."
    name = request.POST.get("name", "").strip() or str(file.name).removesuffix(".gz").removesuffix(".jsonl")
    task = TASKS.get(request.POST.get("task", ""))
    try:
        content = file.read()
        problems = parse_bytes(content) if task is None else problems_of_file(task, content)
        made = save_problem_set(team=team, by=cast(User, request.user), name=name, problems=problems)
    except (ProblemFormatError, SpecError) as error:
        return None, str(error)
    return made, ""
