"""The scenes kind's part of the experiment page."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from jobs.kinds.scenes.models import GeneratedScene, SceneSet
from jobs.kinds.scenes.spec import BUILTIN
from jobs.models import Experiment
from webapp.experiments.kind_pages import Chart, Download, Json, KindPage, Tab
from webapp.experiments.offline.content import Offline
from webapp.experiments.page import Page
from webapp.experiments.scenes import make, pictures, sets, tables, tiles, views
from webapp.experiments.scenes.gallery import OPERATIONS, ORDERS, Filters, gallery, in_full
from webapp.experiments.scenes.manifests import manifest
from webapp.experiments.scenes.offline import offline_content


def cameras(page: Page, key: str) -> Json | None:
    """The cameras of a scene of the experiment's own set."""
    found = sets.set_of(page.experiment)
    return sets.cameras(found, key, lambda view: page.url("picture", part="posed", key=view)) if found else None


class ScenesPage(KindPage):
    tabs = (
        Tab("scenes", "Scenes", has_samples=True, has_count=True),
        Tab("make", "Make", has_samples=True, for_writers=True),
        Tab("quality", "Quality"),
        Tab("data", "Data", has_samples=True),
    )
    charts = {
        "loss": Chart("Losses", state=frozenset({"runs", "losses"})),
        "scores": Chart("Evaluation", state=frozenset({"scores"})),
    }
    tiles = tiles.TILES
    samples_are = "scenes and pictures"
    nameless = (".rgba.gz", "/map.png")  # what the viewer draws from
    items = {"scene": manifest, "cameras": cameras}
    pictures = pictures.PARTS
    downloads = {
        "losses.csv": Download("Losses of every stage by step", "text/csv", tables.losses_csv),
        "evaluation.csv": Download("Every measure, with its reference rows", "text/csv", tables.scores_csv),
        "scenes.jsonl": Download(
            "How each scene was drawn: seed, steps, guidance, cameras",
            "application/x-ndjson",
            tables.scenes_jsonl,
            has_samples=True,
        ),
    }

    def spelled(self, experiment: Experiment, setting: str) -> str | None:
        value = str(experiment.spec.get(setting, ""))
        if setting == "data" and value in BUILTIN:
            return BUILTIN[value]
        if setting == "data" and (found := sets.set_of(experiment)):
            return f"{found.name} ({value})"
        return None

    def offline(self, experiment: Experiment, state: Json, data: Json) -> Offline:
        return offline_content(experiment, state["kind"])

    def context(self, request: HttpRequest, page: Page, tab: str) -> dict[str, Any]:
        can_make = page.access.can_write and page.experiment.spec.get("train", True)
        common: dict[str, Any] = {
            "plan": {},
            "path": request.path,
            "is_training": page.experiment.spec.get("train", True),
            "scenes_url": page.url("tab", tab="scenes"),
            "make_url": page.url("tab", tab="make") if can_make else "",
        }
        if tab == "overview":
            return common | self._overview(page)
        if tab == "scenes":
            filters = Filters.read(request.GET)
            choices = {"filters": filters, "operations": OPERATIONS.items(), "orders": ORDERS.items()}
            part = {"part": "experiments/scenes/scenes_part.html"}
            return common | gallery(page, filters) | choices | part
        if tab == "make":
            return common | make.context(request, page)
        if tab == "quality":
            found = views.context(page, request.GET) if page.shows_samples else {}
            part = {"part": "experiments/scenes/quality_part.html"} if page.shows_samples else {}
            return common | found | part | {"shows_views": page.shows_samples}
        if tab == "data":
            return common | self._data(request, page) | {"part": "experiments/scenes/data_part.html"}
        return common

    def _overview(self, page: Page) -> dict[str, Any]:
        if not page.shows_samples:
            return {}
        drawn = GeneratedScene.objects.filter(experiment=page.experiment, state=GeneratedScene.State.DRAWN)
        newest = drawn.select_related("parent").order_by("-number").first()
        return {
            "shown": in_full(page, newest) if newest else None,
            **tiles.patterns(page),
            "view_url": views.picture_url(page, 0, "input", 0),
            "quality_url": page.url("tab", tab="quality"),
            "data_url": page.url("tab", tab="data"),
        }

    def _data(self, request: HttpRequest, page: Page) -> dict[str, Any]:
        found: SceneSet | None = sets.set_of(page.experiment)
        if found is None:
            return {"built_in": page.experiment.spec.get("data") in BUILTIN}
        rig: Json = sets.rig(found, request.GET, lambda key: page.url("item", part="cameras", key=key))
        return {**rig, "set_url": "" if page.is_shared else reverse("scene-set", args=[found.code])}


PAGE = ScenesPage()
