"""The page "Draw more where it helps": a preview for a budget, and the button that does it."""

from __future__ import annotations

import math
from typing import Any, get_args
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from jobs import services
from jobs.models import Experiment
from webapp.experiments.access import get_experiment
from webapp.experiments.sampling.amounts import write_dollars, write_seconds
from webapp.experiments.sampling.estimate import compact
from webapp.experiments.sampling.extra import (
    MOST_SPEND,
    CannotDraw,
    Known,
    Preview,
    Unit,
    draw_where_it_helps,
    known_of,
    preview,
)
from webapp.experiments.sampling.measured import time_title

MOST_GROUPS = 12  # rows of the table; more numbers of samples are summed up in the last one


@require_safe
def draw(request: HttpRequest, code: UUID) -> HttpResponse:
    """``?spend=640&unit=samples`` is what is weighed; without it as much as doubling the unsolved problems takes."""
    experiment = _experiment(request, code)
    known = known_of(experiment)
    context: dict[str, Any] = {
        "experiment": experiment,
        "units": _unit_choices(known),
        "unit": "samples",
        "spend": known.usual_spend(experiment),
        "most_spend": f"{MOST_SPEND:.0f}",
        "time": time_title(known.device),
    }
    try:
        if "spend" in request.GET:
            context |= {"spend": request.GET["spend"], "unit": request.GET.get("unit", "samples")}
        spend, unit = _asked(request.GET if "spend" in request.GET else _query(context["spend"]))
        found = preview(experiment, spend, unit, known)
        context |= {"preview": found, "groups": _groups(found), "costs": _costs(found, known)}
    except CannotDraw as error:
        context["why"] = str(error)
    return render(request, "experiments/sampling/draw.html", context)


@require_POST
def start(request: HttpRequest, code: UUID) -> HttpResponse:
    experiment = _experiment(request, code)
    try:
        spend, unit = _asked(request.POST)
        found = draw_where_it_helps(experiment, spend, unit, _number(request.POST))
    except (CannotDraw, services.Refused) as error:
        messages.error(request, str(error))
        query = QueryDict(mutable=True)
        query.update({name: request.POST.get(name, "") for name in ("spend", "unit")})
        return redirect(f"{reverse('experiment-draw', args=[code])}?{query.urlencode()}")
    messages.success(
        request, f"Drawing {found.samples:,} more samples of {found.problems:,} problems. What is there stays."
    )
    return redirect("experiment", code)


def _experiment(request: HttpRequest, code: UUID) -> Experiment:
    experiment = get_experiment(request, code, write=True)
    if experiment.kind != "sampling":
        raise Http404("experiments of other kinds have no samples")
    return experiment


def _asked(query: QueryDict) -> tuple[float, Unit]:
    """Raises CannotDraw for what is no budget."""
    raw, unit = query.get("spend", "").strip(), query.get("unit", "samples")
    if unit not in get_args(Unit):
        raise CannotDraw("Choose samples, hours or dollars.")
    try:
        spend = float(raw) if raw.isascii() and "_" not in raw else math.nan
    except ValueError:
        spend = math.nan
    if not 0 < spend <= MOST_SPEND:
        raise CannotDraw(f"Write how much to spend: a number above 0 and up to {MOST_SPEND:,.0f}.")
    if unit == "samples" and spend != int(spend):
        raise CannotDraw("Write a whole number of samples.")
    return spend, unit  # type: ignore[return-value]  # one of Unit's


def _query(spend: int) -> QueryDict:
    return QueryDict(f"spend={spend}&unit=samples")


def _number(query: QueryDict) -> int:
    raw = query.get("number", "")
    if not (raw.isascii() and raw.isdigit() and len(raw) < 7):
        raise CannotDraw("Look at a preview first, then draw what it shows.")
    return int(raw)


def _unit_choices(known: Known) -> list[tuple[str, str]]:
    titles = {"samples": "samples", "gpu-hours": time_title(known.device).replace(" time", " hours"), "dollars": "US$"}
    return [(unit, titles[unit]) for unit in known.units]


def _groups(found: Preview) -> list[tuple[str, int]]:
    """(further samples, problems) for the table."""
    rows = [(f"{more:,}", problems) for more, problems in found.groups[:MOST_GROUPS]]
    if rest := found.groups[MOST_GROUPS:]:
        rows.append((f"{rest[-1][0]:,} to {rest[0][0]:,}", sum(problems for _, problems in rest)))
    return rows


def _costs(found: Preview, known: Known) -> list[tuple[str, str, str]]:
    """(measure, amount, where it comes from)."""
    rows = [("Samples", f"{found.samples:,}", "")]
    if found.tokens is not None:
        rows.append(("Tokens", f"about {compact(found.tokens)}", "by the mean answer of each problem"))
    if found.seconds is not None:
        rows.append((time_title(known.device), f"about {write_seconds(found.seconds)}", known.costs.notes["gpu"]))
    if found.dollars is not None:
        rows.append(("US$", f"about {write_dollars(found.dollars)}", known.costs.notes["dollars"]))
    return rows
