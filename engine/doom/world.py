"""A map's plan: floors, ceilings and walls from the lines of its sectors, places to stand, and a bird's-eye picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

BODY_HEIGHT = 56.0  # units; the player does not fit under less
STEP_HEIGHT = 24.0  # the highest step the player can climb
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sector:
    """An area of one floor and one ceiling. `lines` (L, 4): x1, y1, x2, y2. `blocking` (L,): nobody can pass."""

    floor: float
    ceiling: float
    lines: Floats
    blocking: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Thing:
    """An object of the map."""

    name: str
    category: str
    x: float
    y: float
    z: float


@dataclass(frozen=True, slots=True)
class BirdsEye:
    """A map or a part of it from above. Arrays are (rows, columns) = (y, x); cell [j, i] covers x from
    origin[0] + i * cell and y from origin[1] + j * cell: row 0 is SOUTH."""

    origin: tuple[float, float]
    cell: float  # units
    floor: npt.NDArray[np.float32]  # units; NaN outside of every sector
    ceiling: npt.NDArray[np.float32]
    wall: npt.NDArray[np.bool_]  # a wall, or a step that cannot be climbed, passes through the cell

    @property
    def inside(self) -> npt.NDArray[np.bool_]:
        return ~np.isnan(self.floor)


@dataclass(frozen=True)
class World:
    """All sectors of a map."""

    sectors: tuple[Sector, ...]

    @cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2 in units."""
        ends = np.concatenate([sector.lines.reshape(-1, 2) for sector in self.sectors])
        (x1, y1), (x2, y2) = ends.min(0).tolist(), ends.max(0).tolist()
        return x1, y1, x2, y2

    @cached_property
    def walls(self) -> Floats:
        """Lines (W, 4) that a person cannot pass: the rim of the map, blocking ones, high steps, low openings."""
        sides: dict[tuple[float, ...], list[tuple[Sector, bool]]] = {}
        for sector in self.sectors:
            for line, blocking in zip(sector.lines.tolist(), sector.blocking.tolist(), strict=True):
                sides.setdefault(_ends(line), []).append((sector, blocking))
        walls = [line for line, both in sides.items() if _is_wall(both)]
        return np.array(walls, dtype=np.float64).reshape(-1, 4)

    def birds_eye(self, origin: tuple[float, float], shape: tuple[int, int], cell: float) -> BirdsEye:
        """Rasterised by the even-odd rule at cell centres. `shape`: (rows, columns)."""
        floor = np.full(shape, np.nan, np.float32)
        ceiling = np.full(shape, np.nan, np.float32)
        for sector in self.sectors:
            window = _window(sector.lines, origin, shape, cell)
            if window is None:
                continue
            j0, j1 = window
            centres = (np.arange(j0, j1, dtype=np.float64) + 0.5) * cell + origin[1]
            inside = _even_odd(sector.lines, centres, origin[0], shape[1], cell)
            floor[j0:j1][inside] = sector.floor
            ceiling[j0:j1][inside] = sector.ceiling
        return BirdsEye(origin, cell, floor, ceiling, _draw_lines(self.walls, origin, shape, cell))

    def places(self, spacing: float, clearance: float, avoid: Floats) -> Floats:
        """Points (P, 2) of a grid, whole units, where a person can stand at least `clearance` away from every wall and
        from every point of `avoid` (A, 2)."""
        x1, y1, x2, y2 = self.bounds
        origin = (float(np.floor(x1 - spacing)), float(np.floor(y1 - spacing)))  # with a rim: walls lie on the bounds
        shape = (int((y2 - y1) / spacing) + 3, int((x2 - x1) / spacing) + 3)
        plan = self.birds_eye(origin, shape, spacing)
        taken = plan.wall | ~(plan.ceiling - plan.floor >= BODY_HEIGHT)
        i, j = np.floor((avoid - origin) / spacing).astype(np.int64).T
        kept = (i >= 0) & (i < shape[1]) & (j >= 0) & (j < shape[0])
        taken[j[kept], i[kept]] = True
        # Between cell centres; what is taken may lie anywhere in its cell, the point is a unit off its centre.
        away = distance_transform_edt(~taken) * spacing - spacing / np.sqrt(2) - 1
        j, i = np.nonzero(away >= clearance)
        return np.floor(np.stack([origin[0] + (i + 0.5) * spacing, origin[1] + (j + 0.5) * spacing], axis=1))

    def sees(self, eye: Floats, points: Floats) -> npt.NDArray[np.bool_]:
        """(P,): whether the straight way from `eye` (2,) to each of `points` (P, 2) crosses no wall."""
        ends = np.concatenate([points, eye[None]])
        low, high = ends.min(0), ends.max(0)
        corners = self.walls.reshape(-1, 2, 2)
        near = ((corners.max(1) >= low) & (corners.min(1) <= high)).all(1)
        a, b = corners[near, None, 0], corners[near, None, 1]
        p = points[None]
        apart = _side(a, b, eye) * _side(a, b, p) < 0
        across = _side(eye, p, a) * _side(eye, p, b) < 0
        blocked: npt.NDArray[np.bool_] = np.any(apart & across, axis=0)
        return ~blocked


