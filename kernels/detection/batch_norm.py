"""Batch normalisation, the sum with a skip connection and ReLU in as few passes as they need, over maps whose channels
are side by side. The memory they read and write is what bounds a residual network's training."""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, allow-untyped-decorators
from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional

_TILE = 4096  # numbers of one turn of a loop
_PROGRAMS = 1024  # at most about that many, each with its own sums


def batch_norm_relu(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    *,
    training: bool,
    momentum: float,
    eps: float,
    skip: Tensor | None = None,
    limit: float = math.inf,
) -> Tensor:
    """min(limit, max(0, BatchNorm(x) + skip)) of maps (B, C, H, W) (Ioffe and Szegedy 2015, arXiv 1502.03167).

    training: by the batch's own statistics, which are mixed into `mean` and `variance` (C,); else by these. On a GPU
    the result has x's dtype, and sums are float32.
    """
    if x.is_cuda:
        result: Tensor = Fused.apply(x, weight, bias, mean, variance, skip, training, momentum, eps, limit)
        return result
    y = functional.batch_norm(x, mean, variance, weight, bias, training, momentum, eps)
    y = y if skip is None else y + skip
    return functional.relu(y) if limit == math.inf else functional.hardtanh(y, 0.0, limit)


def bias_relu(x: Tensor, bias: Tensor) -> Tensor:
    """max(0, x + bias) of maps (B, C, H, W): what follows a convolution without a norm."""
    if x.is_cuda:
        result: Tensor = FusedBias.apply(x, bias)
        return result
    return functional.relu(x + bias[:, None, None])


class FusedBias(torch.autograd.Function):
    """The Triton version."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        count, channels, grid, tile = _shape(x)
        y = torch.empty_like(x)
        one = torch.ones_like(bias, dtype=torch.float32)
        _apply[grid](x, x, one, bias, y, count, channels, SKIP=False, LIMIT=math.inf, **tile)
        ctx.save_for_backward(y, one)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        y, one = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        count, channels, grid, tile = _shape(y)
        sums = torch.empty(2, grid[0], channels, dtype=torch.float32, device=y.device)
        to_x = torch.empty_like(y)
        _reduce[grid](
            y, y, gradient, one, one, gradient, to_x, sums, count, channels,
            FROZEN=True, SKIP=False, LIMIT=math.inf, **tile,
        )  # fmt: skip
        return to_x, sums[0].sum(0)


class Fused(torch.autograd.Function):
    """The Triton version."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        running_mean: Tensor,
        running_variance: Tensor,
        skip: Tensor | None,
        training: bool,
        momentum: float,
        eps: float,
        limit: float,
    ) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        skip = None if skip is None else skip.to(x.dtype).contiguous(memory_format=torch.channels_last)
        count, channels, grid, tile = _shape(x)
        mean, variance = running_mean.float(), running_variance.float()
        if training:
            sums = torch.empty(2, grid[0], channels, dtype=torch.float32, device=x.device)
            # about the running mean: squares of numbers far from 0 would cancel
            _moments[grid](x, running_mean, sums, count, channels, **tile)
            away, square = sums.sum(1) / count
            mean, variance = mean + away, (square - away * away).clamp(min=0)
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            unbiased = variance * (count / max(count - 1, 1))
            running_variance.lerp_(unbiased.to(running_variance.dtype), momentum)
        rate = (variance + eps).rsqrt()
        scale = weight.float() * rate
        y = torch.empty_like(x)
        _apply[grid](
            x, x if skip is None else skip, scale, bias.float() - mean * scale, y, count, channels,
            SKIP=skip is not None, LIMIT=limit, **tile,
        )  # fmt: skip
        ctx.save_for_backward(x, y, weight, mean, rate)
        ctx.training, ctx.skip, ctx.limit = training, skip is not None, limit
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, y, weight, mean, rate = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        count, channels, grid, tile = _shape(x)
        tile = {"SKIP": ctx.skip, "LIMIT": ctx.limit, **tile}
        sums = torch.empty(2, grid[0], channels, dtype=torch.float32, device=x.device)
        scale = weight.float() * rate
        to_x = torch.empty_like(x)
        # the gradient behind the ReLU is that of the skip connection
        passed = torch.empty_like(x) if ctx.skip else gradient
        _reduce[grid](
            x, y, gradient, mean, scale, passed, to_x, sums, count, channels, FROZEN=not ctx.training, **tile
        )  # fmt: skip
        of_bias, along = sums.sum(1)
        of_weight = along * rate
        if ctx.training:
            # to_x = scale * (gradient - its mean - normalised x * mean of their product), as a line of x
            slope = -scale * rate * of_weight / count
            level = -scale * of_bias / count - slope * mean
            _to_x[grid](x, y, passed, scale, slope, level, to_x, count, channels, **tile)
        to_skip = passed if ctx.skip else None
        return to_x, of_weight.to(weight.dtype), of_bias.to(weight.dtype), None, None, to_skip, *(None,) * 4


