<<<<<<< HEAD
"""Fused ray marching through a voxel field: trilinear samples and alpha compositing, without the samples in between."""
=======
"""Fused ray marching through a voxel field: trilinear samples and alpha compositing, without the samples in between.

A program follows a block of neighbouring rays step by step, so that the corners they share come from the cache. The
field is split into densities and features first: rows of features then begin on a boundary and load as vectors.
Backward marches again: what lies ahead on a ray follows from the ray's outputs, so nothing but those is kept.
"""
>>>>>>> main

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, allow-untyped-decorators
from __future__ import annotations

<<<<<<< HEAD
=======
from dataclasses import dataclass
>>>>>>> main
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.render import reference
from kernels.render.lift import _sum_type, _wide

<<<<<<< HEAD
_BLOCK_S = 16  # samples at once
=======
# Light that is weaker is not followed: less than fp32 rounding changes in a sum of weights up to 1.
FAINT = 1e-7


@dataclass(frozen=True, slots=True)
class Blocks:
    """Rays and warps of a program. The defaults are the fastest of those that benchmarks.scene_kernels --tune tries on
    a Hopper GPU."""

    rays: int = 32
    warps: int = 1
>>>>>>> main


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
<<<<<<< HEAD
    field: Tensor, origins: Tensor, directions: Tensor, *, near: float, far: float, samples: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The Triton version, with the signature of `march`: one program follows one ray; backward marches again."""
    rays = origins.contiguous(), directions.contiguous()
    return _March.apply(field.contiguous(), *rays, near, far, samples)  # type: ignore[no-any-return]
=======
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
>>>>>>> main


class _March(torch.autograd.Function):
    @staticmethod
<<<<<<< HEAD
    def forward(ctx: Any, field, origins, directions, near, far, samples):
        batch, z, y, x, width = field.shape
        rays = origins.shape[1]
        features = field.new_empty(batch, rays, width - 1)
        depth, accumulation = field.new_empty(batch, rays), field.new_empty(batch, rays)
        ctx.march = (near, (far - near) / samples, rays, z, y, x)
        ctx.shape = {"S": samples, "C": width - 1, "BLOCK_C": triton.next_power_of_2(width - 1), "BLOCK_S": _BLOCK_S}
        if batch * rays:
            _forward[(batch * rays,)](
                field, origins, directions, features, depth, accumulation, *ctx.march, **ctx.shape, num_warps=1
            )
        ctx.save_for_backward(field, origins, directions, features, depth, accumulation)
        return features, depth, accumulation

    @staticmethod
    def backward(ctx: Any, d_features, d_depth, d_accumulation):
        field, origins, directions, *outs = ctx.saved_tensors
        d_field = torch.zeros_like(field, dtype=_sum_type(field))
        if outs[1].numel():
            _backward[(outs[1].numel(),)](
                field, origins, directions, *outs,
                d_features.contiguous(), d_depth.contiguous(), d_accumulation.contiguous(), d_field,
                *ctx.march, **ctx.shape, num_warps=1,
            )  # fmt: skip
        return d_field.to(field.dtype), None, None, None, None, None
=======
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
>>>>>>> main


@triton.jit
def _corner(i: tl.constexpr, scene, px, py, pz, Z, Y, X):
<<<<<<< HEAD
    """Corner i of 8 around points (continuous indices of voxel centres): (voxel, weight, whether it is in the grid)."""
    fx, fy, fz = tl.floor(px), tl.floor(py), tl.floor(pz)
    x, y, z = fx.to(tl.int64), fy.to(tl.int64), fz.to(tl.int64)
=======
    """Corner i of 8 around points: (voxel, weight, whether it is in the grid)."""
    fx, fy, fz = tl.floor(px), tl.floor(py), tl.floor(pz)
    x, y, z = fx.to(tl.int32), fy.to(tl.int32), fz.to(tl.int32)
>>>>>>> main
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
<<<<<<< HEAD
def _ray(origins_ptr, directions_ptr):
    ray = tl.program_id(0).to(tl.int64)
    ox, oy, oz = (
        _wide(tl.load(origins_ptr + ray * 3)),
        _wide(tl.load(origins_ptr + ray * 3 + 1)),
        _wide(tl.load(origins_ptr + ray * 3 + 2)),
    )
    dx, dy, dz = (
        _wide(tl.load(directions_ptr + ray * 3)),
        _wide(tl.load(directions_ptr + ray * 3 + 1)),
        _wide(tl.load(directions_ptr + ray * 3 + 2)),
    )
    return ray, ox - 0.5, oy - 0.5, oz - 0.5, dx, dy, dz, tl.sqrt(dx * dx + dy * dy + dz * dz)


@triton.jit
def _optical(field_ptr, scene, px, py, pz, real, length, Z, Y, X, C: tl.constexpr):
    """Optical depth of each sample's step: trilinear density times length."""
    density = px * 0
    for i in tl.static_range(8):
        voxel, weight, inside = _corner(i, scene, px, py, pz, Z, Y, X)
        density += weight * _wide(tl.load(field_ptr + voxel * (1 + C), mask=inside & real, other=0.0))
    return density * length


