"""Fused lift-splat pooling: pixels' densities and features into a voxel field, without the frustum in between."""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, allow-untyped-decorators
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.render import reference


def lift(
    density: Tensor,
    features: Tensor,
    origins: Tensor,
    directions: Tensor,
    depths: Tensor,
    widths: Tensor,
    grid: tuple[int, int, int],
) -> tuple[Tensor, Tensor]:
    """The mean, in each voxel, of the frustum cells that fall into it (NeuralField-LDM, section 3.1).

    Cell d of pixel p lies at origins[p] + depths[d] directions[p]. It brings its density, and its pixel's feature
    weighted by the share of light that ends there, O_d = exp(-sum_{j<d} sigma_j delta_j) (1 - exp(-sigma_d delta_d))
    with delta = widths |direction|. Differentiable in density and features.

    Args:
        density: [B, P, D], not negative, per voxel length. P pixels are those of all pictures of a scene.
        features: [B, P, C].
        origins, directions: [B, P, 3] as (x, y, z), in voxel units; directions for depth 1.
        depths, widths: [D], middles of the cells and their extents.
        grid: (Z, Y, X).

    Returns:
        field [B, Z, Y, X, 1 + C], density first, zero where no cell fell; counts [B, Z, Y, X] of the cells.
    """
    if density.is_cuda:
        return launch(density, features, origins, directions, depths, widths, grid)
    return reference.lift(density, features, origins, directions, depths, widths, grid)


def launch(
    density: Tensor,
    features: Tensor,
    origins: Tensor,
    directions: Tensor,
    depths: Tensor,
    widths: Tensor,
    grid: tuple[int, int, int],
) -> tuple[Tensor, Tensor]:
    """The Triton version, with the signature of `lift`: one program holds one pixel's D x C cells in registers."""
    rays = [each.contiguous() for each in (origins, directions, depths, widths)]
    return _Lift.apply(density.contiguous(), features.contiguous(), *rays, grid)  # type: ignore[no-any-return]


class _Lift(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, density, features, origins, directions, depths, widths, grid):
        batch, pixels, bins = density.shape
        channels = features.shape[2]
        sums = density.new_zeros((batch, *grid, 1 + channels), dtype=_sum_type(density))
        counts = sums.new_zeros((batch, *grid))
        if batch * pixels:
            _forward[(batch * pixels,)](
                density, features, origins, directions, depths, widths, sums, counts, pixels, *grid,
                D=bins, C=channels, **_blocks(bins, channels),
            )  # fmt: skip
        field = sums.div_(counts.clamp(min=1)[..., None]).to(density.dtype)
        ctx.save_for_backward(density, features, origins, directions, depths, widths, counts)
        ctx.mark_non_differentiable(counts)
        return field, counts.to(density.dtype)

    @staticmethod
    def backward(ctx: Any, d_field, _d_counts):
        density, features, *rays, counts = ctx.saved_tensors
        batch, pixels, bins = density.shape
        channels = features.shape[2]
        d_density, d_features = torch.empty_like(density), torch.empty_like(features)
        if batch * pixels:
            _backward[(batch * pixels,)](
                density, features, *rays, d_field.contiguous(), counts, d_density, d_features, pixels,
                *counts.shape[1:], D=bins, C=channels, **_blocks(bins, channels),
            )  # fmt: skip
        return d_density, d_features, None, None, None, None, None


