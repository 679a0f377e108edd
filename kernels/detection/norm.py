"""Group normalisation and ReLU in one pass over maps whose channels are side by side, forward and backward.

torch's own wants float32 under autocast and channels apart: for each call it copies maps back and forth.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, allow-untyped-decorators
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional

_ROWS = 256  # pixels of one turn of the loop


def group_norm_relu(x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
    """max(0, GroupNorm(x)) of maps (B, C, H, W), with weight and bias (C,) (Wu and He 2018, arXiv 1803.08494).

    On a GPU the result has x's dtype, and sums are float32.
    """
    if x.is_cuda:
        result: Tensor = Fused.apply(x, weight, bias, groups, eps)
        return result
    return functional.relu(functional.group_norm(x, groups, weight, bias, eps))


class Fused(torch.autograd.Function):
    """The Triton version: one program for a group of channels of an image."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        images, channels, height, width = x.shape
        y = torch.empty_like(x)
        mean = torch.empty(images, groups, dtype=torch.float32, device=x.device)
        scale = torch.empty_like(mean)
        each = channels // groups
        _forward[(groups, images)](
            x, weight, bias, y, mean, scale, height * width, channels, eps,
            WIDTH=each, PADDED=triton.next_power_of_2(each), ROWS=_ROWS,
        )  # fmt: skip
        ctx.save_for_backward(x, weight, bias, mean, scale)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        x, weight, bias, mean, scale = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        images, channels, height, width = x.shape
        groups = mean.shape[1]
        each = channels // groups
        to_x = torch.empty_like(x)
        of_weight = torch.empty(images, channels, dtype=torch.float32, device=x.device)
        of_bias = torch.empty_like(of_weight)
        _backward[(groups, images)](
            x, weight, bias, mean, scale, gradient, to_x, of_weight, of_bias, height * width, channels,
            WIDTH=each, PADDED=triton.next_power_of_2(each), ROWS=_ROWS,
        )  # fmt: skip
        return to_x, of_weight.sum(0).to(weight.dtype), of_bias.sum(0).to(bias.dtype), None, None


@triton.jit
def _forward(
    x_ptr, weight_ptr, bias_ptr, y_ptr, mean_ptr, scale_ptr, pixels, channels, eps,
    WIDTH: tl.constexpr, PADDED: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    group, image = tl.program_id(0), tl.program_id(1).to(tl.int64)
    columns, rows = tl.arange(0, PADDED), tl.arange(0, ROWS)
    mine = columns < WIDTH
    channel = group * WIDTH + columns
    start = image * pixels * channels
    total = tl.zeros([ROWS, PADDED], tl.float32)
    squares = tl.zeros([ROWS, PADDED], tl.float32)
    for first in range(0, pixels, ROWS):
        row = first + rows
        there = (row < pixels)[:, None] & mine[None, :]
        x = tl.load(x_ptr + start + row[:, None] * channels + channel[None, :], mask=there, other=0.0).to(tl.float32)
        total += x
        squares += x * x
    count = pixels * WIDTH
    mean = tl.sum(total) / count
    scale = 1 / tl.sqrt(tl.maximum(tl.sum(squares) / count - mean * mean, 0.0) + eps)
    tl.store(mean_ptr + image * tl.num_programs(0) + group, mean)
    tl.store(scale_ptr + image * tl.num_programs(0) + group, scale)
    weight = tl.load(weight_ptr + channel, mask=mine, other=0.0).to(tl.float32) * scale
    bias = tl.load(bias_ptr + channel, mask=mine, other=0.0).to(tl.float32) - mean * weight
    for first in range(0, pixels, ROWS):
        row = first + rows
        there = (row < pixels)[:, None] & mine[None, :]
        at = start + row[:, None] * channels + channel[None, :]
        x = tl.load(x_ptr + at, mask=there, other=0.0).to(tl.float32)
        tl.store(y_ptr + at, tl.maximum(x * weight[None, :] + bias[None, :], 0.0), mask=there)


@triton.jit
def _backward(
    x_ptr, weight_ptr, bias_ptr, mean_ptr, scale_ptr, gradient_ptr, to_x_ptr, of_weight_ptr, of_bias_ptr, pixels,
    channels, WIDTH: tl.constexpr, PADDED: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    group, image = tl.program_id(0), tl.program_id(1).to(tl.int64)
    columns, rows = tl.arange(0, PADDED), tl.arange(0, ROWS)
    mine = columns < WIDTH
    channel = group * WIDTH + columns
    start = image * pixels * channels
    mean = tl.load(mean_ptr + image * tl.num_programs(0) + group)
    scale = tl.load(scale_ptr + image * tl.num_programs(0) + group)
    weight = tl.load(weight_ptr + channel, mask=mine, other=0.0).to(tl.float32)
    bias = tl.load(bias_ptr + channel, mask=mine, other=0.0).to(tl.float32)
    of_weight = tl.zeros([ROWS, PADDED], tl.float32)
    of_bias = tl.zeros([ROWS, PADDED], tl.float32)
    for first in range(0, pixels, ROWS):
        row = first + rows
        there = (row < pixels)[:, None] & mine[None, :]
        at = start + row[:, None] * channels + channel[None, :]
        normal = (tl.load(x_ptr + at, mask=there, other=0.0).to(tl.float32) - mean) * scale
        gradient = tl.load(gradient_ptr + at, mask=there, other=0.0).to(tl.float32)
        gradient = tl.where(normal * weight[None, :] + bias[None, :] > 0, gradient, 0.0)
        of_weight += gradient * normal
        of_bias += gradient
    by_weight, by_bias = tl.sum(of_weight, 0), tl.sum(of_bias, 0)
    tl.store(of_weight_ptr + image * channels + channel, by_weight, mask=mine)
    tl.store(of_bias_ptr + image * channels + channel, by_bias, mask=mine)
    # what the gradient must lose so that mean and variance stay as they are
    count = pixels * WIDTH
    along, level = tl.sum(by_weight * weight) / count, tl.sum(by_bias * weight) / count
    for first in range(0, pixels, ROWS):
        row = first + rows
        there = (row < pixels)[:, None] & mine[None, :]
        at = start + row[:, None] * channels + channel[None, :]
        normal = (tl.load(x_ptr + at, mask=there, other=0.0).to(tl.float32) - mean) * scale
        gradient = tl.load(gradient_ptr + at, mask=there, other=0.0).to(tl.float32)
        gradient = tl.where(normal * weight[None, :] + bias[None, :] > 0, gradient, 0.0)
        tl.store(to_x_ptr + at, (gradient * weight[None, :] - level - normal * along) * scale, mask=there)
