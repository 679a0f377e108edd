"""The panels of a detection experiment, and of a comparison of some, that can stand on a board."""

from __future__ import annotations

from dataclasses import asdict

from jobs.kinds.detection.models import Run
from jobs.kinds.detection.spec import ARCHITECTURES
from jobs.models import Experiment
from webapp.experiments.detection.methods import methods_of, plan_json
from webapp.experiments.kind_tiles import ComparisonTile, Json, Tile, always
from webapp.experiments.page import Page

PANELS = "experiments/detection/panels"
SCRIPT = "webapp/js/tiles_detection.js"
COMPARE_SCRIPT = "webapp/js/tiles_detection_compare.js"
STYLES = ("webapp/css/analysis.css", "webapp/css/detection.css")
KPIS = {
    "upright": "AP75 upright",
    "turned": "AP75 turned",
    "lost": "Lost by turning",
    "loss": "Train loss",
    "speed": "Speed",
    "runs": "Runs trained",
}


def _plan(page: Page) -> Json:
    methods = methods_of(Run.objects.filter(experiment=page.experiment).defer("progress"))
    names = dict.fromkeys(each.architecture for each in methods)
    return {
        "plan": plan_json(page.experiment, methods, with_paper=True),
        "architectures": [[name, ARCHITECTURES[name]] for name in names],
    }


def _trains(experiment: Experiment) -> bool:
    return bool(experiment.spec.get("train", True))


def _tile(name: str, title: str, width: int = 6, height: int = 11, panel: str = "", data: tuple[str, ...] = ()) -> Tile:
    template = f"{PANELS}/{panel or name}.html"
    fits = always if name == "quality" else _trains
    return Tile(name, title, template, SCRIPT, _plan, width, height, data, STYLES, fits=fits)


TILES = (
    _tile("kpis", "Key figures", 12, 3),
    *(_tile(f"kpi-{name}", title, 3, 3, "kpis") for name, title in KPIS.items()),
    _tile("angles", "AP against test angle"),
    _tile("rules", "By label rule", 6, 7),
    _tile("loss", "Training loss"),
    _tile("validation", "Validation while training"),
    _tile("quality", "Label quality"),
    _tile("gates", "Left alone by the RU loss", data=("gates",)),
)


def _side_by_side(found: Json) -> Json:
    return {"table": [asdict(row) for row in found["table"]]}


COMPARISON_TILES = (
    ComparisonTile(
        "angles", "AP against test angle", f"{PANELS}/compare_angles.html", COMPARE_SCRIPT,
        lambda found: {"titles": list(found["titles"])}, 12, 13, STYLES,
    ),
    ComparisonTile(
        "side-by-side", "Side by side", f"{PANELS}/compare_side_by_side.html", COMPARE_SCRIPT, _side_by_side, 12, 9,
        STYLES,
    ),
)  # fmt: skip
