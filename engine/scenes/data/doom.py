"""Scenes of Freedoom's maps written in GSN's layout, split by map."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from engine.doom import DoomScene, Frame, GameError, GameMap, Recipe, collect_scenes, split_maps
from engine.doom.calibration import UNITS_PER_COUNT, depth_offset
from engine.scenes.cameras import Cameras
from engine.scenes.data import gsn
from engine.scenes.data.types import MASK_SKY, MASK_THING, MASK_VALID, Plan, SceneDataError

RECIPE = "recipe.json"
_DONE = "done"  # suffix of the mark that a map is complete
_THREADS = 4  # packing lets go of the interpreter
HELD_OUT_EVERY = 5  # of 40 views 8 are never encoded


def collect_dataset(
    folder: Path,
    maps: Sequence[GameMap],
    recipe: Recipe,
    *,
    processes: int = 1,
    progress: Callable[[DoomScene], None] | None = None,
    skip: Callable[[GameError], None] | None = None,
) -> int:
    """Write the scenes of these maps to <folder>/{train,test}/<scene> and return how many there are now.

    May be killed and called again: maps that are complete are not played again, others from their first scene.

    Raises:
        SceneDataError: the folder holds scenes of another recipe.
        DoomMissingError: vizdoom is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = json.loads(json.dumps(asdict(recipe)))
    stored = folder / RECIPE
    if stored.exists() and json.loads(stored.read_text()) != wanted:
        raise SceneDataError(f"{folder} holds scenes of another recipe; give an empty folder.")
    stored.write_text(json.dumps(wanted))
    train, _ = split_maps(maps)
    left = [each for each in maps if not _mark(folder, each).exists()]
    current: GameMap | None = None
    failed: set[GameMap] = set()

    def died(error: GameError) -> None:
        failed.add(error.game_map)
        if skip is None:
            raise error
        skip(error)

    for scene in collect_scenes(left, recipe, processes=processes, skip=died):
        if current not in (None, scene.game_map):
            _mark(folder, current).touch()  # scenes come map by map
        current = scene.game_map
        write_scene(folder / ("train" if scene.game_map in train else "test") / scene.name, scene, recipe)
        if progress is not None:
            progress(scene)
    for each in left:
        if each not in failed:
            _mark(folder, each).touch()
    return sum(1 for _ in folder.glob(f"*/*/{gsn.CAMERAS}"))


def write_scene(folder: Path, scene: DoomScene, recipe: Recipe) -> None:
    """One scene's folder, whole or not at all."""
    partial = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(lambda numbered: _write_frame(partial, *numbered), enumerate(scene.frames)))
    cameras = Cameras(
        torch.from_numpy(np.stack([frame.intrinsics for frame in scene.frames])),
        torch.from_numpy(np.stack([frame.camera_to_world for frame in scene.frames])),
        recipe.width,
        recipe.height,
    )
    x, y = scene.birds_eye.origin
    extra = {
        "group": str(scene.game_map),
        "box": {"origin": [x, y, scene.anchor[2] - recipe.below], "size": list(recipe.box)},
        "depth": {"scale": UNITS_PER_COUNT, "offset": depth_offset(recipe.width)},
        "held_out": [view for view in range(len(scene.frames)) if view % HELD_OUT_EVERY == HELD_OUT_EVERY - 1],
    }
    gsn.write_cameras(partial, cameras, extra)
    gsn.write_plan(partial, plan_of(scene))
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def plan_of(scene: DoomScene) -> Plan:
    """The scene from above, with the category of the thing in each cell."""
    view = scene.birds_eye
    categories = tuple(sorted({each.category for each in scene.things}))
    things = np.zeros(view.floor.shape, np.uint8)
    for each in scene.things:
        column, row = int((each.x - view.origin[0]) // view.cell), int((each.y - view.origin[1]) // view.cell)
        things[row, column] = 1 + categories.index(each.category)
    return Plan(view.floor, view.ceiling, view.wall, things, categories)


def _write_frame(folder: Path, number: int, frame: Frame) -> None:
    indexed = gsn.indexed_colours(frame.rgb)
    if indexed is None:
        image = Image.fromarray(frame.rgb)
    else:
        image = Image.fromarray(indexed[0], mode="P")
        image.putpalette(indexed[1].tobytes())
    image.save(folder / f"{number:03}_rgb.png")
    Image.fromarray(frame.counts).save(folder / f"{number:03}_depth.png")
    mask = frame.valid * MASK_VALID | frame.sky * MASK_SKY | frame.things * MASK_THING
    Image.fromarray(mask.astype(np.uint8)).save(folder / f"{number:03}_mask.png")


def _mark(folder: Path, game_map: GameMap | None) -> Path:
    return folder / f"{game_map}.{_DONE}"
