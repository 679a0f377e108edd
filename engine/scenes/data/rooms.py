"""Drawn rooms in GSN's layout: a set of scenes with exact depth, poses and maps that needs nothing installed.

    draw_rooms(Path("rooms"), train=24, test=6, size=64)
    train, test = load_scenes(Path("rooms")).train_test()

A room is a box of four walls with blocks in it, half of the rooms under the open sky. Rays are cast against the boxes
in closed form, so depth is exact to a tenth of a millimetre. World units are metres, z up.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from engine.scenes.cameras import Cameras, intrinsics_of
from engine.scenes.data import gsn
from engine.scenes.data.types import MASK_SKY, MASK_VALID, Plan

BOX = (12.0, 12.0, 3.0)  # metres, of a scene along x, y, z: the proportions of the paper's grid
BELOW = 0.25  # metres of the box below the floor
STANDS, HEADINGS = 3, 4
VIEWS = STANDS * HEADINGS
HELD_OUT = (5, 11)  # views that are never encoded, of different stands
_EYE, _CLEAR = 1.2, 0.6  # metres: height of the camera, and its least way to walls and blocks
_DEPTH_SCALE = 1e-3  # metres of a count in 16 bits
_CELL = 0.25  # metres, of the map from above
_SKY = np.array([140.0, 180.0, 235.0])

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Room:
    """Boxes as lower and upper corners [3]; `colours`: of the room's six sides and of each block, [6 + B, 3]."""

    low: Array
    high: Array
    blocks: tuple[tuple[Array, Array], ...]
    colours: Array
    is_open: bool  # to the sky


class Seen(NamedTuple):
    rgb: npt.NDArray[np.uint8]  # [H, W, 3]
    depth: Array  # [H, W] metres, planar; 0 where the sky is
    sky: npt.NDArray[np.bool_]  # [H, W]


def draw_rooms(folder: Path, *, train: int, test: int, size: int, seed: int = 0) -> None:
    """Write <folder>/{train,test}/room-0000, ... with pictures of size x size; the same seed gives the same pixels."""
    for split, first, count in (("train", 0, train), ("test", 1_000_000, test)):
        for number in range(count):
            generator = np.random.default_rng([seed, first + number])
            _write(folder / split / f"room-{number:04}", random_room(generator), size, generator)


def random_room(generator: np.random.Generator) -> Room:
    """A room that fits into BOX, with two to five blocks."""
    left, right, front, back = generator.uniform(0.4, 2.0, 4)
    low, high = np.array([left, front, 0.0]), np.array([BOX[0] - right, BOX[1] - back, generator.uniform(2.0, 2.6)])
    blocks = []
    for _ in range(generator.integers(2, 6)):
        size = generator.uniform([0.5, 0.5, 0.4], [1.8, 1.8, high[2]])
        corner = np.append(generator.uniform(low[:2], high[:2] - size[:2]), 0.0)
        blocks.append((corner, corner + size))
    hues = generator.uniform(40, 235, (6 + len(blocks), 3))
    hues[4] = hues[4] * 0.5 + 50  # floors are duller than walls
    return Room(low, high, tuple(blocks), hues, bool(generator.random() < 0.5))


def see(room: Room, cameras: Cameras, number: int) -> Seen:
    """What camera ``number`` sees."""
    origins, directions = cameras[[number]].rays()
    origin, rays = origins[0, 0, 0].numpy(), directions[0].numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        # The room from within: the nearest side on the way out. Sides: -x, +x, -y, +y, floor, ceiling.
        out = np.where(rays > 0, (room.high - origin) / rays, (room.low - origin) / rays)
        out[rays == 0] = np.inf
        axis = out.argmin(-1)
        depth = out.min(-1)
        side = 2 * axis + (np.take_along_axis(rays, axis[..., None], -1)[..., 0] > 0)
        part = side.copy()
        for index, (low, high) in enumerate(room.blocks):
            near, far = np.sort(np.stack([(low - origin) / rays, (high - origin) / rays]), axis=0)
            entry, leaving = near.max(-1), far.min(-1)
            hit = (entry < leaving) & (entry > 0) & (entry < depth)
            depth = np.where(hit, entry, depth)
            axis = np.where(hit, near.argmax(-1), axis)
            part = np.where(hit, 6 + index, part)
    sky = (part == 5) & room.is_open
    point = origin + depth[..., None] * rays
    checks = np.floor(point / 0.75 + 1e-6).astype(int)
    np.put_along_axis(checks, axis[..., None], 0, -1)  # on its own plane a coordinate is noise
    shade = np.array([0.85, 0.7, 1.0])[axis] * np.where(checks.sum(-1) % 2, 1.0, 0.72) * (1.05 - depth / 40)
    rgb = np.where(sky[..., None], _SKY, room.colours[part] * shade[..., None])
    return Seen(rgb.clip(0, 255).astype(np.uint8), np.where(sky, 0.0, depth), sky)


