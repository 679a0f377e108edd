"""The trajectory of a scene as numbers that are diffused with its global latent (paper, section 3.3), and back.

Of each of K cameras: its place as shares of the grid in [-1, 1], and its line of sight as cosine and sine of the
heading and the sine of the pitch. Pictures are taken level: there is no roll.
"""

from __future__ import annotations

import torch
from torch import Tensor

NUMBERS = 6  # of one camera


def trajectory_of(origins: Tensor, forward: Tensor, grid: tuple[int, int, int], cameras: int) -> Tensor:
    """[..., cameras * 6] of V views: origins [..., V, 3] in voxels and unit lines of sight [..., V, 3], z up.

    Cameras are taken evenly over the views, or in turn where there are fewer views.
    """
    count = origins.shape[-2]
    which = torch.arange(cameras, device=origins.device) * count // cameras
    z, y, x = grid
    place = 2 * origins[..., which, :] / origins.new_tensor([x, y, z]) - 1
    sight = forward[..., which, :]
    level = sight[..., :2] / sight[..., :2].norm(dim=-1, keepdim=True).clamp(min=1e-6)
    return torch.cat([place, level, sight[..., 2:]], dim=-1).flatten(-2)


def cameras_of(trajectory: Tensor, grid: tuple[int, int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Origins, right, down and forward, each [..., K, 3] in voxels, of trajectories [..., K * 6].

    What a model drew is put in order: places into the grid, headings to length 1."""
    parts = trajectory.view(*trajectory.shape[:-1], -1, NUMBERS)
    z, y, x = grid
    origins = (parts[..., :3].clamp(-1, 1) + 1) / 2 * parts.new_tensor([x, y, z])
    heading = parts[..., 3:5] / parts[..., 3:5].norm(dim=-1, keepdim=True).clamp(min=1e-6)
    up = parts[..., 5:].clamp(-0.99, 0.99)
    level = (1 - up**2).sqrt()
    forward = torch.cat([heading * level, up], dim=-1)
    right = torch.stack([heading[..., 1], -heading[..., 0], torch.zeros_like(heading[..., 0])], dim=-1)
    return origins, right, torch.linalg.cross(forward, right), forward


def rays_through(
    origins: Tensor, right: Tensor, down: Tensor, forward: Tensor, cells: int, tangent: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Rays (origins, directions) [..., cells, cells, 3] of square pictures; ``tangent`` of half the angle of view."""
    across = ((torch.arange(cells, device=origins.device) + 0.5) / cells * 2 - 1) * tangent
    directions = (
        forward[..., None, None, :]
        + across[:, None] * right[..., None, None, :]
        + across[:, None, None] * down[..., None, None, :]
    )
    return origins[..., None, None, :].expand_as(directions), directions
