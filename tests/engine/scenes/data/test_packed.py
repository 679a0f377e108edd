from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.scenes.data import (
    PackedScenes,
    PackSettings,
    SceneDataError,
    layout_of,
    load_scenes,
    pack_scenes,
    read_views,
)
from engine.scenes.data.gsn import write_plan
from engine.scenes.data.types import Plan
from tests.engine.scenes.data.folders import write_gsn

BOX = {"origin": [-8.0, 0.0, -4.0], "size": [32.0, 32.0, 16.0]}
SETTINGS = PackSettings(grid=(8, 16, 16), size=24, stride=4)


@pytest.fixture
def packed(tmp_path: Path) -> PackedScenes:
    write_gsn(tmp_path / "in" / "a", count=4, box=BOX, held_out=[1], group="m")
    write_gsn(tmp_path / "in" / "b", count=7, box=BOX)
    return pack_scenes(load_scenes(tmp_path / "in").scenes, SETTINGS, tmp_path / "packed")


def test_the_tensors_are_what_the_files_hold(packed: PackedScenes, tmp_path: Path) -> None:
    """Scenes of 4 views, one held out, and 7: three of each, without any that is held out in one of them only."""
    scenes = load_scenes(tmp_path / "in").scenes
    tensors = packed.tensors(cameras=2)
    assert tensors.images.shape == (2, 3, 3, 24, 24) and tensors.directions.shape == (2, 3, 6, 6, 3)
    assert tensors.held_out == () and tensors.maps is None and tensors.trajectories.shape == (2, 12)
    for number, which in enumerate(([0, 2, 3], [0, 2, 4])):
        views = read_views(scenes[number], layout_of(scenes[number], SETTINGS.grid), which, size=24, stride=4)
        assert torch.equal(tensors.images[number], views.images) and torch.equal(tensors.valid[number], views.valid)
        assert torch.allclose(tensors.depths[number], views.depths, rtol=1e-3)
        assert torch.allclose(tensors.directions[number], views.directions)
        assert torch.allclose(tensors.origins[number], views.origins[:, 0, 0])


def test_held_out_views_come_last(tmp_path: Path) -> None:
    write_gsn(tmp_path / "in" / "a", count=5, box=BOX, held_out=[0, 3])
    tensors = pack_scenes(load_scenes(tmp_path / "in").scenes, SETTINGS, tmp_path / "packed").tensors(cameras=1)
    assert tensors.held_out == (3, 4)
    x = tensors.origins[0, :, 0] * 2 - 8  # in the world, cameras stand half a unit apart
    assert x.tolist() == pytest.approx([0.5, 1.0, 2.0, 0.0, 1.5])


def test_maps_lie_on_the_grid(tmp_path: Path) -> None:
    """A plan of 8 x 8 cells on a grid of 4 x 4 columns; the south-west quarter is outside."""
    folder = write_gsn(tmp_path / "in" / "a", box={"origin": [-8.0, 0.0, -4.0], "size": [16.0, 16.0, 8.0]})
    floor = np.full((8, 8), -4.0, np.float32)
    floor[:4, :4], floor[6:, 6:] = np.nan, 0.0
    wall = np.zeros((8, 8), bool)
    wall[:, 5] = True
    write_plan(folder, Plan(floor, np.where(np.isnan(floor), np.nan, 4).astype(np.float32), wall, wall * 0, ()))
    settings = PackSettings(grid=(2, 4, 4), size=24, stride=4)
    maps = pack_scenes(load_scenes(tmp_path / "in").scenes, settings, tmp_path / "packed").tensors(cameras=1).maps
    assert maps is not None and maps.shape == (1, 4, 4, 4)
    is_inside, is_wall, low, high = maps[0]
    assert not maps[0, :, :2, :2].any() and is_inside.sum() == 12
    assert (is_wall[:, 2] == 0.5).all() and is_wall.sum() == 2
    assert low[3, 3] == 0 and low[3, 0] == -1 and high[3, 0] == 1


def test_it_opens_again(packed: PackedScenes, tmp_path: Path) -> None:
    again = PackedScenes.open(tmp_path / "packed")
    assert again.names == ("a", "b") and again.groups == ("m", "") and again.voxels == (2.0, 2.0)
    assert again.settings == SETTINGS and again.starts == (0, 4, 11)
    assert torch.equal(again.tensors(1).images, packed.tensors(1).images)


def test_what_was_not_finished_is_not_there(packed: PackedScenes, tmp_path: Path) -> None:
    scenes = load_scenes(tmp_path / "in").scenes
    (tmp_path / "in" / "b" / "003_rgb.png").unlink()
    with pytest.raises(SceneDataError, match="003_rgb"):
        pack_scenes(scenes, SETTINGS, tmp_path / "other")
    with pytest.raises(SceneDataError, match="no packed scenes"):
        PackedScenes.open(tmp_path / "other")
    with pytest.raises(SceneDataError, match="no scenes"):
        pack_scenes([], SETTINGS, tmp_path / "none")
    with pytest.raises(ValueError, match="cannot be cut"):
        PackSettings((8, 8, 8), 30, 4)
