"""The box of the world that a scene's voxels fill.

Axes are the world's, z up. A grid is (Z, Y, X) as in kernels.render; points are (x, y, z) always.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.scenes.cameras import Cameras


@dataclass(frozen=True, slots=True)
class Layout:
    """`origin` (x, y, z): the box's lower corner in world units; `voxel`: side of a voxel in world units."""

    origin: tuple[float, float, float]
    voxel: float
    grid: tuple[int, int, int]  # Z, Y, X

    def __post_init__(self) -> None:
        if min(self.grid) < 1:
            raise ValueError(f"A grid needs at least one voxel each way, not {self.grid}.")
        if not 0 < self.voxel < math.inf or not all(map(math.isfinite, self.origin)):
            raise ValueError(f"A voxel of {self.voxel} units at {self.origin} is none; both must be finite numbers.")

    @property
    def voxels(self) -> int:
        return math.prod(self.grid)

    @property
    def size(self) -> tuple[float, float, float]:
        """World units along x, y, z."""
        z, y, x = self.grid
        return x * self.voxel, y * self.voxel, z * self.voxel

    def to_voxels(self, points: Tensor) -> Tensor:
        """World points (..., 3) -> voxel coordinates (..., 3): voxel (x, y, z) is the cube from (x, y, z) to + 1."""
        return (points - torch.tensor(self.origin).to(points)) / self.voxel

    def to_world(self, points: Tensor) -> Tensor:
        """The inverse of `to_voxels`."""
        return points * self.voxel + torch.tensor(self.origin).to(points)

    def rays(self, cameras: Cameras, width: int, height: int) -> tuple[Tensor, Tensor]:
        """Rays for kernels.render: origins and directions (N, height, width, 3) in voxel units. A depth in voxels is a
        planar depth divided by `voxel`, and the direction is for a depth of one voxel."""
        origins, directions = cameras.rays(width, height)
        return self.to_voxels(origins), directions

    @classmethod
    def around(
        cls, centre: tuple[float, float, float], size: tuple[float, float, float], grid: tuple[int, int, int]
    ) -> Layout:
        """A box of about `size` (x, y, z) about `centre`: the voxel is as large as the side that needs most."""
        voxel = max(side / count for side, count in zip(size, reversed(grid), strict=True))
        x, y, z = (middle - count * voxel / 2 for middle, count in zip(centre, reversed(grid), strict=True))
        return cls((x, y, z), voxel, grid)


def fit_layout(cameras: Cameras, grid: tuple[int, int, int], points: Tensor | None = None) -> Layout:
    """A box for cameras that come without one.

    With `points` (P, 3), such as those of depth maps: from their 2nd to 98th percentile each way, and the cameras.
    Without: about the place that the cameras look at, out to the farthest of them and half as much again. Where they
    look apart, as from the middle of a room, there is no such place, and the box lies about the cameras.
    """
    centres = cameras.centres
    if points is not None and len(points):
        low, high = extent(cameras, points)
        middle, size = (low + high) / 2, (high - low).clamp(min=1e-6) * 1.02
    else:
        middle = looked_at(cameras)
        reach = (centres - middle).norm(dim=1).max().clamp(min=1e-6) * 3
        size = reach.expand(3)
    x, y, z = middle.tolist()
    width, length, height = size.tolist()
    return Layout.around((x, y, z), (width, length, height), grid)


def extent(cameras: Cameras, points: Tensor) -> tuple[Tensor, Tensor]:
    """Lower and upper corner (3,) of what holds the cameras and points (P, 3), but for 2 % of these at either end."""
    kept = points[torch.linspace(0, len(points) - 1, min(len(points), 200_000)).long()]
    low = torch.minimum(torch.quantile(kept, 0.02, dim=0), cameras.centres.min(0).values)
    high = torch.maximum(torch.quantile(kept, 0.98, dim=0), cameras.centres.max(0).values)
    return low, high


def looked_at(cameras: Cameras) -> Tensor:
    """(3,): the point nearest to all lines of sight (least squares), or the cameras' middle where most look away from
    it."""
    forward, centres = cameras.forward, cameras.centres
    across = torch.eye(3).to(centres) - forward[:, :, None] * forward[:, None, :]  # removes what lies along the line
    matrix, right = across.sum(0), (across @ centres[:, :, None]).sum(0)
    if torch.linalg.cond(matrix) < 1e6:
        point: Tensor = torch.linalg.solve(matrix, right)[:, 0]
        ahead = ((point - centres) * forward).sum(1) > 0
        if ahead.double().mean() > 0.9:
            return point
    middle: Tensor = centres.mean(0)
    return middle
