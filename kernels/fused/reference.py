"""The fused step kernels in plain torch: what the Triton versions must equal. All arithmetic is in fp32."""

from __future__ import annotations

import torch
from torch import Tensor


def rms_norm(
    x: Tensor, weight: Tensor, eps: float, *, residual: Tensor | None = None, offset: float = 0.0
) -> Tensor | tuple[Tensor, Tensor]:
    """See `kernels.fused.rms_norm`."""
    if residual is None:
        return normalise(x, weight, eps, offset)
    total = x + residual
    return normalise(total, weight, eps, offset), total


def normalise(x: Tensor, weight: Tensor, eps: float, offset: float) -> Tensor:
    """RMSNorm over the last axis, with the rounding of Llama (offset 0) or Gemma (otherwise)."""
    wide = x.float()
    unit = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
    if offset == 0:
        unit = unit.to(x.dtype).float()
    return (unit * (weight.float() + offset)).to(x.dtype)


def rope_append(
    qkv: Tensor,
    cos: Tensor,
    sin: Tensor,
    positions: Tensor,
    slots: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    heads: int,
    q_norm: Tensor | None = None,
    k_norm: Tensor | None = None,
    eps: float = 1e-6,
    offset: float = 0.0,
) -> Tensor:
    """See `kernels.fused.rope_append`."""
    _, kv_heads, page_size, size = keys.shape
    q, k, v = torch.split(qkv.view(len(qkv), -1, size), [heads, kv_heads, kv_heads], dim=1)
    if q_norm is not None:
        q = normalise(q, q_norm, eps, offset)
    if k_norm is not None:
        k = normalise(k, k_norm, eps, offset)
    turn = cos[positions].unsqueeze(1), sin[positions].unsqueeze(1)
    pages, offsets = slots // page_size, slots % page_size
    keys[pages, :, offsets] = _rotate(k, *turn).to(keys.dtype)
    values[pages, :, offsets] = v.to(values.dtype)
    return _rotate(q, *turn)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Coordinates i and i + rotary/2 turn together (Llama's order); those from `rotary` on stay."""
    rotary = cos.shape[-1]
    turned, rest = x[..., :rotary].float(), x[..., rotary:]
    first, second = turned.chunk(2, dim=-1)
    turned = turned * cos + torch.cat([-second, first], dim=-1) * sin
    return torch.cat([turned.to(x.dtype), rest], dim=-1)


def gated_activation(gate_up: Tensor, kind: str = "silu") -> Tensor:
    """See `kernels.fused.gated_activation`."""
    gate, up = gate_up.float().chunk(2, dim=-1)
    active = torch.nn.functional.silu(gate) if kind == "silu" else torch.nn.functional.gelu(gate, approximate="tanh")
    return (active * up).to(gate_up.dtype)
