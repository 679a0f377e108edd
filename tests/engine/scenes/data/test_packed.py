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
from tests.engine.scenes.data.folders import write_gsn

BOX = {"origin": [-8.0, 0.0, -4.0], "size": [32.0, 32.0, 16.0]}
SETTINGS = PackSettings(grid=(8, 16, 16), size=24, stride=4)


@pytest.fixture
def packed(tmp_path: Path) -> PackedScenes:
    write_gsn(tmp_path / "in" / "a", count=4, box=BOX, held_out=[1], group="m")
    write_gsn(tmp_path / "in" / "b", count=7, box=BOX)
    return pack_scenes(load_scenes(tmp_path / "in").scenes, SETTINGS, tmp_path / "packed")


def test_a_batch_is_what_the_files_hold(packed: PackedScenes, tmp_path: Path) -> None:
    scenes = load_scenes(tmp_path / "in").scenes
    batch = packed.batch([1, 0], [[6, 2], [0, 3]])
    assert batch.images.shape == (2, 2, 3, 24, 24) and batch.origins.shape == (2, 2, 6, 6, 3)
    for b, (scene, which) in enumerate(((scenes[1], [6, 2]), (scenes[0], [0, 3]))):
        views = read_views(scene, layout_of(scene, SETTINGS.grid), which, size=24, stride=4)
        assert torch.equal(batch.images[b], views.images.float() / 255)
        assert torch.allclose(batch.depths[b], views.depths, rtol=1e-3) and torch.equal(batch.valid[b], views.valid)
        assert torch.allclose(batch.origins[b], views.origins) and torch.allclose(batch.directions[b], views.directions)
    assert not batch.sky.any() and not batch.things.any()


def test_held_out_views_are_never_drawn(packed: PackedScenes) -> None:
    assert packed.views(0) == ([0, 2, 3], [1]) and packed.views(1) == (list(range(7)), [])
    generator = np.random.default_rng(0)
    for _ in range(20):
        scenes, views = packed.draw(generator, scenes=2, views=3)
        assert sorted(scenes) == [0, 1] and all(len(set(each)) == 3 for each in views)
        assert 1 not in views[scenes.index(0)]
    scenes, views = packed.draw(generator, scenes=5, views=9)  # more than there are
    assert len(scenes) == 5 and all(len(each) == 9 for each in views)
    again = np.random.default_rng(3), np.random.default_rng(3)
    assert packed.draw(again[0], 2, 3) == packed.draw(again[1], 2, 3)


def test_it_opens_again(packed: PackedScenes, tmp_path: Path) -> None:
    again = PackedScenes.open(tmp_path / "packed")
    assert again.names == ("a", "b") and again.groups == ("m", "") and again.voxels == (2.0, 2.0)
    assert again.settings == SETTINGS and again.starts == (0, 4, 11)
    assert torch.equal(again.batch([0], [[0]]).images, packed.batch([0], [[0]]).images)


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
