"""How the shared part of a decode step is cut into pieces of work. Pure functions, no device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

# A piece starts at a multiple of this many tokens, so it starts with a page and a key tile of any size.
ALIGNMENT = 128
# What a piece costs before its first token (tables, queries, partial result), in tokens of a full tile.
OVERHEAD = 192
CHUNKS = np.array([128, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 8192, 16384, 1 << 30])
# Shared tokens per row and query head of a group from which the shared nodes, not the suffixes, take most of a
# step: then a second program per processor gains more than it takes from the suffixes that stream beside it.
CROWD = 16384


@dataclass(frozen=True, slots=True)
class Nodes:
    """A tree as arrays, nodes of length 0 and without rows left out.

    lengths, starts, pages, counts: (nodes,), tokens, position of the first one, place in the page list, rows below;
    members: all nodes' rows, one node after another.
    """

    lengths: Ints
    starts: Ints
    pages: Ints
    counts: Ints
    members: Ints


@dataclass(frozen=True, slots=True)
class Pieces:
    """The work of one step. A piece is a run of a node's tokens against a tile of the rows below the node.

    fields: (pieces, 8) = node's place in the page list, first and last + 1 token, tile's place in the members,
    rows of the tile, number of the run within its node, position of the node's first token, unused; long runs first.
    member_parts: (members,), where each member's first partial result goes. first_parts, part_counts: (rows,), where
    each row's partial results start and how many there are.
    """

    fields: Ints
    member_parts: Ints
    first_parts: Ints
    part_counts: Ints


def crowded(nodes: Nodes, group: int) -> bool:
    """Whether the shared nodes take most of the step; see CROWD."""
    rows = len(np.unique(nodes.members))
    return int((nodes.lengths * nodes.counts).sum()) * group >= CROWD * max(rows, 1)


def plan(nodes: Nodes, *, rows: int, tile: int, heads: int, programs: int, parts: int) -> Pieces:
    """Cut the nodes for `programs` programs that take pieces in turn.

    tile: most rows in a piece; heads: times each piece is done (once per KV head); parts: most partial results
    in all. Among the chunk sizes that fit in `parts`, the one whose estimated time is least: whole rounds over
    the programs, each as long as the mean piece with its overhead.
    """
    tiles = -(-nodes.counts // tile)
    steps = _equal_steps(nodes.lengths, CHUNKS[:, None])  # (chunks, nodes)
    runs = -(-nodes.lengths // steps)
    tasks = (tiles * runs).sum(1) * heads
    work = (tiles * (nodes.lengths + OVERHEAD * runs)).sum(1) * heads
    rounds = -(-tasks // programs)
    cost = np.where((nodes.counts * runs).sum(1) <= parts, rounds * (work / np.maximum(tasks, 1)), np.inf)
    best = len(CHUNKS) - 1 - int(np.argmin(cost[::-1]))  # of equal ones the coarsest
    return _cut(nodes, steps[best], runs[best], tiles, rows, tile)


def _equal_steps(lengths: Ints, chunk: Ints) -> Ints:
    """Tokens per run of a node: as many runs as chunks cover it, of equal length."""
    equal = -(-lengths // -(-lengths // chunk))
    return -(-equal // ALIGNMENT) * ALIGNMENT


def _cut(nodes: Nodes, steps: Ints, runs: Ints, tiles: Ints, rows: int, tile: int) -> Pieces:
    member_runs = np.repeat(runs, nodes.counts)
    part_counts = np.bincount(nodes.members, weights=member_runs, minlength=rows).astype(np.int64)
    # With the members in the order of their rows, a running sum gives each its place behind the row's earlier nodes.
    order = np.argsort(nodes.members, kind="stable")
    member_parts = np.empty_like(member_runs)
    member_parts[order] = np.cumsum(member_runs[order]) - member_runs[order]

    each = tiles * runs
    node = np.repeat(np.arange(len(each)), each)
    local = np.arange(len(node)) - np.repeat(np.cumsum(each) - each, each)
    run, first_row = local // tiles[node], local % tiles[node] * tile
    begin = run * steps[node]
    end = np.minimum(begin + steps[node], nodes.lengths[node])
    first_member = (np.cumsum(nodes.counts) - nodes.counts)[node] + first_row
    count = np.minimum(nodes.counts[node] - first_row, tile)
    zeros = np.zeros_like(run)
    fields = np.stack([nodes.pages[node], begin, end, first_member, count, run, nodes.starts[node], zeros], 1)
    # Long pieces first: the short ones then even out the end.
    return Pieces(
        fields=fields[np.argsort(begin - end, kind="stable")],
        member_parts=member_parts,
        first_parts=np.cumsum(part_counts) - part_counts,
        part_counts=part_counts,
    )
