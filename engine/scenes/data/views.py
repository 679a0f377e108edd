"""A scene's pictures as tensors, at the size that a model takes, in the voxels of its layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from engine.detection.data.images import ImageError
from engine.scenes.data.build import inside
from engine.scenes.data.gsn import read_plan
from engine.scenes.data.types import MASK_SKY, MASK_THING, MASK_VALID, Scene, SceneDataError
from engine.scenes.layout import Layout, fit_layout

_DEPTH_FORMATS = ("PNG", "TIFF")
MAP_CHANNELS = 4  # inside, wall, floor, ceiling: see `map_of`
_MAP_SAMPLES = 4
_POINT_GRID = 32  # cells each way of a depth map that say where a scene lies


class _Surface(NamedTuple):
    """Of one picture at some of its pixels, each (rows, columns)."""

    depth: npt.NDArray[np.float32]  # world units
    valid: npt.NDArray[np.bool_]
    sky: npt.NDArray[np.bool_]
    things: npt.NDArray[np.bool_]
    ignored: npt.NDArray[np.bool_]


class Posed(NamedTuple):
    """V pictures of one scene and what is seen along a ray for each cell of a feature map."""

    images: Tensor  # (V, 3, S, S) uint8
    depths: Tensor  # (V, s, s) fp32, planar, in voxels; 0 where unknown
    valid: Tensor  # (V, s, s) bool: depth is known
    sky: Tensor  # (V, s, s) bool: nothing is there, however far
    things: Tensor  # (V, s, s) bool: a thing that turns to the camera, so that no two views agree on it
    ignored: Tensor  # (V, s, s) bool: nothing counts, by a mask that came with the picture
    origins: Tensor  # (V, s, s, 3) fp32 (x, y, z), in voxels
    directions: Tensor  # (V, s, s, 3) fp32, in voxels, for depth 1


def layout_of(scene: Scene, grid: tuple[int, int, int]) -> Layout:
    """The scene's own box, or one fitted to its depth maps and cameras. grid: (Z, Y, X)."""
    if scene.box is not None:
        (x, y, z), (width, length, height) = scene.box
        return Layout.around((x + width / 2, y + length / 2, z + height / 2), (width, length, height), grid)
    points = []
    for number in range(len(scene)):
        depth, valid, *_ = _depth_at(scene, number, *_cells(scene, _POINT_GRID))
        if valid.any():
            seen = scene.cameras[[number]].squared(_POINT_GRID).unproject(torch.from_numpy(depth)[None].double())
            points.append(seen[0][torch.from_numpy(valid)])
    return fit_layout(scene.cameras, grid, torch.cat(points) if points else None)


def read_views(scene: Scene, layout: Layout, which: Sequence[int], *, size: int, stride: int) -> Posed:
    """Pictures `which` of a scene, the middle of each stretched to `size` x `size` with square pixels.

    `stride`: a feature map's cell is so many pixels each way; depth is looked up at its middle.

    Raises:
        SceneDataError: a file has changed or gone since the scene was checked.
    """
    cells = size // stride
    images, parts = [], []
    for number in which:
        images.append(_image(scene, number, size))
        parts.append(_depth_at(scene, number, *_cells(scene, cells)))
    depths, valid, sky, things, ignored = (torch.from_numpy(np.stack(each)) for each in zip(*parts, strict=True))
    origins, directions = layout.rays(scene.cameras[list(which)].squared(size), cells, cells)
    return Posed(
        torch.from_numpy(np.stack(images)).movedim(-1, 1),
        depths / layout.voxel,
        valid,
        sky,
        things,
        ignored,
        origins.float(),
        directions.float(),
    )