def _sum_type(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _blocks(bins: int, channels: int) -> dict[str, int]:
    block_d, block_c = triton.next_power_of_2(bins), triton.next_power_of_2(channels)
    return {"BLOCK_D": block_d, "BLOCK_C": block_c, "num_warps": min(max(block_d * block_c // 512, 1), 8)}


@triton.jit
def _cells(
    density_ptr,
    origins_ptr,
    directions_ptr,
    depths_ptr,
    widths_ptr,
    pixels,
    Z,
    Y,
    X,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """One pixel's cells: (density, length, light before, O, voxel, whether it lies in the grid)."""
    pixel = tl.program_id(0).to(tl.int64)
    d = tl.arange(0, BLOCK_D)
    real = d < D
    density = _wide(tl.load(density_ptr + pixel * D + d, mask=real, other=0.0))
    depth = _wide(tl.load(depths_ptr + d, mask=real, other=0.0))
    width = _wide(tl.load(widths_ptr + d, mask=real, other=0.0))
    dx = _wide(tl.load(directions_ptr + pixel * 3))
    dy = _wide(tl.load(directions_ptr + pixel * 3 + 1))
    dz = _wide(tl.load(directions_ptr + pixel * 3 + 2))
    x = tl.floor(_wide(tl.load(origins_ptr + pixel * 3)) + depth * dx).to(tl.int64)
    y = tl.floor(_wide(tl.load(origins_ptr + pixel * 3 + 1)) + depth * dy).to(tl.int64)
    z = tl.floor(_wide(tl.load(origins_ptr + pixel * 3 + 2)) + depth * dz).to(tl.int64)
    inside = real & (x >= 0) & (x < X) & (y >= 0) & (y < Y) & (z >= 0) & (z < Z)
    voxel = ((pixel // pixels * Z + z) * Y + y) * X + x
    length = width * tl.sqrt(dx * dx + dy * dy + dz * dz)
    optical = density * length
    until = tl.cumsum(optical, 0)
    taken = tl.exp(-(until - optical)) * (1 - tl.exp(-optical))
    return density, length, tl.exp(-until), taken, voxel, inside


@triton.jit
def _wide(x):
    """At least fp32."""
    return x if x.dtype == tl.float64 else x.to(tl.float32)


@triton.jit
def _forward(
    density_ptr, features_ptr, origins_ptr, directions_ptr, depths_ptr, widths_ptr, sums_ptr, counts_ptr,
    pixels, Z, Y, X,
    D: tl.constexpr, C: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    density, _, _, taken, voxel, inside = _cells(
        density_ptr, origins_ptr, directions_ptr, depths_ptr, widths_ptr, pixels, Z, Y, X, D, BLOCK_D
    )
    pixel = tl.program_id(0).to(tl.int64)
    c = tl.arange(0, BLOCK_C)
    feature = _wide(tl.load(features_ptr + pixel * C + c, mask=c < C, other=0.0))
    row = sums_ptr + voxel * (1 + C)
    tl.atomic_add(counts_ptr + voxel, 1.0, mask=inside, sem="relaxed")
    tl.atomic_add(row, density, mask=inside, sem="relaxed")
    # Cells that light never reaches bring nothing: no traffic for them.
    lit = inside & (taken > 0)
    tl.atomic_add(
        row[:, None] + 1 + c[None, :],
        taken[:, None] * feature[None, :],
        mask=lit[:, None] & (c < C)[None, :],
        sem="relaxed",
    )


@triton.jit
def _backward(
    density_ptr, features_ptr, origins_ptr, directions_ptr, depths_ptr, widths_ptr, d_field_ptr, counts_ptr,
    d_density_ptr, d_features_ptr, pixels, Z, Y, X,
    D: tl.constexpr, C: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    _, length, after, taken, voxel, inside = _cells(
        density_ptr, origins_ptr, directions_ptr, depths_ptr, widths_ptr, pixels, Z, Y, X, D, BLOCK_D
    )
    pixel = tl.program_id(0).to(tl.int64)
    d, c = tl.arange(0, BLOCK_D), tl.arange(0, BLOCK_C)
    feature = _wide(tl.load(features_ptr + pixel * C + c, mask=c < C, other=0.0))
    row = d_field_ptr + voxel * (1 + C)
    share = 1 / _wide(tl.load(counts_ptr + voxel, mask=inside, other=1.0))
    from_density = share * _wide(tl.load(row, mask=inside, other=0.0))
    mask = inside[:, None] & (c < C)[None, :]
    from_features = share[:, None] * _wide(tl.load(row[:, None] + 1 + c[None, :], mask=mask, other=0.0))
    d_taken = tl.sum(from_features * feature[None, :], 1)
    # O_d grows with its own density by the light left after it, and every later O_j shrinks by itself.
    lost = tl.sum(d_taken * taken, 0) - tl.cumsum(d_taken * taken, 0)
    d_density = from_density + length * (d_taken * after - lost)
    tl.store(d_density_ptr + pixel * D + d, d_density, mask=d < D)
    tl.store(d_features_ptr + pixel * C + c, tl.sum(taken[:, None] * from_features, 0), mask=c < C)
