"""The gated activation of a transformer's MLP."""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, allow-untyped-decorators
from __future__ import annotations

from typing import Literal

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.fused import reference

_BLOCK = 2048


def gated_activation(gate_up: Tensor, kind: Literal["silu", "gelu_tanh"] = "silu") -> Tensor:
    """activation(gate) * up (Shazeer 2020, arXiv 2002.05202), rounded once.

    gate_up: (rows, 2 * width), gate and up side by side as one fused projection leaves them -> (rows, width).
    """
    if gate_up.is_cuda:
        return launch(gate_up, kind)
    return reference.gated_activation(gate_up, kind)


def launch(gate_up: Tensor, kind: Literal["silu", "gelu_tanh"] = "silu") -> Tensor:
    """The Triton version, with the signature of `gated_activation`."""
    if gate_up.stride(1) != 1:
        raise ValueError("gated_activation needs rows whose elements are adjacent")
    rows, width = len(gate_up), gate_up.shape[1] // 2
    out = torch.empty(rows, width, dtype=gate_up.dtype, device=gate_up.device)
    block = min(_BLOCK, triton.next_power_of_2(width))
    if rows:
        _kernel[(rows, triton.cdiv(width, block))](
            gate_up,
            out,
            gate_up.stride(0),
            width,
            BLOCK=block,
            SILU=kind == "silu",
            num_warps=min(block // 256, 8) or 1,
        )
    return out


@triton.jit
def _kernel(gate_up_ptr, out_ptr, stride, width, BLOCK: tl.constexpr, SILU: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < width
    gate = tl.load(gate_up_ptr + row * stride + columns, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(gate_up_ptr + row * stride + width + columns, mask=inside, other=0.0).to(tl.float32)
    if SILU:
        slope = gate
    else:
        # 0.5 x (1 + tanh(u)) = x sigmoid(2u): no tanh, which Triton lacks, and no cancellation for small x.
        slope = 1.5957691216057308 * (gate + 0.044715 * gate * gate * gate)
    out = gate * tl.sigmoid(slope) * up
    tl.store(out_ptr + row * width + columns, out.to(out_ptr.dtype.element_ty), mask=inside)