@triton.jit
def _features(field_ptr, scene, px, py, pz, lit, c, Z, Y, X, C: tl.constexpr):
    """Trilinear features [samples, channels], read only where ``lit``."""
    found = px[:, None] * 0 + c[None, :] * 0
    for i in tl.static_range(8):
        voxel, weight, inside = _corner(i, scene, px, py, pz, Z, Y, X)
        row = field_ptr + voxel[:, None] * (1 + C) + 1 + c[None, :]
        mask = (inside & lit)[:, None] & (c < C)[None, :]
        found += weight[:, None] * _wide(tl.load(row, mask=mask, other=0.0))
=======
def _density(density_ptr, scene, px, py, pz, lit, Z, Y, X):
    """Trilinear density of each point, 0 where not ``lit``."""
    density = px * 0
    for i in tl.static_range(8):
        voxel, weight, inside = _corner(i, scene, px, py, pz, Z, Y, X)
        density += weight * _wide(tl.load(density_ptr + voxel, mask=inside & lit, other=0.0))
    return density


@triton.jit
def _features(features_ptr, scene, px, py, pz, lit, c, Z, Y, X, C: tl.constexpr):
    """Trilinear features [points, channels], 0 where not ``lit``."""
    found = px[:, None] * 0 + c[None, :] * 0
    for i in tl.static_range(8):
        voxel, weight, inside = _corner(i, scene, px, py, pz, Z, Y, X)
        mask = (inside & lit)[:, None] & (c < C)[None, :]
        found += weight[:, None] * _wide(tl.load(features_ptr + voxel[:, None] * C + c[None, :], mask=mask, other=0.0))
>>>>>>> main
    return found


@triton.jit
def _forward(
<<<<<<< HEAD
    field_ptr, origins_ptr, directions_ptr, features_ptr, depth_ptr, accumulation_ptr, near, step, rays, Z, Y, X,
    S: tl.constexpr, C: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_S: tl.constexpr,
):  # fmt: skip
    ray, ox, oy, oz, dx, dy, dz, length = _ray(origins_ptr, directions_ptr)
    scene = ray // rays
    c = tl.arange(0, BLOCK_C)
    features = c * ox * 0
    depth, total, passed = ox * 0, ox * 0, ox * 0  # passed: optical depth so far
    for first in range(0, S, BLOCK_S):
        s = first + tl.arange(0, BLOCK_S)
        t = near + step * (s + 0.5)
        px, py, pz = ox + t * dx, oy + t * dy, oz + t * dz
        optical = _optical(field_ptr, scene, px, py, pz, s < S, step * length, Z, Y, X, C)
        weight = tl.exp(-(passed + tl.cumsum(optical, 0) - optical)) * (1 - tl.exp(-optical))
        found = _features(field_ptr, scene, px, py, pz, weight > 0, c, Z, Y, X, C)
        features += tl.sum(weight[:, None] * found, 0)
        depth += tl.sum(weight * t, 0)
        total += tl.sum(weight, 0)
        passed += tl.sum(optical, 0)
    tl.store(features_ptr + ray * C + c, features, mask=c < C)
    tl.store(depth_ptr + ray, depth)
    tl.store(accumulation_ptr + ray, total)