def map_of(scene: Scene, layout: Layout) -> npt.NDArray[np.float32]:
    """The scene from above in the columns of its grid, (MAP_CHANNELS, Y, X): share that is inside, share of walls, and
    heights of floor and ceiling as shares of the box in [-1, 1]. Zero outside, and where the scene has no map."""
    _, rows, columns = layout.grid
    if scene.plan is None or scene.box is None:
        return np.zeros((MAP_CHANNELS, rows, columns), np.float32)
    plan = read_plan(inside(scene.folder, scene.plan))
    (left, south, _), (width, length, _) = scene.box
    parts = _MAP_SAMPLES  # of a column each way: walls are thinner than a coarse voxel

    def at(count: int, start: float, box_start: float, box_size: float, cells: int) -> npt.NDArray[np.int64]:
        world = start + (np.arange(count * parts) + 0.5) / parts * layout.voxel
        return np.floor((world - box_start) / box_size * cells).astype(np.int64)

    j = at(rows, layout.origin[1], south, length, plan.floor.shape[0])
    i = at(columns, layout.origin[0], left, width, plan.floor.shape[1])
    covered = np.ix_((j >= 0) & (j < plan.floor.shape[0]), (i >= 0) & (i < plan.floor.shape[1]))
    place = np.ix_(j.clip(0, plan.floor.shape[0] - 1), i.clip(0, plan.floor.shape[1] - 1))
    is_inside = np.zeros((len(j), len(i)), bool)
    is_inside[covered] = ~np.isnan(plan.floor[place][covered])

    def share(height: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        scaled = (height[place] - layout.origin[2]) / layout.size[2] * 2 - 1
        return np.where(is_inside, np.nan_to_num(scaled).clip(-1, 1), 0).astype(np.float32)

    fine = np.stack([is_inside, plan.wall[place] & is_inside, share(plan.floor), share(plan.ceiling)]).astype(
        np.float32
    )
    coarse: npt.NDArray[np.float32] = fine.reshape(MAP_CHANNELS, rows, parts, columns, parts).mean((2, 4))
    return coarse


def _image(scene: Scene, number: int, size: int) -> npt.NDArray[np.uint8]:
    file = scene.pictures[number].image
    try:
        with Image.open(inside(scene.folder, file)) as image:
            # Pillow's filters widen with the reduction, so nothing is aliased.
            resized = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR, scene.cameras.square_box())
            return np.array(resized)
    except (OSError, ValueError, SyntaxError, ImageError) as error:
        raise SceneDataError(f"{scene.name}, {file} can no longer be read: {error}") from None


def _cells(scene: Scene, cells: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows and columns of the pixels in the middles of cells x cells over the scene's `square_box`."""
    left, top, right, bottom = scene.cameras.square_box()
    middle = (np.arange(cells) + 0.5) / cells
    return (top + middle * (bottom - top)).astype(np.int64), (left + middle * (right - left)).astype(np.int64)


def _depth_at(scene: Scene, number: int, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> _Surface:
    picture, at = scene.pictures[number], np.ix_(rows, columns)
    nothing = np.zeros((len(rows), len(columns)), bool)
    if picture.mask:
        mask = _array(scene, picture.mask)[at].astype(np.uint8)
        known, sky, things = (mask & bit > 0 for bit in (MASK_VALID, MASK_SKY, MASK_THING))
    else:
        known, sky, things = ~nothing, nothing, nothing
    ignored = _array(scene, picture.ignored)[at] == 0 if picture.ignored else nothing
    known, sky = known & ~ignored, sky & ~ignored
    if not picture.depth:
        return _Surface(np.zeros(nothing.shape, np.float32), nothing, sky, things, ignored)
    stored = _array(scene, picture.depth)[at].astype(np.float32)
    # Without a mask of its own a stored 0 means "not measured", as depth cameras have it.
    valid = known & np.isfinite(stored) & ((stored > 0) | (picture.mask is not None))
    depth = np.where(valid, stored * np.float32(scene.depth_scale) + np.float32(scene.depth_offset), 0)
    return _Surface(depth.astype(np.float32), valid & (depth > 0), sky, things, ignored)


def _array(scene: Scene, file: str) -> npt.NDArray[np.generic]:
    path: Path = inside(scene.folder, file)
    try:
        with Image.open(path, formats=_DEPTH_FORMATS) as image:
            array = np.array(image)
    except (OSError, ValueError, SyntaxError) as error:
        raise SceneDataError(f"{scene.name}, {file} can no longer be read: {error}") from None
    return array if array.ndim == 2 else array[..., 0]
