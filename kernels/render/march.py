"""Fused ray marching through a voxel field: trilinear samples and alpha compositing, without the samples in between.

A program follows a block of neighbouring rays step by step, so that the corners they share come from the cache. The
field is split into densities and features first: rows of features then begin on a boundary and load as vectors.
Backward marches again: what lies ahead on a ray follows from the ray's outputs, so nothing but those is kept. A block
steps only where one of its rays is in the grid, and the densities of two neighbours along x are read and added to as
one piece: they nearly always share a sector of the cache, and sectors are what both directions wait for.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, allow-untyped-decorators
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.render import reference
from kernels.render.lift import _sum_type, _wide

# Light that is weaker is not followed: less than fp32 rounding changes in a sum of weights up to 1.
FAINT = 1e-7


@dataclass(frozen=True, slots=True)
class Blocks:
    """Rays and warps of a program. The defaults are the fastest of those that benchmarks.scene_kernels --tune tries on
    a Hopper GPU."""

    rays: int = 32
    warps: int = 1


def march(
    field: Tensor, origins: Tensor, directions: Tensor, *, near: float, far: float, samples: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Features, depth and accumulation along rays (Max 1995; NeuralField-LDM, section 3.1).

    With samples at the middles t_s of equal steps from ``near`` to ``far``, and w_s the share of light that ends in
    step s: sum w_s feature_s, sum w_s t_s and sum w_s. Differentiable in the field.

    Args:
        field: [B, Z, Y, X, 1 + C], density per voxel length first. Between voxel centres values are trilinear; beyond
            the outermost centres they fall to zero.
        origins, directions: [B, R, 3] as (x, y, z), in voxel units; directions for t = 1.

    Returns:
        features [B, R, C], depth [B, R] (sum of w t: divide by the accumulation for a mean), accumulation [B, R].
    """
    if field.is_cuda:
        return launch(field, origins, directions, near=near, far=far, samples=samples)
    return reference.march(field, origins, directions, near=near, far=far, samples=samples)


def launch(
    field: Tensor,
    origins: Tensor,
    directions: Tensor,
    *,
    near: float,
    far: float,
    samples: int,
    forward: Blocks = Blocks(),
    backward: Blocks = Blocks(),
) -> tuple[Tensor, Tensor, Tensor]:
    """The Triton version, with the signature of `march`."""
    rays = origins.contiguous(), directions.contiguous()
    out: tuple[Tensor, Tensor, Tensor] = _March.apply(field, *rays, near, far, samples, forward, backward)
    return out


class _March(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, field, origins, directions, near, far, samples, forward, backward):
        batch, z, y, x, width = field.shape
        rays, channels = origins.shape[1], width - 1
        split = field[..., 0].contiguous(), field[..., 1:].contiguous()
        outs = (
            field.new_empty(batch, rays, channels),
            field.new_empty(batch, rays),
            field.new_empty(batch, rays),
        )
        ctx.sizes = (batch * rays, near, (far - near) / samples, rays, z, y, x)
        ctx.shape = {"S": samples, "C": channels, "BLOCK_C": triton.next_power_of_2(channels), "FAINT": FAINT}
        ctx.blocks = backward
        if batch * rays:
            _forward[(triton.cdiv(batch * rays, forward.rays),)](
                *split,
                origins,
                directions,
                *outs,
                *ctx.sizes,
                **ctx.shape,
                BLOCK_R=forward.rays,
                num_warps=forward.warps,
            )
        ctx.save_for_backward(*split, origins, directions, *outs)
        return outs

    @staticmethod
    def backward(ctx: Any, *d_outs):
        density, features, *rays_and_outs = ctx.saved_tensors
        wide = _sum_type(density)
        d_density, d_features = torch.zeros_like(density, dtype=wide), torch.zeros_like(features, dtype=wide)
        if ctx.sizes[0]:
            _backward[(triton.cdiv(ctx.sizes[0], ctx.blocks.rays),)](
                density, features, *rays_and_outs, *(each.contiguous() for each in d_outs), d_density, d_features,
                *ctx.sizes, **ctx.shape, BLOCK_R=ctx.blocks.rays, num_warps=ctx.blocks.warps,
            )  # fmt: skip
        d_field = torch.cat([d_density[..., None], d_features], -1).to(density.dtype)
        return d_field, None, None, None, None, None, None, None