=======
    density_ptr, features_ptr, origins_ptr, directions_ptr, out_ptr, depth_ptr, accumulation_ptr,
    total, near, step, rays, Z, Y, X,
    S: tl.constexpr, C: tl.constexpr, BLOCK_C: tl.constexpr, FAINT: tl.constexpr, BLOCK_R: tl.constexpr,
):  # fmt: skip
    ray, real, scene, ox, oy, oz, dx, dy, dz, length = _rays(origins_ptr, directions_ptr, total, rays, BLOCK_R)
    c = tl.arange(0, BLOCK_C)
    features = ox[:, None] * 0 + c[None, :] * 0
    depth, taken, light = ox * 0, ox * 0, ox * 0 + 1
    for s in range(S):
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
>>>>>>> main


@triton.jit
def _backward(
<<<<<<< HEAD
    field_ptr, origins_ptr, directions_ptr, features_ptr, depth_ptr, accumulation_ptr,
    d_features_ptr, d_depth_ptr, d_accumulation_ptr, d_field_ptr, near, step, rays, Z, Y, X,
    S: tl.constexpr, C: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_S: tl.constexpr,
):  # fmt: skip
    ray, ox, oy, oz, dx, dy, dz, length = _ray(origins_ptr, directions_ptr)
    scene = ray // rays
    c = tl.arange(0, BLOCK_C)
    d_features = _wide(tl.load(d_features_ptr + ray * C + c, mask=c < C, other=0.0))
    d_depth = _wide(tl.load(d_depth_ptr + ray))
    d_total = _wide(tl.load(d_accumulation_ptr + ray))
    # sum over the samples not yet passed of weight x its gradient; over all of them it follows from the outputs.
    ahead = tl.sum(d_features * _wide(tl.load(features_ptr + ray * C + c, mask=c < C, other=0.0)), 0)
    ahead += d_depth * _wide(tl.load(depth_ptr + ray)) + d_total * _wide(tl.load(accumulation_ptr + ray))
    passed = ox * 0
    for first in range(0, S, BLOCK_S):
        s = first + tl.arange(0, BLOCK_S)
        t = near + step * (s + 0.5)
        px, py, pz = ox + t * dx, oy + t * dy, oz + t * dz
        optical = _optical(field_ptr, scene, px, py, pz, s < S, step * length, Z, Y, X, C)
        until = passed + tl.cumsum(optical, 0)
        weight = tl.exp(-(until - optical)) * (1 - tl.exp(-optical))
        found = _features(field_ptr, scene, px, py, pz, s < S, c, Z, Y, X, C)
        d_weight = tl.sum(d_features[None, :] * found, 1) + d_depth * t + d_total
        later = ahead - tl.cumsum(d_weight * weight, 0)
        d_density = tl.where(s < S, step * length * (d_weight * tl.exp(-until) - later), 0)
        for i in tl.static_range(8):
            voxel, share, inside = _corner(i, scene, px, py, pz, Z, Y, X)
            row = d_field_ptr + voxel * (1 + C)
            reached = inside & (s < S)
            tl.atomic_add(row, share * d_density, mask=reached, sem="relaxed")
            tl.atomic_add(
                row[:, None] + 1 + c[None, :],
                (share * weight)[:, None] * d_features[None, :],
                mask=(reached & (weight > 0))[:, None] & (c < C)[None, :],
                sem="relaxed",
            )
        ahead -= tl.sum(d_weight * weight, 0)
        passed += tl.sum(optical, 0)
=======
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
    for s in range(S):
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
            for i in tl.static_range(8):
                voxel, share, inside = _corner(i, scene, px, py, pz, Z, Y, X)
                tl.atomic_add(d_density_ptr + voxel, share * d_sigma, mask=inside & lit, sem="relaxed")
                tl.atomic_add(
                    d_features_ptr + voxel[:, None] * C + c[None, :],
                    (share * weight)[:, None] * d_out,
                    mask=(inside & (weight > FAINT))[:, None] & (c < C)[None, :],
                    sem="relaxed",
                )
>>>>>>> main
