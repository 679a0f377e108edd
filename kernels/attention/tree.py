"""Attention of a batch of rows over the tree paths they stand on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from kernels.attention.merge import merge_partials
from kernels.attention.partial import partial_attention


@dataclass(frozen=True, slots=True)
class Level:
    """One depth of the tree: its nodes' keys and values, and which rows go through which node.

    k, v: (nodes, KV heads, keys, size), padded to the longest node.
    mask: bool (nodes, 1 or queries, keys), or None when every row sees every key of its node.
    rows: int64 (nodes * queries,), the batch rows below each node, padded with any row; None when the batch is
    already in this order (one node over all rows, or one node per row).
    places: int64 (batch,), where each batch row stands in `rows`; None together with `rows`.
    """

    k: Tensor
    v: Tensor
    mask: Tensor | None = None
    rows: Tensor | None = None
    places: Tensor | None = None


def tree_attention(q: Tensor, levels: Sequence[Level], *, scale: float, softcap: float | None = None) -> Tensor:
    """q (rows, query heads, size) -> attention of each row over the union of its nodes' keys, same shape.

    All rows below a node go through that node together, so its keys are read once (Hydragen, Juravsky et al.
    2024, arXiv 2402.05099); the levels are merged exactly by log-sum-exp in fp32. Levels without keys are
    skipped; each row must see a key in at least one level.
    """
    partials = [_attend_level(q, level, scale, softcap) for level in levels if level.k.shape[2]]
    return merge_partials([out for out, _ in partials], [lse for _, lse in partials])


def _attend_level(q: Tensor, level: Level, scale: float, softcap: float | None) -> tuple[Tensor, Tensor]:
    """The level's (out (rows, heads, size), lse (rows, heads))."""
    heads, size = q.shape[1:]
    nodes = level.k.shape[0]
    gathered = q if level.rows is None else q[level.rows]
    grouped = gathered.reshape(nodes, -1, heads, size).transpose(1, 2)
    out, lse = partial_attention(grouped, level.k, level.v, scale=scale, mask=level.mask, softcap=softcap)
    out, lse = out.transpose(1, 2).reshape(-1, heads, size), lse.transpose(1, 2).reshape(-1, heads)
    return (out, lse) if level.places is None else (out[level.places], lse[level.places])
