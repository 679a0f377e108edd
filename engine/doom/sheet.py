"""A contact sheet of collected scenes, to be looked at: python -m engine.doom.sheet sheet.png freedoom2-MAP01 ...

A row is a scene: its map from above with the cameras, then views as picture, depth and objects.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from engine.doom.collect import collect_scenes
from engine.doom.frames import DoomScene, Frame
from engine.doom.maps import GameMap
from engine.doom.recipe import Recipe

Picture = npt.NDArray[np.uint8]  # (H, W, 3)

_FARTHEST = 1200.0  # units; black
_SKY, _UNKNOWN = (90, 130, 190), (120, 40, 60)
_OUTSIDE, _WALL, _CAMERA, _THING = (24, 26, 30), (235, 235, 235), (255, 170, 40), (80, 190, 255)


def contact_sheet(scenes: Sequence[DoomScene], views: int = 3, gap: int = 4) -> Picture:
    """One row for each scene; `views` of its pictures, evenly chosen, each above its depth and its objects."""
    rows = []
    for scene in scenes:
        chosen = [scene.frames[number * len(scene.frames) // views] for number in range(views)]
        columns = [_stack([frame.rgb, depth_picture(frame), object_picture(frame)], 0, gap) for frame in chosen]
        height = columns[0].shape[0]
        plan = Image.fromarray(plan_picture(scene)).resize((height, height), Image.Resampling.NEAREST)
        rows.append(_stack([np.asarray(plan), *columns], 1, gap))
    return _stack(rows, 0, 3 * gap)


def depth_picture(frame: Frame) -> Picture:
    """Near is bright; sky is blue, pixels without a usable depth are dark red."""
    shade = 255 * (1 - np.clip(frame.depth / _FARTHEST, 0, 1)) ** 1.5
    picture = np.repeat(shade.astype(np.uint8)[..., None], 3, axis=2)
    picture[~frame.valid] = _UNKNOWN
    picture[frame.sky] = _SKY
    return picture


def object_picture(frame: Frame) -> Picture:
    """The picture in grey with a colour for each object."""
    picture = np.repeat((frame.rgb.mean(2, keepdims=True) / 2).astype(np.uint8), 3, axis=2)
    for seen in frame.instances(min_pixels=1):
        hue = seen.id * 0.618 % 1  # golden ratio: neighbours differ
        colour = [round(128 + 127 * np.cos(2 * np.pi * (hue - shift))) for shift in (0, 1 / 3, 2 / 3)]
        picture[seen.mask] = colour
    return picture


def plan_picture(scene: DoomScene) -> Picture:
    """North is up. Floors brighter the higher they are, walls white, things blue, cameras and their headings orange."""
    view = scene.birds_eye
    picture = np.empty((*view.floor.shape, 3), np.uint8)
    picture[:] = _OUTSIDE
    if view.inside.any():
        low, high = np.nanpercentile(view.floor, [2, 98])
        share = np.clip((view.floor[view.inside] - low) / max(high - low, 1), 0, 1)
        picture[view.inside] = (50 + share * 130).astype(np.uint8)[:, None]
    picture[view.wall] = _WALL
    for thing in scene.things:
        _dot(picture, scene, thing.x, thing.y, _THING)
    for frame in scene.frames:
        position, forward = frame.camera_to_world[:2, 3], frame.camera_to_world[:2, 2]
        for step in range(0, 56, 4):
            x, y = (position + step * forward).tolist()
            _dot(picture, scene, x, y, _CAMERA)
    return picture[::-1].copy()


def _dot(picture: Picture, scene: DoomScene, x: float, y: float, colour: tuple[int, int, int]) -> None:
    view = scene.birds_eye
    column, row = int((x - view.origin[0]) // view.cell), int((y - view.origin[1]) // view.cell)
    if 0 <= row < picture.shape[0] and 0 <= column < picture.shape[1]:
        picture[row, column] = colour


def _stack(pictures: Sequence[Picture], axis: int, gap: int) -> Picture:
    shape = list(pictures[0].shape)
    shape[axis] = gap
    space = np.full(shape, 255, np.uint8)
    parts = [part for picture in pictures for part in (picture, space)][:-1]
    return np.concatenate(parts, axis=axis)


def main(target: str, names: Sequence[str]) -> None:
    maps = [GameMap.parse(name) for name in names]
    scenes = list(collect_scenes(maps, Recipe(scenes=1, monsters=True)))
    Image.fromarray(contact_sheet(scenes)).quantize(256).save(target, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
