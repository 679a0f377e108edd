"""A comparison as a share link shows it, live or as it was when the link was frozen.

Figures, tables and settings are made into HTML by the kind's own template; a frozen link keeps that HTML and the
figures' data, so that it shows the same whatever becomes of the experiments.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.utils.safestring import mark_safe
from django.views.decorators.http import require_safe

from jobs.models import Experiment
from webapp.accounts.models import Team
from webapp.experiments.compare.query import CompareQuery, chosen, lines_of
from webapp.experiments.compare.settings import setting_rows
from webapp.experiments.kind_pages import kind_comparison, kind_page
from webapp.experiments.shares import query_of
from webapp.sharing.access import Visit, opens

Json = dict[str, Any]
ANY_TOKEN = "TOKEN"  # stands in kept addresses for the token, which is not known when they are kept
_STATIC = re.compile(rf"{re.escape(settings.STATIC_URL)}([\w./-]+)")
_HASH = re.compile(r"\.[0-9a-f]{12}(?=\.\w+$)")  # in the name of a collected static file


def shared_comparison(request: HttpRequest, visit: Visit) -> HttpResponseBase:
    """The page that the link opens. The visitor may turn its views, but never name other experiments."""
    kept = query_of(visit.link)
    if set(request.GET) <= {"theme"} and kept.url() != CompareQuery(kept.codes).url():
        theme = f"&{request.GET.urlencode()}" if request.GET else ""
        return redirect(f"{request.path}{kept.url()}{theme}")  # scripts read the view from the address
    query = replace(CompareQuery.parse(request.GET), codes=kept.codes)
    shown = visit.frozen or describe(visit.link.team, query)
    if request.headers.get("X-Part") == "series":
        return _private(JsonResponse(_for_token(shown["series"], visit.token)))
    body = _STATIC.sub(lambda found: static(found[1]), str(_for_token(shown["body"], visit.token)))
    # Rendered and escaped by the templates that made it, then or now.
    context = shown | {"visit": visit, "client_keys": query.client_keys, "body": mark_safe(body)}
    return _private(render(request, "compare/shared.html", context))


@opens("comparison")
@require_safe
def compared_data(request: HttpRequest, visit: Visit, number: int, part: str) -> HttpResponseBase:
    """A figure's data of one of the compared experiments, by its place."""
    if visit.frozen:
        found = visit.frozen["data"].get(str(number), {}).get(part)
    else:
        experiments = chosen(visit.link.team, query_of(visit.link))
        data = kind_page(experiments[number].kind).data if number < len(experiments) else {}
        found = data[part](experiments[number]) if part in data else None
    if found is None:
        raise Http404("No such data.")
    return _private(JsonResponse(found))


def freeze(team: Team, query: CompareQuery) -> Json:
    """What a frozen link keeps."""
    experiments = chosen(team, query)
    return describe(team, query) | {
        "is_running": False,
        "data": {
            str(number): {name: make(each) for name, make in kind_page(each.kind).data.items()}
            for number, each in enumerate(experiments)
        },
    }


def describe(team: Team, query: CompareQuery) -> Json:
    """{"title", "chips", "body" (HTML), "series", "is_running"}, as JSON, with ANY_TOKEN in its addresses."""
    experiments = chosen(team, query)
    lines = lines_of(experiments)
    kind = experiments[0].kind
    context = kind_comparison(kind).context(experiments, lines, query)
    context["series"] = _within(context["series"])
    rows = setting_rows(experiments)
    context |= {
        "is_shared": True,
        "query": query,
        "chips": [{"experiment": each, "line": line} for each, line in zip(experiments, lines, strict=True)],
        "baseline": experiments[0],
        "kind_template": f"experiments/{kind}/compare.html",
        "settings": [row for row in rows if row.differs or query.settings],
        "settings_same": sum(not row.differs for row in rows),
        "settings_url": query.url(settings="" if query.settings else "all"),
    }
    body = render_to_string("compare/shared_body.html", context)
    return {
        "title": _title(experiments),
        "chips": [{"name": each.name, "slot": line.slot} for each, line in zip(experiments, lines, strict=True)],
        "body": _STATIC.sub(lambda found: settings.STATIC_URL + _HASH.sub("", found[1]), body),
        "series": context["series"],
        "is_running": any(not each.has_ended for each in experiments),
    }


def _title(experiments: list[Experiment]) -> str:
    return f"{len(experiments)} experiments compared" if len(experiments) > 1 else experiments[0].name


def _within(series: Json) -> Json:
    """The figures' data with addresses that the link opens; its experiments have no pages there."""
    for number, run in enumerate(series.get("runs", [])):
        run["url"] = "#side-by-side"
        if "data" in run:
            run["data"] = reverse("shared-compared", args=[ANY_TOKEN, number, "NAME"])
    return series


def _for_token(value: Any, token: str) -> Any:
    """Kept HTML or data with the link's own addresses."""
    if isinstance(value, str):
        return value.replace(f"/s/{ANY_TOKEN}/", f"/s/{token}/")
    if isinstance(value, dict):
        return {key: _for_token(each, token) for key, each in value.items()}
    return [_for_token(each, token) for each in value] if isinstance(value, list) else value


def _private(response: HttpResponseBase) -> HttpResponseBase:
    response.headers["Cache-Control"] = "private, no-cache"
    patch_vary_headers(response, ["X-Part"])
    return response