def _shape(x: Tensor) -> tuple[int, int, tuple[int, int], dict[str, int]]:
    """(pixels, channels, grid, tile): programs (runs of pixels, columns of channels)."""
    images, channels, height, width = x.shape
    columns = min(64, triton.next_power_of_2(channels))
    rows = _TILE // columns
    across = triton.cdiv(channels, columns)
    down = min(triton.cdiv(images * height * width, rows), max(1, _PROGRAMS // across))
    return images * height * width, channels, (down, across), {"ROWS": rows, "COLUMNS": columns}


@triton.jit
def _place(channels, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    return tl.arange(0, ROWS), columns, columns < channels


@triton.jit
def _moments(x_ptr, middle_ptr, sums_ptr, count, channels, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    rows, columns, mine = _place(channels, ROWS, COLUMNS)
    middle = tl.load(middle_ptr + columns, mask=mine, other=0.0).to(tl.float32)
    total = tl.zeros([ROWS, COLUMNS], tl.float32)
    squares = tl.zeros([ROWS, COLUMNS], tl.float32)
    for first in range(tl.program_id(0) * ROWS, count, tl.num_programs(0) * ROWS):
        row = (first + rows).to(tl.int64)
        there = (row < count)[:, None] & mine[None, :]
        x = tl.load(x_ptr + row[:, None] * channels + columns[None, :], mask=there, other=0.0).to(tl.float32)
        x = tl.where(there, x - middle[None, :], 0.0)
        total += x
        squares += x * x
    at = sums_ptr + tl.program_id(0) * channels + columns
    tl.store(at, tl.sum(total, 0), mask=mine)
    tl.store(at + tl.num_programs(0) * channels, tl.sum(squares, 0), mask=mine)


@triton.jit
def _apply(
    x_ptr, skip_ptr, scale_ptr, shift_ptr, y_ptr, count, channels,
    SKIP: tl.constexpr, LIMIT: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    rows, columns, mine = _place(channels, ROWS, COLUMNS)
    scale = tl.load(scale_ptr + columns, mask=mine, other=0.0)
    shift = tl.load(shift_ptr + columns, mask=mine, other=0.0)
    for first in range(tl.program_id(0) * ROWS, count, tl.num_programs(0) * ROWS):
        row = (first + rows).to(tl.int64)
        there = (row < count)[:, None] & mine[None, :]
        at = row[:, None] * channels + columns[None, :]
        y = tl.load(x_ptr + at, mask=there, other=0.0).to(tl.float32) * scale[None, :] + shift[None, :]
        if SKIP:
            y += tl.load(skip_ptr + at, mask=there, other=0.0).to(tl.float32)
        # a comparison with something that is not a number is false: it must come through
        tl.store(y_ptr + at, tl.where(y < 0, 0.0, tl.where(y > LIMIT, LIMIT, y)), mask=there)


@triton.jit
def _reduce(
    x_ptr, y_ptr, gradient_ptr, mean_ptr, scale_ptr, passed_ptr, to_x_ptr, sums_ptr, count, channels,
    FROZEN: tl.constexpr, SKIP: tl.constexpr, LIMIT: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    rows, columns, mine = _place(channels, ROWS, COLUMNS)
    mean = tl.load(mean_ptr + columns, mask=mine, other=0.0)
    scale = tl.load(scale_ptr + columns, mask=mine, other=0.0)
    total = tl.zeros([ROWS, COLUMNS], tl.float32)
    along = tl.zeros([ROWS, COLUMNS], tl.float32)
    for first in range(tl.program_id(0) * ROWS, count, tl.num_programs(0) * ROWS):
        row = (first + rows).to(tl.int64)
        there = (row < count)[:, None] & mine[None, :]
        at = row[:, None] * channels + columns[None, :]
        y = tl.load(y_ptr + at, mask=there, other=0.0).to(tl.float32)
        gradient = tl.load(gradient_ptr + at, mask=there, other=0.0).to(tl.float32)
        gradient = tl.where((y > 0) & (y < LIMIT), gradient, 0.0)
        if SKIP:
            tl.store(passed_ptr + at, gradient, mask=there)
        if FROZEN:
            tl.store(to_x_ptr + at, gradient * scale[None, :], mask=there)
        total += gradient
        along += gradient * (tl.load(x_ptr + at, mask=there, other=0.0).to(tl.float32) - mean[None, :])
    at = sums_ptr + tl.program_id(0) * channels + columns
    tl.store(at, tl.sum(total, 0), mask=mine)
    tl.store(at + tl.num_programs(0) * channels, tl.sum(along, 0), mask=mine)


@triton.jit
def _to_x(
    x_ptr, y_ptr, passed_ptr, scale_ptr, slope_ptr, level_ptr, to_x_ptr, count, channels,
    SKIP: tl.constexpr, LIMIT: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    rows, columns, mine = _place(channels, ROWS, COLUMNS)
    scale = tl.load(scale_ptr + columns, mask=mine, other=0.0)
    slope = tl.load(slope_ptr + columns, mask=mine, other=0.0)
    level = tl.load(level_ptr + columns, mask=mine, other=0.0)
    for first in range(tl.program_id(0) * ROWS, count, tl.num_programs(0) * ROWS):
        row = (first + rows).to(tl.int64)
        there = (row < count)[:, None] & mine[None, :]
        at = row[:, None] * channels + columns[None, :]
        gradient = tl.load(passed_ptr + at, mask=there, other=0.0).to(tl.float32)
        if not SKIP:
            y = tl.load(y_ptr + at, mask=there, other=0.0).to(tl.float32)
            gradient = tl.where((y > 0) & (y < LIMIT), gradient, 0.0)
        x = tl.load(x_ptr + at, mask=there, other=0.0).to(tl.float32)
        to_x = gradient * scale[None, :] + x * slope[None, :] + level[None, :]
        tl.store(to_x_ptr + at, to_x, mask=there)
