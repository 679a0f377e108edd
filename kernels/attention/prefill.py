"""Prefill attention of new tokens over their tree path: ancestors whole, the own node causally, in one kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kernels.attention import reference
from kernels.attention.decode import check
from kernels.attention.tables import Indices, TreeNode, tokens_per_page


@dataclass(frozen=True, slots=True)
class Chunk:
    """New tokens of one node.

    pages: the node's own pages, enough for length + tokens; length: tokens of the node that are already there;
    tokens: new ones, whose keys and values are in the pool; ancestors: nodes above, root first (rows unused).
    """

    pages: Indices
    length: int
    tokens: int
    ancestors: Sequence[TreeNode] = ()

    @property
    def start(self) -> int:
        """Position of the own node's first token."""
        return sum(node.length for node in self.ancestors)


class PrefillTables:
    """The paths of several chunks whose new tokens stand one after another in q. Built once for all layers."""

    def __init__(self, chunks: Sequence[Chunk], device: torch.device | str) -> None:
        self.chunks = tuple(chunk for chunk in chunks if chunk.tokens)
        self.tokens = sum(chunk.tokens for chunk in self.chunks)
        self.device = torch.device(device)
        self.least_page = 0  # tokens that a page must hold for every node to fit in its pages
        self._tiles: dict[int, Tensor] = {}
        pages: list[int] = []
        segments: list[tuple[int, int, int, int]] = []
        self._first_segments: list[int] = []
        for chunk in self.chunks:
            self._first_segments.append(len(segments))
            start = 0
            path = [(node.length, node.pages) for node in chunk.ancestors]
            for length, listed in [*path, (chunk.length + chunk.tokens, chunk.pages)]:
                self.least_page = max(self.least_page, tokens_per_page(length, listed))
                segments.append((len(pages), length, start, 0))
                pages.extend(listed)
                start += length
        self.segments = self._to_device(np.array(segments or [(0, 0, 0, 0)], np.int32))
        self.pages = self._to_device(np.array(pages or [0], np.int32))

    def tiles(self, rows: int) -> Tensor:
        """(tiles, 8) int32, at most `rows` tokens each, the ones with most work first: first row in q, tokens, first
        token's place in the own node, first segment, ancestors, position of the own node's first token."""
        if rows not in self._tiles:
            tiles, row = [], 0
            for chunk, segment in zip(self.chunks, self._first_segments, strict=True):
                for first in range(0, chunk.tokens, rows):
                    count = min(rows, chunk.tokens - first)
                    place = chunk.length + first
                    tiles.append((row + first, count, place, segment, len(chunk.ancestors), chunk.start, 0, 0))
                row += chunk.tokens
            tiles.sort(key=lambda tile: -(tile[2] + tile[5]))
            self._tiles[rows] = self._to_device(np.array(tiles, np.int32))
        return self._tiles[rows]

    def _to_device(self, values: np.ndarray[Any, Any]) -> Tensor:
        host = torch.from_numpy(values)
        return host.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else host


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
    """Attention of new tokens: each sees its ancestors' nodes whole and its own node up to itself.

    q: (tokens, query heads, size), the chunks of `tables` one after another; their keys and values are already
    in the pools. Pools, softcap and window as in `tree_decode`. Returns q's shape and dtype. Raises ValueError for
    tensors that do not fit together.
    """
    check(q, keys, values, tables.least_page)
    if q.shape[0] != tables.tokens:
        raise ValueError(f"{q.shape[0]} queries for chunks of {tables.tokens} tokens")
    run = reference.tree_prefill
    if q.is_cuda:
        from kernels.attention import launch  # Triton exists only where there are GPUs

        run = launch.prefill
    return run(q, keys, values, tables, scale=scale, softcap=softcap, window=window)
