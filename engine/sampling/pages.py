"""Keys and values in pages, so that memory goes where tokens are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.models.shape import ModelShape
from kernels.attention import TreeNode

Ints = NDArray[np.int32]
# Tokens of a page. Long enough for one bulk copy to fill a tile of keys, short enough that the half-empty last
# page of each sample wastes little.
PAGE = 64


class KVPages:
    """The pool: keys, values (layers, pages, KV heads, page, head size), and which pages are free.

    Page 0 belongs to nobody: rows that are not in use write there.
    """

    def __init__(
        self, shape: ModelShape, pages: int, *, page: int, kv_heads: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.page = page
        size = (shape.layers, pages + 1, kv_heads, page, shape.head_size)
        # Zeros: a masked key still takes part as 0 * value, and uninitialised memory may hold NaN.
        self.keys = torch.zeros(size, dtype=dtype, device=device)
        self.values = torch.zeros(size, dtype=dtype, device=device)
        self.count = pages
        self._free: Ints = np.arange(pages, 0, -1, dtype=np.int32)  # a stack; its top is at _left
        self._left = pages
        self._taken = np.zeros(pages + 1, np.bool_)

    @property
    def free(self) -> int:
        return self._left

    def take(self, count: int) -> Ints:
        """Raises AssertionError when there are not enough: the scheduler counts the same pages."""
        assert count <= self._left, f"{count} pages wanted, {self._left} of {self.count} free"
        self._left -= count
        pages = self._free[self._left : self._left + count].copy()
        self._taken[pages] = True
        return pages

    def give(self, pages: Ints) -> None:
        assert self._taken[pages].all(), f"pages freed twice: {pages[~self._taken[pages]]}"
        self._taken[pages] = False
        self._free[self._left : self._left + len(pages)] = pages
        self._left += len(pages)


@dataclass(slots=True, eq=False)
class Node:
    """Computed tokens that several samples share."""

    tokens: Sequence[int]
    start: int  # position of its first token
    pages: Ints
    ancestors: tuple[Node, ...] = ()
    logits: Tensor | None = field(default=None, repr=False)  # (vocabulary,), after its last token

    def slots(self, begin: int, end: int, page: int) -> NDArray[np.int64]:
        """Where its tokens begin..end live in the pool."""
        places = np.arange(begin, end)
        return self.pages[places // page].astype(np.int64) * page + places % page

    def table(self, rows: Ints) -> TreeNode:
        """As the kernels see it, above these batch rows."""
        return TreeNode(len(self.tokens), self.pages, rows, self.start)
