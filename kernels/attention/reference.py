"""Attention in plain fp32 torch: what every faster version must equal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from kernels.attention.merge import merge_partials

if TYPE_CHECKING:
    from kernels.attention.prefill import PrefillTables
    from kernels.attention.tables import Indices, TreeTables


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


def tree_decode(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    tables: TreeTables,
    *,
    scale: float,
    softcap: float | None = None,
    window: int | None = None,
    positions: Tensor | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """See `kernels.attention.decode.tree_decode`."""
    result = torch.zeros_like(q, dtype=torch.float32)
    lse = torch.full(q.shape[:2], float("-inf"), device=q.device)

    def absorb(rows: Tensor, part: Tensor, part_lse: Tensor) -> None:
        both = torch.stack([lse[rows], part_lse])
        merged = torch.logsumexp(both, 0)
        weights = torch.exp(both - torch.where(merged.isinf(), 0.0, merged)).unsqueeze(-1)
        result[rows] = result[rows] * weights[0] + part.float() * weights[1]
        lse[rows] = merged

    for node in tables.nodes:
        rows = torch.as_tensor(node.rows, dtype=torch.int64, device=q.device)
        k, v = (_tokens(pool, node.pages, node.length) for pool in (keys, values))
        mask = None
        if window is not None and positions is not None:
            ages = positions[rows, None] - node.start - torch.arange(node.length, device=q.device)
            mask = (ages < window)[None]
        part, part_lse = partial_attention(
            q[rows].float().transpose(0, 1)[None], k[None], v[None], scale=scale, mask=mask, softcap=softcap
        )
        absorb(rows, part[0].transpose(0, 1), part_lse[0].t())
    lengths = tables.suffix_lengths[: q.shape[0]]
    for row in lengths.nonzero()[:, 0].tolist():
        length = int(lengths[row])
        first = 0 if window is None else max(length - window, 0)
        k, v = (_tokens(pool, tables.suffix_pages[row].tolist(), length)[:, first:] for pool in (keys, values))
        part, part_lse = partial_attention(
            q[row].float()[None, :, None], k[None], v[None], scale=scale, softcap=softcap
        )
        absorb(torch.tensor([row], device=q.device), part[:, :, 0], part_lse[:, :, 0])
    if out is None:
        return result.to(q.dtype)
    return out.copy_(result)


def tree_prefill(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    tables: PrefillTables,
    *,
    scale: float,
    softcap: float | None = None,
    window: int | None = None,
) -> Tensor:
    """See `kernels.attention.prefill.tree_prefill`."""
    outs = []
    for chunk, queries in zip(tables.chunks, torch.split(q, [chunk.tokens for chunk in tables.chunks]), strict=True):
        own = torch.arange(chunk.length, chunk.length + chunk.tokens, device=q.device)[:, None]
        partials = []
        nodes = [(node.pages, node.length, False) for node in chunk.ancestors if node.length]
        start = 0
        for pages, length, causal in [*nodes, (chunk.pages, chunk.length + chunk.tokens, True)]:
            ages = chunk.start + own - start - torch.arange(length, device=q.device)
            mask = torch.ones_like(ages, dtype=torch.bool)
            if causal:
                mask &= ages >= 0
            if window is not None:
                mask &= ages < window
            k, v = (_tokens(pool, pages, length)[None] for pool in (keys, values))
            folded = queries.float().transpose(0, 1)[None]
            partials.append(partial_attention(folded, k, v, scale=scale, mask=mask[None], softcap=softcap))
            start += length
        merged = merge_partials([out for out, _ in partials], [lse for _, lse in partials])
        outs.append(merged[0].transpose(0, 1).to(q.dtype))
    return torch.cat(outs) if outs else q.clone()


def _tokens(pool: Tensor, pages: Indices, length: int) -> Tensor:
    """The first `length` tokens of a page list: (KV heads, length, size), fp32."""
    used = torch.as_tensor(pages[: -(-length // pool.shape[2])], dtype=torch.int64, device=pool.device)
    return pool[used].transpose(0, 1).flatten(1, 2)[:, :length].float()
