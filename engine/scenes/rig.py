"""The cameras that look at one scene, and the flight past them.

All in voxel units of the scene, (x, y, z) with z up, as in kernels.render. A camera has OpenCV's axes, a square
picture, and `tangent`, that of half its angle of view.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.scenes.autoencoder import Rays
from engine.scenes.trajectory import cameras_of, rays_through

_LEVEL = 1e-4  # a line of sight this near to the vertical has no heading
_TURN_COST = 8.0  # voxels of way that a turn by half a circle is worth in the order of a flight


@dataclass(frozen=True, slots=True)
class Rig:
    """K cameras of one scene."""

    origins: Tensor  # [K, 3]
    right: Tensor  # [K, 3], unit vectors, as are down and forward
    down: Tensor
    forward: Tensor
    tangent: float = 1.0

    def __len__(self) -> int:
        return len(self.origins)

    def __getitem__(self, which: slice | list[int] | Tensor) -> Rig:
        return Rig(self.origins[which], self.right[which], self.down[which], self.forward[which], self.tangent)

    @classmethod
    def looking(cls, origins: Tensor, forward: Tensor, tangent: float = 1.0) -> Rig:
        """Level cameras at ``origins`` [K, 3] along ``forward`` [K, 3], of any length."""
        forward = F.normalize(forward, dim=-1)
        heading = torch.atan2(forward[:, 1], forward[:, 0])
        right = torch.stack([heading.sin(), -heading.cos(), torch.zeros_like(heading)], dim=-1)
        return cls(origins, right, torch.linalg.cross(forward, right), forward, tangent)

    @classmethod
    def of_trajectory(cls, trajectory: Tensor, grid: tuple[int, int, int], tangent: float = 1.0) -> Rig:
        """The cameras of a drawn trajectory [K * 6] (see engine.scenes.trajectory) in a grid (Z, Y, X)."""
        return cls(*cameras_of(trajectory.float(), grid), tangent)

    @classmethod
    def around(cls, grid: tuple[int, int, int], tangent: float = 1.0, stands: int = 5, headings: int = 8) -> Rig:
        """Where no trajectory is known: in the middle of the grid and on a ring a sixth of its width around it, at
        half its height, in even turns."""
        z, y, x = grid
        ring = torch.arange(stands - 1) / max(stands - 1, 1) * 2 * math.pi
        places = torch.cat([torch.zeros(1, 2), torch.stack([ring.cos(), ring.sin()], 1) / 6])
        places = (places + 0.5) * torch.tensor([x, y])
        origins = torch.cat([places, torch.full((stands, 1), z / 2)], 1).repeat_interleave(headings, 0)
        turn = (torch.arange(headings) / headings * 2 * math.pi).repeat(stands)
        return cls.looking(origins, torch.stack([turn.cos(), turn.sin(), torch.zeros_like(turn)], 1), tangent)

    def to(self, device: torch.device | str) -> Rig:
        origins, right, down, forward = (
            part.to(device) for part in (self.origins, self.right, self.down, self.forward)
        )
        return Rig(origins, right, down, forward, self.tangent)

    def rays(self, cells: int) -> Rays:
        """[1, K, cells, cells, 3], as the auto-encoder renders."""
        origins, directions = rays_through(self.origins, self.right, self.down, self.forward, cells, self.tangent)
        return Rays(origins[None], directions[None])

    def project(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Places in the pictures [K, P, 2], from -1 (left, top) to 1, and planar depths [K, P] of points [P, 3] or
        [K, P, 3]. Depth is negative behind a camera, where places mean nothing."""
        local = points - self.origins[:, None]
        axes = torch.stack([self.right, self.down, self.forward], dim=-1)  # [K, 3, 3]
        seen = local @ axes
        return seen[..., :2] / (seen[..., 2:] * self.tangent), seen[..., 2]

    @property
    def camera_to_voxels(self) -> Tensor:
        """[K, 4, 4]: OpenCV's axes and the place of each camera."""
        pose = torch.eye(4, device=self.origins.device).repeat(len(self), 1, 1)
        pose[:, :3] = torch.stack([self.right, self.down, self.forward, self.origins], dim=-1)
        return pose

    def described(self) -> list[dict[str, Any]]:
        """As a scene's manifest lists them."""
        parts = {"origin": self.origins, "right": self.right, "down": self.down, "forward": self.forward}
        listed = {name: _rounded(part) for name, part in parts.items()}
        return [
            {**{name: rows[number] for name, rows in listed.items()}, "tangent": round(self.tangent, 6)}
            for number in range(len(self))
        ]

    def toured(self) -> Rig:
        """In an order to fly along: from the first on to whichever is nearest, counting the way and the turn."""
        way = torch.cdist(self.origins.double(), self.origins.double())
        turn = torch.arccos((self.forward.double() @ self.forward.double().T).clamp(-1, 1)) / math.pi
        cost = way + _TURN_COST * turn
        order = [0]
        while len(order) < len(self):
            left = cost[order[-1]].clone()
            left[order] = math.inf
            order.append(int(left.argmin()))
        return self[order]

    def flown(self, frames: int) -> Rig:
        """A smooth flight of so many frames past the cameras, in their order.

        Catmull-Rom splines through places, headings and sines of the pitch, with the headings unwound so that each
        turn goes the shorter way. A single camera turns once around itself.
        """
        if len(self) == 1:
            turn = torch.arange(frames, device=self.origins.device) / frames * 2 * math.pi
            start = torch.atan2(self.forward[:, 1], self.forward[:, 0])
            forward = torch.stack([(start + turn).cos(), (start + turn).sin(), torch.zeros_like(turn)], 1)
            return Rig.looking(self.origins.expand(frames, 3), forward, self.tangent)
        steep = self.forward[:, :2].norm(dim=1) < _LEVEL
        headings = torch.atan2(self.forward[:, 1], self.forward[:, 0]).masked_fill(steep, 0.0)
        keys = torch.cat([self.origins, _unwound(headings)[:, None], self.forward[:, 2:]], dim=1)
        at = torch.linspace(0, len(self) - 1, frames, device=keys.device)
        between = catmull_rom(keys, at)
        origins, heading, up = between[:, :3], between[:, 3:4], between[:, 4:].clamp(-0.99, 0.99)
        level = (1 - up**2).sqrt()
        return Rig.looking(origins, torch.cat([heading.cos() * level, heading.sin() * level, up], 1), self.tangent)


def catmull_rom(keys: Tensor, at: Tensor) -> Tensor:
    """Values [F, D] of the uniform spline through keys [K, D] at times ``at`` [F] in [0, K - 1] (Catmull and Rom
    1974); its tangents at the ends are those to the next key."""
    padded = torch.cat([2 * keys[:1] - keys[1:2], keys, 2 * keys[-1:] - keys[-2:-1]])
    first = at.floor().long().clamp(0, len(keys) - 2)
    t = (at - first)[:, None]
    a, b, c, d = (padded[first + offset] for offset in range(4))
    return b + t / 2 * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))


def _unwound(angles: Tensor) -> Tensor:
    """Without jumps: each step is at most half a circle."""
    steps = torch.remainder(angles.diff() + math.pi, 2 * math.pi) - math.pi
    return angles[0] + F.pad(steps.cumsum(0), (1, 0))


def _rounded(rows: Tensor) -> list[list[float]]:
    return [[round(each, 4) + 0.0 for each in row] for row in rows.tolist()]
