"""The panels of a sampling experiment, and of a comparison of some, that can stand on a board."""

from __future__ import annotations

from dataclasses import asdict

from jobs.kinds.sampling.stopping import stops_when_solved
from jobs.models import Experiment
from webapp.experiments.kind_tiles import ComparisonTile, Json, Tile
from webapp.experiments.page import Page
from webapp.experiments.sampling.cost_panel import cost_panel

PANELS = "experiments/sampling/panels"
SCRIPT = "webapp/js/tiles_sampling.js"
COMPARE_SCRIPT = "webapp/js/tiles_sampling_compare.js"
ANALYSIS = "webapp/css/analysis.css"
KPIS = {
    "coverage": "Coverage",
    "pass1": "Pass at 1",
    "solved": "Problems solved",
    "throughput": "Throughput",
    "drawn": "Samples drawn",
    "length": "Mean answer length",
}


def _curve(page: Page) -> Json:
    return {
        "stops": stops_when_solved(page.experiment),
        "forecast_url": page.url("data", part="forecast"),
        "coverage_url": page.url("download", name="coverage.csv"),
    }


def _problems(page: Page) -> Json:
    return {
        "stops": stops_when_solved(page.experiment),
        "samples_url": page.url("tab", tab="samples"),
        "problems_url": page.url("download", name="problems.csv"),
    }


def _planned(page: Page) -> Json:
    return {"planned": page.experiment.spec.get("samples", 0)}


def _cost(page: Page) -> Json:
    found = cost_panel(page.experiment)
    return {"cost": found | {"rows": [asdict(row) for row in found["rows"]]}}


def _drew_itself(experiment: Experiment) -> bool:
    return not experiment.spec.get("imported")


def _is_analysed(experiment: Experiment) -> bool:
    return not stops_when_solved(experiment)


TILES = (
    Tile("kpis", "Key figures", f"{PANELS}/kpis.html", SCRIPT, _planned, 12, 3),
    *(Tile(f"kpi-{name}", title, f"{PANELS}/kpis.html", SCRIPT, _planned, 3, 3) for name, title in KPIS.items()),
    Tile("coverage", "Coverage against samples", f"{PANELS}/coverage.html", SCRIPT, _curve, 6, 11, ("forecast",)),
    Tile("problems", "Per-problem success", f"{PANELS}/problems.html", SCRIPT, _problems, 12, 7),
    Tile(
        "verdicts", "Verdicts", f"{PANELS}/verdicts.html", SCRIPT,
        lambda page: {"samples_url": page.url("tab", tab="samples")}, 4, 7,
    ),
    Tile(
        "engine", "Engine", f"{PANELS}/engine.html", SCRIPT,
        lambda page: {"engine_url": page.url("download", name="engine.csv")}, 12, 7, fits=_drew_itself,
    ),
    Tile(
        "forecast", "Fit and forecast", f"{PANELS}/forecast.html", SCRIPT, width=6, height=11, data=("forecast",),
        styles=(ANALYSIS,), fits=_is_analysed,
    ),
    Tile(
        "selection", "What a selector keeps", f"{PANELS}/selection.html", SCRIPT, width=6, height=11,
        data=("selection",), styles=(ANALYSIS,), fits=_is_analysed,
    ),
    Tile("cost", "Cost", f"{PANELS}/cost.html", SCRIPT, _cost, 6, 8, styles=(ANALYSIS,)),
)  # fmt: skip


def _axes(found: Json) -> Json:
    return {"time": found["time"], "published": found["published"]}


def _side_by_side(found: Json) -> Json:
    return {"table": [asdict(row) for row in found["table"]]}


COMPARISON_TILES = (
    ComparisonTile(
        "coverage", "Coverage", f"{PANELS}/compare_coverage.html", COMPARE_SCRIPT, _axes, 12, 13, (ANALYSIS,)
    ),
    ComparisonTile(
        "side-by-side", "Side by side", f"{PANELS}/compare_side_by_side.html", COMPARE_SCRIPT, _side_by_side, 12, 9,
        (ANALYSIS,),
    ),
)  # fmt: skip
