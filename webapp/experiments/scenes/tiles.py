"""The panels of a scene experiment that can stand on a board."""

from __future__ import annotations

from jobs.models import Experiment
from webapp.experiments.kind_tiles import Json, Tile
from webapp.experiments.page import Page
from webapp.experiments.scenes import views

PANELS = "experiments/scenes/panels"
SCRIPT = "webapp/js/tiles_scenes.js"
STYLES = ("webapp/css/analysis.css", "webapp/css/scenes.css")
VIEWER = "parts/scene_head.html"
KPIS = {
    "quality": "Quality",
    "scenes": "Scenes drawn",
    "rebuilt": "Held-out views, PSNR",
    "agreement": "View agreement",
    "loss": "Loss",
    "speed": "Speed",
}


def _trains(experiment: Experiment) -> bool:
    return bool(experiment.spec.get("train", True))


def patterns(page: Page) -> Json:
    """Addresses of a scene's manifest and poster with 0 in the place of its number, for scripts."""
    return {
        "manifest_pattern": page.url("item", part="scene", key="0"),
        "poster_pattern": page.url("picture", part="poster", key="0"),
    }


def _scene(page: Page) -> Json:
    return {**patterns(page), "scenes_url": page.url("tab", tab="scenes")}


def _views(page: Page) -> Json:
    # Later steps draw these pictures anew, so a frozen copy has the numbers without them.
    return {"view_url": views.picture_url(page, 0, "input", 0)}


def _kpis(name: str, title: str, width: int, height: int) -> Tile:
    return Tile(name, title, f"{PANELS}/kpis.html", SCRIPT, width=width, height=height, styles=STYLES, fits=_trains)


TILES = (
    Tile(
        "scene", "3D scene", f"{PANELS}/scene.html", SCRIPT, _scene, 6, 11, styles=STYLES, imports=VIEWER, fits=_trains
    ),
    _kpis("kpis", "Key figures", 12, 3),
    *(_kpis(f"kpi-{name}", title, 3, 3) for name, title in KPIS.items()),
    Tile("loss", "Losses", f"{PANELS}/loss.html", SCRIPT, height=11, styles=STYLES, fits=_trains),
    Tile("scores", "Evaluation", f"{PANELS}/scores.html", SCRIPT, styles=STYLES, fits=_trains),
    Tile("views", "Held-out views", f"{PANELS}/views.html", SCRIPT, _views, styles=STYLES, fits=_trains),
)
