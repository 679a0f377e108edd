"""Which keys each row of a decode batch sees, in device tensors of fixed address that a CUDA graph reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kernels.attention import planning

Indices = Sequence[int] | NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class TreeNode:
    """A run of tokens that several rows share.

    length: tokens, 0 allowed; pages: its pages in order, at least as many as the tokens need; rows: the batch
    rows below it, any order; start: position of its first token, read only with a sliding window.
    """

    length: int
    pages: Indices
    rows: Indices
    start: int = 0


@dataclass(frozen=True, slots=True)
class PlanKey:
    """What the cutting of the work depends on besides the tree.

    tile: rows of a piece; programs: programs that share the pieces, and `crowd` where the shared nodes take most of
    the step; suffix_parts: partial results that the suffixes may need; heads, kv_heads, size, dtype: of the results.
    """

    tile: int
    programs: int
    crowd: int
    suffix_parts: int
    heads: int
    kv_heads: int
    size: int
    dtype: torch.dtype


class TreeTables:
    """The tree above a decode batch: int32 device tensors of fixed capacity and fixed address.

    rows: batch capacity; nodes: most nodes at once; node_pages: most pages of one node; depth: most nodes on one
    row's path; row_pages: most pages of one row's suffix.

    suffix_pages (rows, row_pages) and suffix_lengths (rows,) belong to the caller: they may change at every step
    on the device. A padding row has suffix length 0 and stands below no node: its attention is 0.
    """

    def __init__(
        self, *, rows: int, nodes: int, node_pages: int, depth: int, row_pages: int, device: torch.device | str
    ) -> None:
        self.rows, self.max_nodes, self.node_pages, self.depth = rows, nodes, node_pages, depth
        self.device = torch.device(device)
        self.suffix_pages = torch.zeros(rows, row_pages, dtype=torch.int32, device=self.device)
        self.suffix_lengths = torch.zeros(rows, dtype=torch.int32, device=self.device)
        self.nodes: tuple[TreeNode, ...] = ()
        self.last_row = -1  # of those below a node
        self.least_page = 0  # tokens that a page must hold for every node to fit in its pages
        self._arrays = _arrays(())
        self._pages = np.zeros(0, np.int32)
        self._plans: dict[PlanKey, Plan] = {}

    def set_tree(self, nodes: Sequence[TreeNode]) -> None:
        """Replace the tree. Host work of the size of the tree and one asynchronous copy on the current stream.

        Raises ValueError when the tree does not fit the capacities or a row does not exist.
        """
        nodes = tuple(node for node in nodes if node.length and len(node.rows))
        if len(nodes) > self.max_nodes:
            raise ValueError(f"{len(nodes)} nodes do not fit in tables for {self.max_nodes}; raise `nodes`")
        longest = max((len(node.pages) for node in nodes), default=0)
        if longest > self.node_pages:
            raise ValueError(f"a node of {longest} pages does not fit; raise `node_pages`")
        arrays = _arrays(nodes)
        members = arrays.members
        if members.min(initial=0) < 0 or members.max(initial=0) >= self.rows:
            raise ValueError(f"a node's rows must be in 0..{self.rows - 1}")
        placed = np.sort(np.repeat(np.arange(len(nodes)), arrays.counts) * self.rows + members)
        if (placed[1:] == placed[:-1]).any():
            raise ValueError("a row may stand below a node only once")
        deepest = np.bincount(members, minlength=1).max()
        if deepest > self.depth:
            raise ValueError(f"a row with {deepest} nodes above it does not fit; raise `depth`")
        self.nodes, self._arrays, self.last_row = nodes, arrays, int(members.max(initial=-1))
        self.least_page = max((tokens_per_page(node.length, node.pages) for node in nodes), default=0)
        self._pages = _joined([node.pages for node in nodes])
        for plan in self._plans.values():
            plan.update(arrays, self._pages)

    def plan(self, key: PlanKey) -> Plan:
        """The cut work for one shape of attention; made at first use, kept up to date by `set_tree`."""
        if key not in self._plans:
            if self.device.type == "cuda" and torch.cuda.is_current_stream_capturing():
                raise RuntimeError("call tree_decode once on these shapes before capturing it")
            self._plans[key] = Plan(self, key)
            self._plans[key].update(self._arrays, self._pages)
        return self._plans[key]


class Plan:
    """The pieces of work of one tree on the device, and room for their partial results.

    All tables are views of one tensor, so that one copy from a pinned buffer replaces them all: counts (pieces,
    programs), pieces (parts, 8), first_parts and part_counts (rows,), member_rows and member_parts (rows * depth,),
    pages. `taken` counts the pieces that programs took beyond their first; it is 0 between steps.
    """

    def __init__(self, tables: TreeTables, key: PlanKey) -> None:
        self.key, self.rows = key, tables.rows
        # A piece holds at least one partial result, so there are never more pieces than parts.
        self.parts = tables.rows * (tables.depth + 2) + 4 * key.programs
        members = tables.rows * tables.depth
        sizes = [8, 8 * self.parts, self.rows, self.rows, members, members, tables.max_nodes * tables.node_pages]
        self._starts = [0, *np.cumsum(sizes).tolist()]
        device = tables.device
        pinned = device.type == "cuda"
        # Two, so that a new tree need not wait until a copy behind a running step is done.
        self._hosts = [torch.zeros(self._starts[-1], dtype=torch.int32, pin_memory=pinned) for _ in range(2)]
        self._copied = [torch.cuda.Event() for _ in self._hosts] if pinned else []  # type: ignore[no-untyped-call]
        self._device = torch.zeros(self._starts[-1], dtype=torch.int32, device=device)
        views = [self._device[a:b] for a, b in zip(self._starts[:-1], self._starts[1:], strict=True)]
        self.counts, self.pieces, self.first_parts, self.part_counts = views[:4]
        self.member_rows, self.member_parts, self.pages = views[4:]
        self.taken = torch.zeros(1, dtype=torch.int32, device=device)
        total = self.parts + key.suffix_parts
        self.outs = torch.zeros(total, key.heads, key.size, dtype=key.dtype, device=device)
        self.lses = torch.zeros(total, key.heads, dtype=torch.float32, device=device)

    def update(self, nodes: planning.Nodes, pages: NDArray[np.int32]) -> None:
        key = self.key
        programs = key.crowd if planning.crowded(nodes, key.heads // key.kv_heads) else key.programs
        work = planning.plan(
            nodes, rows=self.rows, tile=key.tile, heads=key.kv_heads, programs=programs, parts=self.parts
        )
        if self._copied:
            self._copied[0].synchronize()  # the copy before last may still read this buffer
        host = self._hosts[0].numpy()
        counts = np.array([len(work.fields), programs])
        fields = [counts, work.fields.ravel(), work.first_parts, work.part_counts, nodes.members, work.member_parts]
        for start, content in zip(self._starts, [*fields, pages], strict=False):
            host[start : start + len(content)] = content
        used = self._starts[6] + len(pages)
        self._device[:used].copy_(self._hosts[0][:used], non_blocking=True)
        if self._copied:
            self._copied[0].record()
            self._copied.reverse()
            self._hosts.reverse()


def tokens_per_page(length: int, pages: Indices) -> int:
    """What a page must hold for `length` tokens to fit in these pages; more than any page holds if there are none."""
    return -(-length // len(pages)) if len(pages) else min(length, 1) << 30


def _arrays(nodes: Sequence[TreeNode]) -> planning.Nodes:
    page_counts = np.array([len(node.pages) for node in nodes], np.int64)
    return planning.Nodes(
        lengths=np.array([node.length for node in nodes], np.int64),
        starts=np.array([node.start for node in nodes], np.int64),
        pages=np.cumsum(page_counts) - page_counts,
        counts=np.array([len(node.rows) for node in nodes], np.int64),
        members=_joined([node.rows for node in nodes]).astype(np.int64),
    )


def _joined(lists: Sequence[Indices]) -> NDArray[np.int32]:
    return np.concatenate([np.zeros(0, np.int32), *(np.asarray(each, np.int32) for each in lists)])
