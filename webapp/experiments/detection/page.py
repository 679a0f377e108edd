"""The detection kind's part of the experiment page."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from jobs.kinds.detection.models import DataSet, Epoch, Prepared, Run
from jobs.kinds.detection.spec import ARCHITECTURES
from jobs.models import Experiment
from webapp.experiments.detection import pictures, tables, tryout
from webapp.experiments.detection.gallery import CHOSEN, Filters, gallery
from webapp.experiments.detection.images import ORDERS, SPLITS, ImageFilters, browse
from webapp.experiments.detection.methods import Method, methods_of, plan_json
from webapp.experiments.detection.offline import offline_content
from webapp.experiments.detection.scores import ScoreFilters, details
from webapp.experiments.detection.tiles import TILES
from webapp.experiments.kind_pages import Chart, Download, Json, KindPage, Tab
from webapp.experiments.offline.content import Offline
from webapp.experiments.page import Page


def gates_data(experiment: Experiment) -> Json:
    """What the RU loss decided in each run's newest epoch, by angle: too much for the live state."""
    runs = Run.objects.filter(experiment=experiment, delta__isnull=False).values_list("pk", "index", "epochs")
    newest = {pk: (index, epoch) for pk, index, epoch in runs if epoch}
    found = Epoch.objects.filter(run__in=newest, epoch__in={epoch for _, epoch in newest.values()})
    rows = [
        {"run": newest[run][0], "epoch": epoch, "gates": gates or {}}
        for run, epoch, gates in found.values_list("run_id", "epoch", "values__gates")
        if newest[run][1] == epoch
    ]
    return {"rows": sorted(rows, key=lambda row: row["run"])}


class DetectionPage(KindPage):
    tabs = (
        Tab("predictions", "Predictions", has_samples=True, has_count=True),
        Tab("curves", "Curves"),
        Tab("images", "Images", has_samples=True),
        Tab("try", "Try an image", has_samples=True, has_count=True),
    )
    tiles = TILES
    samples_are = "pictures"
    data = {"gates": gates_data}
    charts = {
        "angles": Chart("AP against test angle", state=frozenset({"scores", "runs", "total_runs", "angles"})),
        "loss": Chart("Training loss", state=frozenset({"epochs", "runs", "total_runs", "epochs_planned"})),
        "validation": Chart(
            "Validation while training", state=frozenset({"epochs", "runs", "total_runs", "epochs_planned"})
        ),
        "quality": Chart("Label quality", state=frozenset({"quality"})),
    }
    pictures = pictures.PARTS
    downloads = {
        "scores.csv": Download("AP, AP50 and AP75 of every run at every test angle", "text/csv", tables.scores_csv),
        "epochs.csv": Download("Losses, validation and speed of every epoch", "text/csv", tables.epochs_csv),
        "label-quality.csv": Download("How good each rule's labels are, by angle", "text/csv", tables.quality_csv),
        "predictions.jsonl": Download(
            "Boxes found and boxes there, of the images that were kept",
            "application/x-ndjson",
            tables.predictions_jsonl,
            has_samples=True,
        ),
    }

    def offline(self, experiment: Experiment, state: Json, data: Json) -> Offline:
        return offline_content(state["kind"])

    def spelled(self, experiment: Experiment, setting: str) -> str | None:
        code = str(experiment.spec.get("data", "")).removeprefix("set/")
        if setting != "data" or code == experiment.spec.get("data"):
            return None
        found = DataSet.objects.filter(team=experiment.team_id, code=code).values_list("name", flat=True).first()
        return f"{found} (set/{code})" if found else None

    def context(self, request: HttpRequest, page: Page, tab: str) -> dict[str, Any]:
        methods = methods_of(Run.objects.filter(experiment=page.experiment).defer("progress"))
        common = {
            "methods": methods,
            "architectures": [
                (name, ARCHITECTURES[name]) for name in dict.fromkeys(each.architecture for each in methods)
            ],
            "plan": plan_json(page.experiment, methods, with_paper=tab == "overview"),
            "images_url": page.url("tab", tab="images") if page.shows_samples else "",
            "gates_url": page.url("data", part="gates"),
            "path": request.path,
        }
        if tab == "predictions":
            return common | self._predictions(request, page, methods)
        if tab == "curves":
            found = details(page.experiment, ScoreFilters.read(request.GET, methods), methods)
            return common | found | {"part": "experiments/detection/curves_part.html"}
        if tab == "images":
            image_filters = ImageFilters.read(request.GET)
            found = browse(page, image_filters, classes_of(page.experiment))
            choices = {"filters": image_filters, "splits": SPLITS.items(), "orders": ORDERS.items()}
            return common | found | choices | {"part": "experiments/detection/images_part.html"}
        if tab == "try":
            found = tryout.context(request, page, methods, classes_of(page.experiment))
            return common | found | {"part": "experiments/detection/try_part.html"}
        return common

    def _predictions(self, request: HttpRequest, page: Page, methods: list[Method]) -> dict[str, Any]:
        filters = Filters.read(request.GET, methods)
        return {
            **gallery(page, filters, methods, classes_of(page.experiment)),
            "filters": filters,
            "chosen_from": CHOSEN.items(),
            "angles": page.experiment.spec.get("angles", []),
            "seeds": sorted({seed for method in methods for seed in method.seeds}),
            "part": "experiments/detection/predictions_part.html",
        }


def classes_of(experiment: Experiment) -> list[str]:
    values = Prepared.objects.filter(experiment=experiment).values_list("values", flat=True).first()
    return list((values or {}).get("classes", []))


PAGE = DetectionPage()
