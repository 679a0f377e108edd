from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.scenes.data import SceneDataError, estimate_memory, layout_of, load_scenes, read_views
from engine.scenes.layout import Layout
from tests.engine.scenes.data.folders import DISTANCE, write_gsn, write_transforms

GRID = (8, 16, 16)
BOX = {"origin": [-8.0, 0.0, -4.0], "size": [16.0, 16.0, 8.0]}


def test_shapes_and_units(tmp_path: Path) -> None:
    write_gsn(tmp_path / "a", box=BOX)
    (scene,) = load_scenes(tmp_path).scenes
    layout = layout_of(scene, GRID)
    assert layout == Layout((-8.0, 0.0, -4.0), 1.0, GRID)
    views = read_views(scene, layout, [0, 2], size=24, stride=4)
    assert views.images.shape == (2, 3, 24, 24) and views.images.dtype == torch.uint8
    assert views.depths.shape == views.valid.shape == views.sky.shape == (2, 6, 6)
    assert views.origins.shape == views.directions.shape == (2, 6, 6, 3)
    assert views.valid.all() and not views.sky.any()
    half = read_views(scene, layout_of(scene, (16, 32, 32)), [0], size=24, stride=4)
    assert torch.allclose(views.depths, torch.tensor(DISTANCE)) and torch.allclose(half.depths, views.depths[:1] * 2)


def test_rays_meet_what_the_picture_shows(tmp_path: Path) -> None:
    """All rays end on the wall at y = 10, left of x = 0 where the picture is red and right of it where it is green."""
    write_gsn(tmp_path / "a", box=BOX)
    (scene,) = load_scenes(tmp_path).scenes
    layout = layout_of(scene, GRID)
    views = read_views(scene, layout, range(4), size=48, stride=4)
    hit = layout.to_world(views.origins + views.depths[..., None] * views.directions)
    assert torch.allclose(hit[..., 1], torch.tensor(DISTANCE))
    red, green = (views.images[:, channel].float().view(4, 12, 4, 12, 4).mean((2, 4)) for channel in (0, 1))
    clear = (red - green).abs() > 150
    assert clear.float().mean() > 0.8
    assert torch.equal((hit[..., 0] < 0)[clear], (red > green)[clear])


def test_without_depth_nothing_is_known(tmp_path: Path) -> None:
    write_transforms(tmp_path / "a")
    (scene,) = load_scenes(tmp_path).scenes
    views = read_views(scene, layout_of(scene, GRID), range(4), size=16, stride=2)
    assert not views.valid.any() and not views.depths.any() and views.images.any()


def test_a_box_is_fitted_to_depth(tmp_path: Path) -> None:
    """The wall lies in the box, near its far side, and so do the cameras."""
    write_gsn(tmp_path / "a")
    (scene,) = load_scenes(tmp_path).scenes
    layout = layout_of(scene, GRID)
    views = read_views(scene, layout, range(4), size=16, stride=2)
    ends = views.origins + views.depths[..., None] * views.directions
    size = torch.tensor(GRID[::-1])
    assert ((ends > -0.5) & (ends < size + 0.5)).all(-1).float().mean() > 0.9
    assert ((views.origins > -0.5) & (views.origins < size + 0.5)).all()


def test_a_file_that_went_away_is_named(tmp_path: Path) -> None:
    folder = write_gsn(tmp_path / "a", box=BOX)
    (scene,) = load_scenes(tmp_path).scenes
    (folder / "002_rgb.png").unlink()
    with pytest.raises(SceneDataError, match=r"002_rgb\.png can no longer be read"):
        read_views(scene, layout_of(scene, GRID), [2], size=16, stride=4)


def test_huge_volumes_are_refused_with_what_to_change() -> None:
    sizes = {"channels": 16, "bins": 64, "scenes": 4, "views": 8, "size": 128, "stride": 4, "width": 64}
    paper = estimate_memory(grid=(32, 128, 128), **sizes)
    assert 4 * 4 * 32 * 128 * 128 * 17 * 4 < paper.fields < 16 << 30
    paper.refuse(64 << 30)
    huge = estimate_memory(grid=(256, 1024, 1024), **sizes)
    with pytest.raises(SceneDataError, match=r"most go to the voxel grids .* Use a smaller grid"):
        huge.refuse(64 << 30)
    with pytest.raises(SceneDataError, match="fewer views"):
        estimate_memory(grid=(8, 16, 16), **{**sizes, "size": 2048}).refuse(64 << 30)
