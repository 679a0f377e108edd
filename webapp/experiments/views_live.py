"""The experiment page and the JSON it keeps itself fresh with."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from typing import Any, cast

from django.core.serializers.json import DjangoJSONEncoder
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.utils.cache import get_conditional_response, patch_vary_headers
from django.views.decorators.http import require_safe

from jobs.live import live_state
from jobs.models import Priority
from webapp.experiments.config import config_sections
from webapp.experiments.downloads import listed_files
from webapp.experiments.page import CONFIG, FILES, LOG, OVERVIEW, Page
from webapp.experiments.visibility import chart_view, shared_view
from webapp.sharing.dialog import Thing, offer

Json = dict[str, Any]
VOLATILE = ("now", "eta_seconds")  # change by themselves; a page that has the rest needs no new copy


def visible_state(page: Page, after: int = 0) -> Json:
    """The live state since ``after`` as this visitor may see it."""
    if page.frozen:
        return cast(Json, page.frozen["state"])
    state = live_state(page.experiment, after)
    if not page.is_shared:
        return state
    return chart_view(shared_view(state), page.only) if page.only else shared_view(state)


@require_safe
def overview(request: HttpRequest, page: Page) -> HttpResponseBase:
    return _render(request, page, OVERVIEW.name, f"experiments/{page.experiment.kind}/overview.html")


@require_safe
def tab(request: HttpRequest, page: Page, tab: str) -> HttpResponseBase:
    """Any other tab; 404 for one that this kind or this visitor does not have."""
    if tab == OVERVIEW.name or tab not in {known.name for known in page.tabs}:
        raise Http404("No such tab.")
    common = {known.name for known in (LOG, CONFIG, FILES)}
    folder = "detail_tabs" if tab in common else page.experiment.kind
    return _render(request, page, tab, f"experiments/{folder}/{tab}.html")


@require_safe
def live(request: HttpRequest, page: Page) -> HttpResponseBase:
    """What changed after the sequence number ``?after=``; 304 when the page has it already."""
    raw = request.GET.get("after", "0")
    if not (raw.isascii() and raw.isdigit() and len(raw) < 19):
        return JsonResponse({"error": "after must be a whole number: the seq of the last state you have."}, status=400)
    return live_response(request, page, int(raw))


def live_response(request: HttpRequest, page: Page, after: int) -> HttpResponseBase:
    """The state since ``after`` with its ETag, for pages and the API."""
    state = visible_state(page, after)
    stable = {name: value for name, value in state.items() if name not in VOLATILE}
    digest = hashlib.sha256(json.dumps(stable, cls=DjangoJSONEncoder, sort_keys=True).encode()).hexdigest()[:24]
    etag = f'"{digest}"'
    response = get_conditional_response(request, etag=etag) or JsonResponse(state)
    response.headers["ETag"] = etag
    response.headers["Cache-Control"] = "private, no-cache"
    return response


@require_safe
def data(request: HttpRequest, page: Page, part: str) -> HttpResponseBase:
    """A figure's data, which the kind keeps in the cache; 404 for a part that it does not have."""
    if part not in page.kind.data:
        raise Http404("No such data.")
    if page.only and part not in page.only.data:
        raise Http404("No such data.")
    found = page.frozen["data"][part] if page.frozen else page.kind.data[part](page.experiment)
    response = JsonResponse(page.only.of_data(part, found) if page.only else found)
    response.headers["Cache-Control"] = "private, no-cache"
    return response


@require_safe
def item(request: HttpRequest, page: Page, part: str, key: str) -> HttpResponseBase:
    """One thing of the kind's as its scripts read it. Items are samples: share links without samples give none."""
    find = page.kind.items.get(part) if page.shows_samples else None
    found = find(page, key) if find else None
    if found is None:
        raise Http404("No such item.")
    response = JsonResponse(found)
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _shareable(page: Page) -> list[Thing]:
    """What the share dialog offers."""
    code = {"experiment": str(page.experiment.code)}
    charts = [
        Thing("chart", f"Chart: {chart.title}", code | {"chart": name}) for name, chart in page.kind.charts.items()
    ]
    return [Thing("experiment", "This experiment", code, page.kind.samples_are), *charts]


def _render(request: HttpRequest, page: Page, tab: str, template: str) -> HttpResponse:
    experiment = page.experiment
    context: dict[str, Any] = {
        "page": page,
        "access": page.access,
        "experiment": experiment,
        "state": partial(visible_state, page),  # asked for by whole pages only
        "tab": tab,
        "tabs": [
            {"title": each.title, "name": each.name, "has_count": each.has_count, "url": page.tab_url(each.name)}
            for each in page.tabs
        ],
        "urls": {"live": page.url("live"), "overview": page.url(), "socket": page.socket_path},
        "colour": f"c{experiment.colour_slot}",
        "priorities": Priority.choices,
        "pin_tiles": " ".join(each.name for each in page.kind.tiles),
        "only": page.chart,
        "base": "experiments/detail_shared.html" if page.is_shared else "experiments/detail.html",
    }
    if page.access.can_write:
        context["share"] = offer(*_shareable(page))
    if tab == CONFIG.name:
        context["sections"] = config_sections(experiment)
        context["spec_json"] = json.dumps(experiment.spec, indent=2, ensure_ascii=False)
    elif tab == FILES.name:
        context |= listed_files(page)
    context |= page.kind.context(request, page, tab)
    if request.headers.get("X-Part") == "browser" and "part" in context:
        template = context["part"]
    response = render(request, template, context)
    response.headers["Cache-Control"] = "private, no-cache"
    patch_vary_headers(response, ["Cookie", "X-Part"])
    return response
