"""RMSNorm with the residual addition in the same pass over memory."""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, allow-untyped-decorators
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.fused import reference


def rms_norm(
    x: Tensor, weight: Tensor, eps: float, *, residual: Tensor | None = None, offset: float = 0.0
) -> Tensor | tuple[Tensor, Tensor]:
    """y = x / sqrt(mean(x^2) + eps) * (weight + offset), per row (Zhang and Sennrich 2019, arXiv 1910.07467).

    x: (rows, width), rows may be apart by any stride; weight: (width,). With `residual`, like x, returns
    (y, x + residual) and y is the norm of that sum, rounded to x's dtype first as a transformer's residual
    stream is. All fp32 inside. Roundings are those of transformers: with offset 0 the normalised value is
    rounded to x's dtype before the weight (Llama, Qwen, Mistral), otherwise after it (Gemma: offset 1).
    """
    if x.is_cuda:
        return launch(x, weight, eps, residual=residual, offset=offset)
    return reference.rms_norm(x, weight, eps, residual=residual, offset=offset)


def launch(
    x: Tensor, weight: Tensor, eps: float, *, residual: Tensor | None = None, offset: float = 0.0
) -> Tensor | tuple[Tensor, Tensor]:
    """The Triton version, with the signature of `rms_norm`: one program holds one row in registers."""
    rows, width = x.shape
    if x.stride(1) != 1 or (residual is not None and (residual.stride(1) != 1 or residual.dtype != x.dtype)):
        raise ValueError("rms_norm needs rows whose elements are adjacent, and a residual of x's dtype")
    y = torch.empty(rows, width, dtype=x.dtype, device=x.device)
    total = torch.empty_like(y) if residual is not None else None
    block = triton.next_power_of_2(width)
    if rows:
        _kernel[(rows,)](
            x,
            residual,
            weight,
            y,
            total,
            x.stride(0),
            residual.stride(0) if residual is not None else 0,
            width,
            eps,
            offset,
            BLOCK=block,
            RESIDUAL=residual is not None,
            ROUND_FIRST=offset == 0,
            num_warps=min(max(block // 512, 1), 16),
        )
    return y if total is None else (y, total)


@triton.jit
def _kernel(
    x_ptr,
    residual_ptr,
    weight_ptr,
    y_ptr,
    total_ptr,
    x_stride,
    residual_stride,
    width,
    eps,
    offset,
    BLOCK: tl.constexpr,
    RESIDUAL: tl.constexpr,
    ROUND_FIRST: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < width
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32) + offset
    x = tl.load(x_ptr + row * x_stride + columns, mask=inside, other=0.0)
    if RESIDUAL:
        other = tl.load(residual_ptr + row * residual_stride + columns, mask=inside, other=0.0)
        x = (x.to(tl.float32) + other.to(tl.float32)).to(x.dtype)
        tl.store(total_ptr + row * width + columns, x, mask=inside)
    wide = x.to(tl.float32)
    unit = wide * tl.rsqrt(tl.sum(wide * wide, 0) / width + eps)
    if ROUND_FIRST:
        unit = unit.to(x.dtype).to(tl.float32)
    tl.store(y_ptr + row * width + columns, (unit * weight).to(x.dtype), mask=inside)
