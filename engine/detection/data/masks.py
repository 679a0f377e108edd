"""Instance masks as they come: polygons or run lengths, kept as given and turned into outlines when needed.

Run lengths are COCO's: column by column, starting with the background. Everything here is checked, because the
numbers come out of files that somebody uploaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.detection.outline import outline_points

_MAX_POINTS = 20_000  # of one polygon, corners or points along it


@dataclass(frozen=True, slots=True)
class Mask:
    """Polygons, each (x1, y1, x2, y2, ...) in pixels, or else run lengths over an image of `size` (height, width)."""

    polygons: tuple[tuple[float, ...], ...] = ()
    runs: tuple[int, ...] = ()
    size: tuple[int, int] = (0, 0)

    @classmethod
    def of_array(cls, mask: npt.NDArray[np.bool_]) -> Mask:
        """From a boolean array (H, W)."""
        flat = np.concatenate(([False], mask.T.reshape(-1)))
        changes = np.flatnonzero(flat[1:] != flat[:-1])
        runs = np.diff(np.concatenate(([0], changes, [mask.size])))
        return cls(runs=tuple(runs.tolist()), size=(mask.shape[0], mask.shape[1]))

    def array(self, height: int, width: int) -> npt.NDArray[np.bool_]:
        """The mask as a boolean array (height, width)."""
        if self.polygons:
            canvas = np.zeros((height, width), bool)
            for polygon in self.polygons:
                _fill(canvas, np.asarray(polygon, np.float64).reshape(-1, 2))
            return canvas
        flat = np.repeat(np.arange(len(self.runs)) % 2 == 1, self.runs)
        return flat.reshape(width, height).T

    def outline(self, width: int, height: int) -> npt.NDArray[np.float32]:
        """Points (P, 2) along the outline, at most a pixel apart; see `geometry.Outlines`."""
        if not self.polygons:
            return self._outline_of_runs(height)
        corners = [np.asarray(polygon, np.float64).reshape(-1, 2).clip(0, (width, height)) for polygon in self.polygons]
        return np.concatenate([_along(each) for each in corners]).astype(np.float32)

    def _outline_of_runs(self, height: int) -> npt.NDArray[np.float32]:
        """Of the columns that the mask touches only: objects are small and many."""
        ends = np.cumsum(self.runs)
        if len(ends) < 2:
            return np.zeros((0, 2), np.float32)
        first, after = int(ends[0]) // height, -(-int(ends[len(ends) // 2 * 2 - 1]) // height)
        bounds = np.clip(np.concatenate(([0], ends)) - first * height, 0, (after - first) * height)
        flat = np.repeat(np.arange(len(self.runs)) % 2 == 1, np.diff(bounds))
        return outline_points(flat.reshape(-1, height).T) + np.array((first, 0), np.float32)

    def box(self, width: int, height: int) -> tuple[float, float, float, float] | None:
        """(x1, y1, x2, y2), or None for an empty mask."""
        points = self.outline(width, height)
        if not len(points):
            return None
        (x1, y1), (x2, y2) = points.min(0).tolist(), points.max(0).tolist()
        return x1, y1, x2, y2

    def area(self) -> float:
        """Square pixels; overlapping polygons count twice."""
        if not self.polygons:
            return float(sum(self.runs[1::2]))
        return sum(_shoelace(np.asarray(polygon).reshape(-1, 2)) for polygon in self.polygons)


def mask_of_polygons(polygons: object) -> Mask:
    """From a list of [x1, y1, x2, y2, ...]. Raises ValueError for anything that is not a polygon."""
    if not isinstance(polygons, list) or not polygons:
        raise ValueError("a polygon mask is a list of at least one polygon")
    kept: list[tuple[float, ...]] = []
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError("a polygon needs at least three corners, as x1, y1, x2, y2, x3, y3")
        if len(polygon) > 2 * _MAX_POINTS:
            raise ValueError(f"a polygon of more than {_MAX_POINTS} corners")
        values = np.asarray(polygon, dtype=np.float64)
        if not np.isfinite(values).all():
            raise ValueError("a polygon with a coordinate that is not a number")
        kept.append(tuple(values.tolist()))
    return Mask(polygons=tuple(kept))


def mask_of_rle(rle: object, width: int, height: int) -> Mask:
    """From COCO's {"size": [h, w], "counts": text or list}. Raises ValueError if it does not fit the image."""
    if not isinstance(rle, dict) or list(rle.get("size", [])) != [height, width]:
        raise ValueError(f"the mask is not one of a {width} x {height} image")
    counts = rle.get("counts")
    if isinstance(counts, str):
        runs = decode_counts(counts)
    elif isinstance(counts, list) and all(isinstance(run, int) for run in counts):
        runs = counts
    else:
        raise ValueError("the mask's counts are neither text nor a list of whole numbers")
    if any(run < 0 for run in runs) or sum(runs) != width * height:
        raise ValueError("the mask's run lengths do not add up to the image")
    return Mask(runs=tuple(runs), size=(height, width))


def decode_counts(text: str) -> list[int]:
    """COCO's compressed counts: 5 bits a character, low first, and from the third run on the change since two
    before."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError("the mask's counts hold a character that cannot be there")
        value |= (bits & 31) << shift
        shift += 5
        if shift > 60:
            raise ValueError("the mask's counts hold a number that is too large")
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("the mask's counts end within a number")
    return runs


def encode_counts(runs: Sequence[int]) -> str:
    """The inverse of `decode_counts`."""
    out: list[str] = []
    for index, run in enumerate(runs):
        value = run - runs[index - 2] if index > 2 else run
        more = True
        while more:
            bits = value & 31
            value >>= 5
            more = value != (-1 if bits & 16 else 0)
            out.append(chr(bits + (32 if more else 0) + 48))
    return "".join(out)


def _along(corners: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Points along a closed polygon, a pixel apart, or further where there would be too many."""
    following = np.roll(corners, -1, axis=0)
    lengths = np.linalg.norm(following - corners, axis=1)
    steps = np.ceil(lengths / max(1.0, lengths.sum() / _MAX_POINTS)).clip(1).astype(int)
    edge = np.repeat(np.arange(len(corners)), steps)
    within = np.arange(len(edge)) - np.repeat(np.cumsum(steps) - steps, steps)
    share = (within / steps[edge])[:, None]
    points: npt.NDArray[np.float64] = corners[edge] * (1 - share) + following[edge] * share
    return points


def _fill(canvas: npt.NDArray[np.bool_], corners: npt.NDArray[np.float64]) -> None:
    """Set the pixels whose middle lies inside a closed polygon (an odd number of edges to its left)."""
    (xa, ya), (xb, yb) = corners.T, np.roll(corners, -1, axis=0).T
    first, last = np.clip(np.round((ya.min(), ya.max())), 0, len(canvas)).astype(int)
    for row in range(first, last):
        middle = row + 0.5
        crossed = (ya <= middle) != (yb <= middle)
        at = xa[crossed] + (middle - ya[crossed]) / (yb[crossed] - ya[crossed]) * (xb[crossed] - xa[crossed])
        bounds = np.clip(np.ceil(np.sort(at) - 0.5), 0, canvas.shape[1]).astype(int)
        for start, end in zip(bounds[::2], bounds[1::2], strict=True):
            canvas[row, start:end] = True


def _shoelace(corners: npt.NDArray[np.float64]) -> float:
    x, y = corners.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)