@triton.jit
def _rays(origins_ptr, directions_ptr, total, rays, BLOCK_R: tl.constexpr):
    """A block of rays: (index, whether it is one, scene, origin in indices of voxel centres, direction, its length)."""
    ray = tl.program_id(0).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)
    real = ray < total
    ox = _wide(tl.load(origins_ptr + ray * 3, mask=real, other=0.0)) - 0.5
    oy = _wide(tl.load(origins_ptr + ray * 3 + 1, mask=real, other=0.0)) - 0.5
    oz = _wide(tl.load(origins_ptr + ray * 3 + 2, mask=real, other=0.0)) - 0.5
    dx = _wide(tl.load(directions_ptr + ray * 3, mask=real, other=0.0))
    dy = _wide(tl.load(directions_ptr + ray * 3 + 1, mask=real, other=0.0))
    dz = _wide(tl.load(directions_ptr + ray * 3 + 2, mask=real, other=0.0))
    return ray, real, ray // rays, ox, oy, oz, dx, dy, dz, tl.sqrt(dx * dx + dy * dy + dz * dz)


@triton.jit
def _corner(i: tl.constexpr, scene, px, py, pz, Z, Y, X):
    """Corner i of 8 around points: (voxel, weight, whether it is in the grid)."""
    fx, fy, fz = tl.floor(px), tl.floor(py), tl.floor(pz)
    x, y, z = fx.to(tl.int32), fy.to(tl.int32), fz.to(tl.int32)
    wx, wy, wz = px - fx, py - fy, pz - fz
    if i & 1:
        x += 1
    else:
        wx = 1 - wx
    if i & 2:
        y += 1
    else:
        wy = 1 - wy
    if i & 4:
        z += 1
    else:
        wz = 1 - wz
    inside = (x >= 0) & (x < X) & (y >= 0) & (y < Y) & (z >= 0) & (z < Z)
    return ((scene * Z + z) * Y + y) * X + x, wx * wy * wz, inside


@triton.jit
def _steps(ox, oy, oz, dx, dy, dz, real, near, step, Z, Y, X, S: tl.constexpr):
    """First step, and the one after the last, at which a ray of the block is where values are not zero."""
    enter, leave = _within(ox, dx, X)
    low, high = _within(oy, dy, Y)
    enter, leave = tl.maximum(enter, low), tl.minimum(leave, high)
    low, high = _within(oz, dz, Z)
    enter, leave = tl.maximum(enter, low), tl.minimum(leave, high)
    meets = real & (enter <= leave)
    # A step to spare on both sides, for rounding.
    first = tl.floor(tl.clamp((enter - near) / step - 1.5, 0.0, S * 1.0)).to(tl.int32)
    last = tl.floor(tl.clamp((leave - near) / step + 1.5, 0.0, S * 1.0)).to(tl.int32)
    return tl.min(tl.where(meets, first, S), 0), tl.max(tl.where(meets, last, 0), 0)


@triton.jit
def _within(o, d, size):
    """Where o + t d enters and leaves (-1, size)."""
    d = tl.where(tl.abs(d) < 1e-12, 1e-12, d)
    a, b = (-1 - o) / d, (size - o) / d
    return tl.minimum(a, b), tl.maximum(a, b)


@triton.jit
def _pair(i: tl.constexpr, scene, px, py, pz, Z, Y, X):
    """The two corners along x of edge i of 4 around points: (voxel, weight, whether it is in the grid), [points, 2]."""
    fx, fy, fz = tl.floor(px), tl.floor(py), tl.floor(pz)
    y, z = fy.to(tl.int32), fz.to(tl.int32)
    wy, wz = py - fy, pz - fz
    if i & 1:
        y += 1
    else:
        wy = 1 - wy
    if i & 2:
        z += 1
    else:
        wz = 1 - wz
    side = tl.arange(0, 2)[None, :]
    x = fx.to(tl.int32)[:, None] + side
    wx = (px - fx)[:, None]
    weight = tl.where(side == 1, wx, 1 - wx) * (wy * wz)[:, None]
    inside = ((y >= 0) & (y < Y) & (z >= 0) & (z < Z))[:, None] & (x >= 0) & (x < X)
    return (((scene * Z + z) * Y + y) * X)[:, None] + x, weight, inside


@triton.jit
def _density(density_ptr, scene, px, py, pz, lit, Z, Y, X):
    """Trilinear density of each point, 0 where not ``lit``."""
    density = px[:, None] * 0 + tl.arange(0, 2)[None, :] * 0
    for i in tl.static_range(4):
        voxel, weight, inside = _pair(i, scene, px, py, pz, Z, Y, X)
        density += weight * _wide(tl.load(density_ptr + voxel, mask=inside & lit[:, None], other=0.0))
    return tl.sum(density, 1)


@triton.jit
def _features(features_ptr, scene, px, py, pz, lit, c, Z, Y, X, C: tl.constexpr):
    """Trilinear features [points, channels], 0 where not ``lit``."""
    found = px[:, None] * 0 + c[None, :] * 0
    for i in tl.static_range(8):
        voxel, weight, inside = _corner(i, scene, px, py, pz, Z, Y, X)
        mask = (inside & lit)[:, None] & (c < C)[None, :]
        found += weight[:, None] * _wide(tl.load(features_ptr + voxel[:, None] * C + c[None, :], mask=mask, other=0.0))
    return found


