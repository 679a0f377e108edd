"""Attention of queries over one node's keys, in plain fp32 torch: what every faster version must equal."""

from __future__ import annotations

import torch
from torch import Tensor


def partial_attention(
    q: Tensor, k: Tensor, v: Tensor, *, scale: float, mask: Tensor | None = None, softcap: float | None = None
) -> tuple[Tensor, Tensor]:
    """Softmax attention over these keys only, with the normaliser needed to merge it with other keys.

    q: (nodes, query heads, queries, size). k, v: (nodes, KV heads, keys, size); query heads h*g .. h*g+g-1
    share KV head h. mask: bool (nodes, 1 or queries, keys), true where a query may look. softcap: logits
    become softcap * tanh(logits / softcap) (Gemma 2).

    Returns (out, lse): out like q, lse fp32 (nodes, query heads, queries) with the natural logarithm of the
    sum of exponentials. A query that sees no key gets out 0 and lse -inf, so that it weighs nothing in a merge.
    """
    nodes, heads, queries, size = q.shape
    kv_heads, keys = k.shape[1], k.shape[2]
    grouped = q.float().reshape(nodes, kv_heads, heads // kv_heads, queries, size)
    logits = grouped @ k.float().unsqueeze(2).transpose(-1, -2) * scale
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    if mask is not None:
        logits = logits.masked_fill(~mask[:, None, None], float("-inf"))
    logits = logits.reshape(nodes, heads, queries, keys)
    lse = torch.logsumexp(logits, dim=-1)
    # exp(-inf - (-inf)) is NaN: subtract 0 where nothing was visible, the exponentials are 0 there anyway.
    weights = torch.exp(logits - torch.where(lse.isinf(), 0.0, lse).unsqueeze(-1))
    out = weights.reshape(nodes, kv_heads, heads // kv_heads * queries, keys) @ v.float()
    return out.reshape(nodes, heads, queries, size).to(q.dtype), lse
