"""Fused ray marching through a voxel field: trilinear samples and alpha compositing, without the samples in between."""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, allow-untyped-decorators
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.render import reference
from kernels.render.lift import _sum_type, _wide

_BLOCK_S = 16  # samples at once


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
    field: Tensor, origins: Tensor, directions: Tensor, *, near: float, far: float, samples: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The Triton version, with the signature of `march`: one program follows one ray; backward marches again."""
    rays = origins.contiguous(), directions.contiguous()
    return _March.apply(field.contiguous(), *rays, near, far, samples)  # type: ignore[no-any-return]


class _March(torch.autograd.Function):
    @staticmethod
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


@triton.jit
def _corner(i: tl.constexpr, scene, px, py, pz, Z, Y, X):
    """Corner i of 8 around points (continuous indices of voxel centres): (voxel, weight, whether it is in the grid)."""
    fx, fy, fz = tl.floor(px), tl.floor(py), tl.floor(pz)
    x, y, z = fx.to(tl.int64), fy.to(tl.int64), fz.to(tl.int64)
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
    return found


@triton.jit
def _forward(
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


@triton.jit
def _backward(
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
