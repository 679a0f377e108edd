"""The render kernels in plain torch: what the Triton versions must equal, and the way without them."""

from __future__ import annotations

import torch
from torch import Tensor


def lift(
    density: Tensor,
    features: Tensor,
    origins: Tensor,
    directions: Tensor,
    depths: Tensor,
    widths: Tensor,
    grid: tuple[int, int, int],
) -> tuple[Tensor, Tensor]:
    """See `kernels.render.lift`. Stores the whole frustum, [B, P, D, 1 + C]."""
    batch, _, _ = density.shape
    points = origins[:, :, None] + depths[:, None] * directions[:, :, None]
    weights = occupancy(density, widths * directions.norm(dim=-1, keepdim=True))
    frustum = torch.cat([density[..., None], weights[..., None] * features[:, :, None]], dim=-1)
    z, y, x = grid
    cell = points.floor().long()  # x, y, z
    inside = ((cell >= 0) & (cell < cell.new_tensor([x, y, z]))).all(-1)
    scene = torch.arange(batch, device=density.device)[:, None, None]
    voxel = (((scene * z + cell[..., 2]) * y + cell[..., 1]) * x + cell[..., 0])[inside]
    rows = batch * z * y * x
    sums = frustum.new_zeros(rows, frustum.shape[-1]).index_add(0, voxel, frustum[inside])
    counts = torch.bincount(voxel, minlength=rows).to(frustum.dtype)
    field = sums / counts.clamp(min=1)[:, None]
    return field.view(batch, z, y, x, -1), counts.view(batch, z, y, x)


def occupancy(density: Tensor, lengths: Tensor) -> Tensor:
    """The share of a ray's light that each of its cells takes, from densities and cell lengths [..., D].

    O_d = exp(-sum_{j<d} sigma_j delta_j) (1 - exp(-sigma_d delta_d)), NeuralField-LDM, section 3.1 (Max 1995).
    """
    optical = density * lengths
    before = optical.cumsum(-1) - optical
    return torch.exp(-before) * -torch.expm1(-optical)


def march(
    field: Tensor, origins: Tensor, directions: Tensor, *, near: float, far: float, samples: int
) -> tuple[Tensor, Tensor, Tensor]:
    """See `kernels.render.march`. Stores all samples, [B, R, S, 1 + C]."""
    step = (far - near) / samples
    t = near + step * (torch.arange(samples, device=field.device, dtype=field.dtype) + 0.5)
    points = origins[:, :, None] + t[:, None] * directions[:, :, None]
    values = trilinear(field, points)
    weights = occupancy(values[..., 0], step * directions.norm(dim=-1, keepdim=True).expand(-1, -1, samples))
    return (weights[..., None] * values[..., 1:]).sum(2), (weights * t).sum(2), weights.sum(2)


def trilinear(field: Tensor, points: Tensor) -> Tensor:
    """The field [B, Z, Y, X, K] at points [B, R, S, 3] as (x, y, z): [B, R, S, K]; zero beyond the outer centres."""
    size = points.new_tensor([field.shape[3], field.shape[2], field.shape[1]])
    where = (2 * points / size - 1)[:, :, :, None]  # [B, R, S, 1, 3]
    found = torch.nn.functional.grid_sample(field.movedim(-1, 1), where, align_corners=False)
    return found.squeeze(-1).movedim(1, -1)
