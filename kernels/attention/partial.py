"""Picks the fastest exact `partial_attention` for the device; the signature is the reference's."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.attention import reference


def partial_attention(
    q: Tensor, k: Tensor, v: Tensor, *, scale: float, mask: Tensor | None = None, softcap: float | None = None
) -> tuple[Tensor, Tensor]:
    """See `kernels.attention.reference.partial_attention`."""
    if q.device.type == "cpu" and softcap is None and k.shape[2] > 0:
        return _flash_cpu(q, k, v, scale=scale, mask=mask)
    return reference.partial_attention(q, k, v, scale=scale, mask=mask, softcap=softcap)


def _flash_cpu(q: Tensor, k: Tensor, v: Tensor, *, scale: float, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """torch's blocked CPU attention: logits stay in cache and fp32, and it returns the lse."""
    nodes, heads, queries, size = q.shape
    kv_heads = k.shape[1]
    group = heads // kv_heads
    # The query heads of a KV head become rows of one matrix product: no repeated keys.
    folded = q.reshape(nodes, kv_heads, group * queries, size)
    bias = None if mask is None else _bias(mask, queries, group, q.dtype)
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        folded, k, v, 0.0, False, attn_mask=bias, scale=scale
    )
    out, lse = out.reshape(q.shape), lse.reshape(nodes, heads, queries)
    if mask is not None:
        # torch returns lse = 0 for a query that sees no key (2.14); a merge needs -inf.
        lse = lse.masked_fill(~mask.any(dim=-1).unsqueeze(1), float("-inf"))
    return out, lse


def _bias(mask: Tensor, queries: int, group: int, dtype: torch.dtype) -> Tensor:
    """bool (nodes, 1 or queries, keys) -> additive (nodes, 1, 1 or group * queries, keys)."""
    nodes, rows, keys = mask.shape
    bias = torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, float("-inf"))
    if rows == 1:
        return bias.unsqueeze(1)
    return bias.unsqueeze(1).expand(nodes, group, queries, keys).reshape(nodes, 1, group * queries, keys)