def place_cameras(room: Room, size: int, generator: np.random.Generator) -> Cameras:
    """HEADINGS level cameras in even turns at each of STANDS places, 90 degrees wide."""
    poses = []
    for _ in range(STANDS):
        x, y = _stand(room, generator)
        start = generator.uniform(0, 2 * np.pi)
        for heading in range(HEADINGS):
            angle = start + 2 * np.pi * heading / HEADINGS
            cos, sin = np.cos(angle), np.sin(angle)
            pose = np.eye(4)
            pose[:3] = np.array([[sin, 0, cos, x], [-cos, 0, sin, y], [0, -1, 0, _EYE]])  # right, down, forward, place
            poses.append(pose)
    k = intrinsics_of(size / 2, size / 2, size / 2, size / 2)
    return Cameras(k.repeat(len(poses), 1, 1), torch.from_numpy(np.stack(poses)), size, size)


def _stand(room: Room, generator: np.random.Generator) -> Array:
    """(x, y) of a place that keeps clear of walls and blocks; of a crowded room the clearest that was found."""
    tried = generator.uniform(room.low[:2] + _CLEAR, room.high[:2] - _CLEAR, (64, 2))
    away = np.full(len(tried), np.inf)
    for low, high in room.blocks:
        outside = np.maximum(np.maximum(low[:2] - tried, tried - high[:2]), 0)
        inside = np.minimum(tried - low[:2], high[:2] - tried).min(-1)
        away = np.minimum(away, np.where(inside > 0, -inside, np.linalg.norm(outside, axis=-1)))
    clear = np.flatnonzero(away > _CLEAR)
    found: Array = tried[clear[0] if len(clear) else away.argmax()]
    return found


def plan_of(room: Room) -> Plan:
    """The room from above: blocks and what is outside are walls."""
    columns, rows = (int(BOX[axis] / _CELL) for axis in (0, 1))
    x, y = np.meshgrid((np.arange(columns) + 0.5) * _CELL, (np.arange(rows) + 0.5) * _CELL)

    def covers(low: Array, high: Array) -> npt.NDArray[np.bool_]:
        found: npt.NDArray[np.bool_] = (x >= low[0]) & (x < high[0]) & (y >= low[1]) & (y < high[1])
        return found

    inside = covers(room.low, room.high)
    floor = np.where(inside, 0.0, np.nan).astype(np.float32)
    rim = covers(room.low - _CELL, room.high + _CELL) & ~inside
    wall = rim.copy()
    for low, high in room.blocks:
        on = covers(low, high) & inside
        floor[on] = high[2]
        wall |= on
    ceiling = np.where(inside, BOX[2] - BELOW if room.is_open else room.high[2], np.nan).astype(np.float32)
    floor[rim], ceiling[rim] = room.high[2], room.high[2]
    return Plan(floor, ceiling, wall, np.zeros(floor.shape, np.uint8), ())


def _write(folder: Path, room: Room, size: int, generator: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    cameras = place_cameras(room, size, generator)
    for number in range(len(cameras)):
        seen = see(room, cameras, number)
        Image.fromarray(seen.rgb).save(folder / f"{number:03}_rgb.png")
        counts = (seen.depth / _DEPTH_SCALE).round().clip(0, 65_535).astype(np.uint16)
        Image.fromarray(counts).save(folder / f"{number:03}_depth.png")
        mask = np.where(seen.sky, MASK_SKY, MASK_VALID).astype(np.uint8)
        Image.fromarray(mask).save(folder / f"{number:03}_mask.png")
    extra = {
        "group": folder.name,
        "box": {"origin": [0.0, 0.0, -BELOW], "size": list(BOX)},
        "depth": {"scale": _DEPTH_SCALE, "offset": 0.0},
        "held_out": list(HELD_OUT),
    }
    gsn.write_cameras(folder, cameras, extra)
    gsn.write_plan(folder, plan_of(room))
