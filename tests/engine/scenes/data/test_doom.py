from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.doom import DoomScene, GameMap, Recipe, collect_scenes
from engine.scenes.autoencoder import SceneAutoencoder, SceneConfig
from engine.scenes.data import (
    PackSettings,
    SceneDataError,
    collect_dataset,
    layout_of,
    load_scenes,
    pack_scenes,
    read_plan,
    read_views,
)
from engine.scenes.data.gsn import indexed_colours
from engine.scenes.stages import AutoencoderStage

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


def test_the_stages_train_on_it(folder: Path, tmp_path: Path) -> None:
    """Twenty steps on real scenes, and what is rendered of views that were never encoded comes nearer."""
    train, _ = load_scenes(folder).train_test()
    scenes = pack_scenes(train, PackSettings(grid=(8, 32, 32), size=32, stride=4), tmp_path / "packed").tensors(
        cameras=4
    )
    assert len(scenes) == 2 and scenes.held_out == (8, 9) and scenes.maps is not None
    assert scenes.trajectories.abs().max() <= 1
    torch.manual_seed(0)
    config = SceneConfig(grid=(8, 32, 32), channels=4, bins=24, near=0.5, far=32, samples=32, width=16)
    model = SceneAutoencoder(config)
    stage = AutoencoderStage(model, scenes, given=4, asked=2)
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)

    def error() -> float:
        views = scenes.views(torch.tensor([0, 1]), torch.tensor([[0, 2, 5, 7]] * 2))
        aside = scenes.views(torch.tensor([0, 1]), torch.tensor([[8, 9]] * 2))
        with torch.no_grad():
            return float(
                (model.render(model.encode(views.images, views.rays), aside.rays).image - aside.images).abs().mean()
            )

    before = error()
    for step in range(20):
        losses = stage.losses(torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimiser.step()
    assert error() < 0.7 * before


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