def world_of(raw: Sequence[tuple[float, float, Sequence[tuple[float, float, float, float, bool]]]]) -> World:
    """A world from (floor, ceiling, lines as (x1, y1, x2, y2, blocking)) of each sector, as the engine lists them.

    A line with the same sector on both sides is listed once and is no border: it would turn inside and outside round.
    It is told from the rim of the map, which is listed once too, by being passable.
    """
    listed = Counter(_ends(line[:4]) for _, _, lines in raw for line in lines)
    sectors = []
    for floor, ceiling, lines in raw:
        if borders := [line for line in lines if line[4] or listed[_ends(line[:4])] > 1]:
            array = np.array(borders, dtype=np.float64)
            sectors.append(Sector(floor, ceiling, array[:, :4].copy(), array[:, 4] > 0))
    return World(tuple(sectors))


def _ends(line: Sequence[float]) -> tuple[float, ...]:
    """The same for both directions of a line."""
    x1, y1, x2, y2 = line
    return (x1, y1, x2, y2) if (x1, y1) <= (x2, y2) else (x2, y2, x1, y1)


def _is_wall(both: list[tuple[Sector, bool]]) -> bool:
    if len(both) < 2 or any(blocking for _, blocking in both):
        return True
    (one, _), (two, _) = both[:2]
    opening = min(one.ceiling, two.ceiling) - max(one.floor, two.floor)
    return opening < BODY_HEIGHT or abs(one.floor - two.floor) > STEP_HEIGHT


def _side(start: Floats, end: Floats, point: Floats) -> Floats:
    """Positive to the left of the way from start to end; broadcasts over the last axis of 2."""
    way, to = end - start, point - start
    side: Floats = way[..., 0] * to[..., 1] - way[..., 1] * to[..., 0]
    return side


def _window(lines: Floats, origin: tuple[float, float], shape: tuple[int, int], cell: float) -> tuple[int, int] | None:
    """The rows that a sector can reach, or None where it lies outside of the picture."""
    x, y = lines[:, [0, 2]], lines[:, [1, 3]]
    if x.max() < origin[0] or x.min() > origin[0] + shape[1] * cell:
        return None
    j0 = max(0, int((y.min() - origin[1]) // cell))
    j1 = min(shape[0], int((y.max() - origin[1]) // cell) + 1)
    return (j0, j1) if j0 < j1 else None


def _even_odd(lines: Floats, ys: Floats, left: float, columns: int, cell: float) -> npt.NDArray[np.bool_]:
    """(rows, columns): cell centres inside of the closed lines. Each crossing flips all cells to its right."""
    x1, y1, x2, y2 = lines.T
    crossed = (y1 <= ys[:, None]) != (y2 <= ys[:, None])  # half open: a corner on the row counts once
    rows, which = np.nonzero(crossed)
    x = x1[which] + (ys[rows] - y1[which]) / (y2[which] - y1[which]) * (x2[which] - x1[which])
    first = np.clip(np.ceil((x - left) / cell - 0.5), 0, columns).astype(np.int64)
    flips = np.zeros((len(ys), columns + 1), np.int32)
    np.add.at(flips, (rows, first), 1)
    inside: npt.NDArray[np.bool_] = np.cumsum(flips, axis=1)[:, :columns] % 2 == 1
    return inside


def _draw_lines(
    lines: Floats, origin: tuple[float, float], shape: tuple[int, int], cell: float
) -> npt.NDArray[np.bool_]:
    """Cells that a line passes through, sampled every quarter of a cell."""
    canvas = np.zeros(shape, bool)
    corners = (lines.reshape(-1, 2, 2) - origin) / cell  # in cells
    near = ((corners.max(1) >= 0) & (corners.min(1) <= (shape[1], shape[0]))).all(1)
    for start, end in corners[near]:
        steps = int(np.abs(end - start).max() * 4) + 2
        i, j = np.floor(np.linspace(start, end, steps)).astype(np.int64).T
        kept = (i >= 0) & (i < shape[1]) & (j >= 0) & (j < shape[0])
        canvas[j[kept], i[kept]] = True
    return canvas
