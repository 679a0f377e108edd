from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.doom import DoomScene, GameMap, Recipe, collect_scenes
from engine.scenes.data import SceneDataError, collect_dataset, layout_of, load_scenes, read_plan, read_views
from engine.scenes.data.gsn import indexed_colours

MAPS = [GameMap("freedoom2", "MAP01"), GameMap("freedoom2", "MAP31")]
RECIPE = Recipe(scenes=2, stands=2, headings=5, width=160, height=120)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("vizdoom")
    folder = tmp_path_factory.mktemp("doom")
    assert collect_dataset(folder, MAPS, RECIPE, processes=2) == 4
    return folder


def test_what_is_written_is_what_was_collected(folder: Path) -> None:
    loaded = load_scenes(folder)
    train, test = loaded.train_test()
    assert not loaded.report.problems
    assert [each.group for each in (*train, *test)] == ["freedoom2-MAP01"] * 2 + ["freedoom2-MAP31"] * 2
    collected = next(collect_scenes(MAPS[:1], RECIPE))
    scene = train[0]
    assert scene.held_out == (4, 9)
    for number, frame in enumerate(collected.frames):
        assert np.array_equal(np.array(Image.open(scene.folder / f"{number:03}_rgb.png").convert("RGB")), frame.rgb)
        assert torch.allclose(scene.cameras.camera_to_world[number], torch.from_numpy(frame.camera_to_world))
    plan = read_plan(scene.folder / str(scene.plan))
    assert np.array_equal(plan.floor, collected.birds_eye.floor, equal_nan=True)
    assert plan.categories == tuple(sorted({each.category for each in collected.things}))
    assert (plan.things > 0).any() and plan.things.max() <= len(plan.categories)


def test_views_agree_with_the_plan(folder: Path) -> None:
    """What the pictures see in the scene's box lies between floor and ceiling of its place on the map from above."""
    (scene, *_), _ = load_scenes(folder).train_test()
    layout = layout_of(scene, (32, 128, 128))
    assert layout.voxel == 8
    views = read_views(scene, layout, range(len(scene)), size=64, stride=2)
    assert views.valid.float().mean() > 0.8
    ends = (views.origins + views.depths[..., None] * views.directions)[views.valid & ~views.things]
    plan = read_plan(scene.folder / str(scene.plan))
    floor, ceiling = (torch.from_numpy(each - layout.origin[2]) / 8 for each in (plan.floor, plan.ceiling))
    x, y, z = ends.unbind(-1)
    inner = (x >= 1) & (x < 127) & (y >= 1) & (y < 127)
    i, j, z = x[inner].long(), y[inner].long(), z[inner]
    fits = torch.zeros(len(z), dtype=torch.bool)
    for dj in (-1, 0, 1):
        for di in (-1, 0, 1):
            fits |= (z >= floor[j + dj, i + di] - 1.5) & (z <= ceiling[j + dj, i + di] + 1.5)
    assert fits.float().mean() > 0.98


def test_a_second_call_plays_only_what_is_missing(folder: Path) -> None:
    scenes: list[DoomScene] = []
    (folder / "freedoom2-MAP31.done").unlink()
    assert collect_dataset(folder, MAPS, RECIPE, progress=scenes.append) == 4
    assert {str(each.game_map) for each in scenes} == {"freedoom2-MAP31"}
    assert not list(folder.rglob("*.part"))


def test_another_recipe_is_refused(folder: Path) -> None:
    with pytest.raises(SceneDataError, match="another recipe"):
        collect_dataset(folder, MAPS, Recipe(scenes=1))
    assert json.loads((folder / "recipe.json").read_text())["scenes"] == 2


def test_pictures_of_few_colours_lose_nothing() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (8, 9, 3)).astype(np.uint8)
    indices, palette = indexed_colours(rgb) or (None, None)
    assert palette is not None and np.array_equal(palette[indices], rgb)
    assert indexed_colours(np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)) is None
