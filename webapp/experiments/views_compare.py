"""Experiments of a team side by side. The address holds the whole view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_safe

from jobs.kinds import all_kinds
from jobs.models import Experiment
from webapp.accounts.models import Team
from webapp.experiments.access import get_team
from webapp.experiments.compare.query import MOST, CompareQuery, Line, chosen, lines_of
from webapp.experiments.compare.settings import setting_rows
from webapp.experiments.kind_pages import kind_comparison
from webapp.sharing.dialog import Thing, offer

Json = dict[str, Any]
OFFERED = 12  # newest experiments offered without a search


@require_safe
def compare(request: HttpRequest, team: UUID) -> HttpResponseBase:
    """The page; with ``X-Part: series`` only its figures' data, for pages that follow running experiments."""
    found, membership = get_team(request, team)
    query = CompareQuery.parse(request.GET)
    experiments = chosen(found, query)
    same_kind = [each for each in experiments if each.kind == experiments[0].kind]
    lines = lines_of(same_kind)
    if request.headers.get("X-Part") == "series":
        series = kind_comparison(same_kind[0].kind).context(same_kind, lines, query)["series"] if same_kind else {}
        return _private(JsonResponse(series))
    context = _context(found, query, experiments, same_kind, lines, can_write=membership.can_write)
    return _private(render(request, "compare/page.html", context))


def _context(
    team: Team,
    query: CompareQuery,
    experiments: Sequence[Experiment],
    same_kind: list[Experiment],
    lines: list[Line],
    *,
    can_write: bool,
) -> dict[str, Any]:
    context: dict[str, Any] = {
        "team": team,
        "query": query,
        "chips": [
            {"experiment": each, "line": line, "remove": query.without(each.code), "first": query.first(each.code)}
            for each, line in zip(same_kind, lines, strict=True)
        ],
        "notes": _notes(query, experiments, same_kind),
        "offered": _offered(team, query),
        "room": MOST - len(experiments),
        "most": MOST,
    }
    if not same_kind:
        intros = [kind_comparison(kind.name) for kind in all_kinds()]
        shown = [each for each in intros if each.intro_template]
        return context | {"intros": [{"template": each.intro_template, **each.intro()} for each in shown]}
    rows = setting_rows(same_kind)
    if can_write:
        scope = {"query": query.url(codes=tuple(each.code for each in same_kind)).removeprefix("?")}
        context["share"] = offer(Thing("comparison", "This comparison", scope))
    context |= kind_comparison(same_kind[0].kind).context(same_kind, lines, query)
    return context | {
        "pin_tiles": " ".join(each.name for each in kind_comparison(same_kind[0].kind).tiles),
        "kind_template": f"experiments/{same_kind[0].kind}/compare.html",
        "baseline": same_kind[0],
        "is_running": any(not each.has_ended for each in same_kind),
        "settings": [row for row in rows if row.differs or query.settings],
        "settings_same": sum(not row.differs for row in rows),
        "settings_url": query.url(settings="" if query.settings else "all"),
    }


def _notes(query: CompareQuery, experiments: Sequence[Experiment], same_kind: Sequence[Experiment]) -> list[str]:
    """What of the address is not shown, in words."""
    notes = []
    if len(query.codes) > MOST:
        notes.append(f"{MOST} experiments fit on one page; the {len(query.codes) - MOST} after them are left out.")
    gone = min(len(query.codes), MOST) - len(experiments)
    if gone:
        notes.append(
            f"{gone} of the experiments in this address {'is' if gone == 1 else 'are'} not in this team: "
            "deleted, or another team's."
        )
    others = [each for each in experiments if each not in same_kind]
    if others:
        names = ", ".join(each.name for each in others)
        kinds = f"{experiments[0].kind_object.title.lower()} and {others[0].kind_object.title.lower()}"
        notes.append(f"Left out: {names}. Experiments of different kinds ({kinds}) have no common measure.")
    return notes


def _offered(team: Team, query: CompareQuery) -> list[Experiment]:
    """The newest experiments that are not on the page yet."""
    return list(Experiment.objects.filter(team=team).exclude(code__in=query.codes[:MOST]).order_by("-pk")[:OFFERED])


def _private(response: HttpResponse) -> HttpResponse:
    response.headers["Cache-Control"] = "private, no-cache"
    patch_vary_headers(response, ["Cookie", "X-Part"])
    return response
