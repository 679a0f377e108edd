"""Which keys each row of a decode batch sees, in device tensors of fixed address that a CUDA graph reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from kernels.attention import planning


@dataclass(frozen=True, slots=True)
class TreeNode:
    """A run of tokens that several rows share.

    length: tokens, 0 allowed; pages: its pages in order, at least as many as the tokens need; rows: the batch
    rows below it, any order; start: position of its first token, read only with a sliding window.
    """

    length: int
    pages: Sequence[int]
    rows: Sequence[int]
    start: int = 0


@dataclass(frozen=True, slots=True)
class PlanKey:
    """What the cutting of the work depends on besides the tree.

    tile: rows of a piece; kv_heads; programs: programs that share the pieces; suffix_parts: partial results that
    the suffixes may need; heads, size, dtype: of the partial results.
    """

    tile: int
    kv_heads: int
    programs: int
    suffix_parts: int
    heads: int
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
        self._plans: dict[PlanKey, Plan] = {}

    def set_tree(self, nodes: Sequence[TreeNode]) -> None:
        """Replace the tree. Host work of the size of the tree and one asynchronous copy on the current stream.

        Raises ValueError when the tree does not fit the capacities or a row does not exist.
        """
        nodes = tuple(node for node in nodes if node.length and len(node.rows))
        if len(nodes) > self.max_nodes:
            raise ValueError(f"{len(nodes)} nodes do not fit in tables for {self.max_nodes}; raise `nodes`")
        depths = np.zeros(self.rows, np.int32)
        for node in nodes:
            if len(node.pages) > self.node_pages:
                raise ValueError(f"a node of {len(node.pages)} pages does not fit; raise `node_pages`")
            members = np.asarray(node.rows, np.int64)
            if members.min() < 0 or members.max() >= self.rows:
                raise ValueError(f"a node's rows must be in 0..{self.rows - 1}")
            if len(np.unique(members)) != len(members):
                raise ValueError("a row may stand below a node only once")
            depths[members] += 1
        if depths.max(initial=0) > self.depth:
            raise ValueError(f"a row with {depths.max()} nodes above it does not fit; raise `depth`")
        self.nodes = nodes
        for plan in self._plans.values():
            plan.update(nodes)

    def plan(self, key: PlanKey) -> Plan:
        """The cut work for one shape of attention; made at first use, kept up to date by `set_tree`."""
        if key not in self._plans:
            if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
                raise RuntimeError("call tree_decode once on these shapes before capturing it")
            self._plans[key] = Plan(self, key)
            self._plans[key].update(self.nodes)
        return self._plans[key]


class Plan:
    """The pieces of work of one tree on the device, and room for their partial results.

    All tables are views of one tensor, so that one copy from one pinned buffer replaces them all:
    count (1), pieces (parts, 8), first_parts and part_counts (rows), member_rows and member_parts
    (rows * depth), pages.
    """

    def __init__(self, tables: TreeTables, key: PlanKey) -> None:
        self.key, self.rows = key, tables.rows
        # A piece holds at least one partial result, so there are never more pieces than parts.
        self.parts = tables.rows * (tables.depth + 2) + 4 * key.programs
        members = tables.rows * tables.depth
        sizes = [8, 8 * self.parts, self.rows, self.rows, members, members, tables.max_nodes * tables.node_pages]
        self._starts = np.cumsum([0, *sizes])
        pinned = tables.device.type == "cuda"
        self._host = torch.zeros(int(self._starts[-1]), dtype=torch.int32, pin_memory=pinned)
        self._device = torch.zeros_like(self._host, device=tables.device)
        self._copied = torch.cuda.Event() if pinned else None  # type: ignore[no-untyped-call]
        views = [self._device[a:b] for a, b in zip(self._starts[:-1], self._starts[1:], strict=True)]
        self.count, self.pieces, self.first_parts, self.part_counts = views[:4]
        self.member_rows, self.member_parts, self.pages = views[4:]
        self.suffix_base = self.parts
        total = self.parts + key.suffix_parts
        self.outs = torch.zeros(total, key.heads, key.size, dtype=key.dtype, device=tables.device)
        self.lses = torch.zeros(total, key.heads, dtype=torch.float32, device=tables.device)

    def update(self, nodes: Sequence[TreeNode]) -> None:
        if self._copied is not None:
            self._copied.synchronize()  # the last copy may still read the pinned buffer
        host, starts = self._host.numpy(), self._starts
        shapes, page = [], 0
        for node in nodes:
            shapes.append(planning.Shape(node.length, np.asarray(node.rows, np.int32), page, node.start))
            host[starts[6] + page : starts[6] + page + len(node.pages)] = node.pages
            page += len(node.pages)
        key = self.key
        work = planning.plan(
            shapes, rows=self.rows, tile=key.tile, heads=key.kv_heads, programs=key.programs, parts=self.parts
        )
        host[0] = len(work.fields)
        contents = [work.fields.ravel(), work.first_parts, work.part_counts, work.member_rows, work.member_parts]
        for start, content in zip(starts[1:6], contents, strict=True):
            host[start : start + len(content)] = content
        used = int(starts[6]) + page
        self._device[:used].copy_(self._host[:used], non_blocking=True)
        if self._copied is not None:
            self._copied.record()
