"""Drawn rooms: depth against the geometry, the same pixels for a seed, and a set that loads without a fault."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from engine.scenes.data import PackSettings, load_scenes, pack_scenes
from engine.scenes.data.rooms import BELOW, BOX, HELD_OUT, VIEWS, Room, draw_rooms, place_cameras, random_room, see


def test_points_of_depth_lie_on_a_side_or_a_block() -> None:
    generator = np.random.default_rng(3)
    for _ in range(4):
        room = random_room(generator)
        cameras = place_cameras(room, 24, generator)
        for number in range(0, VIEWS, 5):
            seen = see(room, cameras, number)
            points = cameras[[number]].unproject(torch.from_numpy(seen.depth)[None])[0].numpy()[~seen.sky]
            boxes = [(room.low, room.high), *room.blocks]
            on = np.zeros(len(points), bool)
            for low, high in boxes:
                within = ((points > low - 1e-6) & (points < high + 1e-6)).all(-1)
                near = np.minimum(abs(points - low), abs(points - high)).min(-1) < 1e-6
                on |= within & near
            assert on.all()


def test_nothing_hides_what_is_seen() -> None:
    """Brute force: no point on the way to a seen one lies inside a block."""
    generator = np.random.default_rng(1)
    room = random_room(generator)
    cameras = place_cameras(room, 12, generator)
    seen = see(room, cameras, 0)
    for share in np.linspace(0.02, 0.98, 25):
        points = cameras[[0]].unproject(torch.from_numpy(seen.depth * share)[None])[0].numpy()
        for low, high in room.blocks:
            assert not ((points > low + 1e-6) & (points < high - 1e-6)).all(-1)[~seen.sky].any()


def test_a_room_without_blocks_has_a_closed_form() -> None:
    room = Room(np.array([1.0, 1, 0]), np.array([11.0, 11, 2.4]), (), np.full((6, 3), 100.0), False)
    cameras = place_cameras(room, 16, np.random.default_rng(0))
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3] = torch.tensor([[0.0, 0, 1, 4], [-1, 0, 0, 6], [0, -1, 0, 1.2]])  # along x from (4, 6)
    ahead = type(cameras)(cameras.intrinsics[:1], pose[None], 16, 16)
    depth = see(room, ahead, 0).depth
    np.testing.assert_allclose(depth[7:9, 7:9], 7.0)  # the wall at x = 11, planar: the same beside the middle
    np.testing.assert_allclose(depth[15, 8], 1.2 / (7.5 / 8))  # the floor, 1.2 m below


def test_a_set_of_rooms_is_whole_and_the_same_again(tmp_path: Path) -> None:
    for name in ("first", "second"):
        draw_rooms(tmp_path / name, train=2, test=1, size=32)
    loaded = load_scenes(tmp_path / "first")
    assert not loaded.report.counts and {split: len(each) for split, each in loaded.splits.items()} == {
        "train": 2,
        "test": 1,
    }
    scene = loaded.splits["train"][0]
    assert len(scene) == VIEWS and scene.held_out == HELD_OUT and scene.box == ((0.0, 0.0, -BELOW), BOX)
    settings = PackSettings((4, 16, 16), 32, 4)
    packed = [
        pack_scenes(load_scenes(tmp_path / name).splits["train"], settings, tmp_path / f"{name}-packed")
        for name in ("first", "second")
    ]
    for name in packed[0].arrays:
        np.testing.assert_array_equal(packed[0].arrays[name], packed[1].arrays[name])
    tensors = packed[0].tensors(cameras=4)
    assert tensors.maps is not None and tensors.maps[:, 0].mean() > 0.3 and tensors.maps[:, 1].any()
    assert packed[0].voxels == (0.75, 0.75)