@triton.jit
def _forward(
    density_ptr, features_ptr, origins_ptr, directions_ptr, out_ptr, depth_ptr, accumulation_ptr,
    total, near, step, rays, Z, Y, X,
    S: tl.constexpr, C: tl.constexpr, BLOCK_C: tl.constexpr, FAINT: tl.constexpr, BLOCK_R: tl.constexpr,
):  # fmt: skip
    ray, real, scene, ox, oy, oz, dx, dy, dz, length = _rays(origins_ptr, directions_ptr, total, rays, BLOCK_R)
    c = tl.arange(0, BLOCK_C)
    features = ox[:, None] * 0 + c[None, :] * 0
    depth, taken, light = ox * 0, ox * 0, ox * 0 + 1
    first, last = _steps(ox, oy, oz, dx, dy, dz, real, near, step, Z, Y, X, S)
    for s in range(first, last):
        lit = real & (light > FAINT)
        if tl.max(lit.to(tl.int32), 0) > 0:
            t = near + step * (s + 0.5)
            px, py, pz = ox + t * dx, oy + t * dy, oz + t * dz
            through = tl.exp(-_density(density_ptr, scene, px, py, pz, lit, Z, Y, X) * step * length)
            weight = light * (1 - through)
            found = _features(features_ptr, scene, px, py, pz, weight > FAINT, c, Z, Y, X, C)
            features += weight[:, None] * found
            depth += weight * t
            taken += weight
            light *= through
    tl.store(out_ptr + ray[:, None] * C + c[None, :], features, mask=real[:, None] & (c < C)[None, :])
    tl.store(depth_ptr + ray, depth, mask=real)
    tl.store(accumulation_ptr + ray, taken, mask=real)


@triton.jit
def _backward(
    density_ptr, features_ptr, origins_ptr, directions_ptr, out_ptr, depth_ptr, accumulation_ptr,
    d_out_ptr, d_depth_ptr, d_accumulation_ptr, d_density_ptr, d_features_ptr,
    total, near, step, rays, Z, Y, X,
    S: tl.constexpr, C: tl.constexpr, BLOCK_C: tl.constexpr, FAINT: tl.constexpr, BLOCK_R: tl.constexpr,
):  # fmt: skip
    ray, real, scene, ox, oy, oz, dx, dy, dz, length = _rays(origins_ptr, directions_ptr, total, rays, BLOCK_R)
    c = tl.arange(0, BLOCK_C)
    row, mask = ray[:, None] * C + c[None, :], real[:, None] & (c < C)[None, :]
    d_out = _wide(tl.load(d_out_ptr + row, mask=mask, other=0.0))
    d_depth = _wide(tl.load(d_depth_ptr + ray, mask=real, other=0.0))
    d_taken = _wide(tl.load(d_accumulation_ptr + ray, mask=real, other=0.0))
    # The sum over the samples ahead of weight times its gradient; over all of them it follows from the outputs.
    ahead = tl.sum(d_out * _wide(tl.load(out_ptr + row, mask=mask, other=0.0)), 1)
    ahead += d_depth * _wide(tl.load(depth_ptr + ray, mask=real, other=0.0))
    ahead += d_taken * _wide(tl.load(accumulation_ptr + ray, mask=real, other=0.0))
    light = ox * 0 + 1
    first, last = _steps(ox, oy, oz, dx, dy, dz, real, near, step, Z, Y, X, S)
    for s in range(first, last):
        lit = real & (light > FAINT)
        if tl.max(lit.to(tl.int32), 0) > 0:
            t = near + step * (s + 0.5)
            px, py, pz = ox + t * dx, oy + t * dy, oz + t * dz
            through = tl.exp(-_density(density_ptr, scene, px, py, pz, lit, Z, Y, X) * step * length)
            weight = light * (1 - through)
            found = _features(features_ptr, scene, px, py, pz, lit, c, Z, Y, X, C)
            d_weight = tl.sum(d_out * found, 1) + d_depth * t + d_taken
            light *= through
            ahead -= d_weight * weight
            # More density here takes the light left after it, and takes light from all that is ahead.
            d_sigma = step * length * (d_weight * light - ahead)
            for i in tl.static_range(4):
                voxel, share, inside = _pair(i, scene, px, py, pz, Z, Y, X)
                d_corner = share * d_sigma[:, None]
                tl.atomic_add(d_density_ptr + voxel, d_corner, mask=inside & lit[:, None], sem="relaxed")
            for i in tl.static_range(8):
                voxel, share, inside = _corner(i, scene, px, py, pz, Z, Y, X)
                tl.atomic_add(
                    d_features_ptr + voxel[:, None] * C + c[None, :],
                    (share * weight)[:, None] * d_out,
                    mask=(inside & (weight > FAINT))[:, None] & (c < C)[None, :],
                    sem="relaxed",
                )
