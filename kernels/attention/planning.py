"""How the shared part of a decode step is cut into equal pieces of work. Pure functions, no device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A piece starts at a multiple of this many tokens, so it starts with a page and a key tile of any size.
ALIGNMENT = 128
# What a piece costs before its first token (tables, queries, partial result), in tokens of a full tile.
OVERHEAD = 192
CHUNKS = (128, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 8192, 16384)

Ints = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Pieces:
    """The work of one step. A piece is a run of a node's tokens against a tile of the rows below the node.

    fields: (pieces, 8) = node's place in the page list, first and last + 1 token, tile's place in the members,
    rows of the tile, number of the run within its node, position of the node's first token, unused.
    member_rows, member_parts: each node's rows and where each row's first partial result with this node goes.
    first_parts, part_counts: (rows,), where each row's partial results start and how many there are.
    """

    fields: Ints
    member_rows: Ints
    member_parts: Ints
    first_parts: Ints
    part_counts: Ints


@dataclass(frozen=True, slots=True)
class Shape:
    """A node as the planner sees it: tokens, rows below it, place of its pages, position of its first token."""

    length: int
    rows: Ints
    pages: int
    start: int


def split_lengths(lengths: Sequence[int], chunk: int) -> list[int]:
    """Tokens per piece of each node: at most about `chunk`, and equal within a node."""
    return [_round_up(-(-length // -(-length // chunk))) for length in lengths]


def plan(nodes: Sequence[Shape], *, rows: int, tile: int, heads: int, programs: int, parts: int) -> Pieces:
    """Cut the nodes (none of length 0) for `programs` programs that take pieces in turn.

    tile: most rows in a piece; heads: times each piece is done (once per KV head); parts: most partial results
    in all. Among the chunk sizes that fit in `parts`, the one whose estimated time is least: whole rounds over
    the programs, each as long as the mean piece with its overhead.
    """
    lengths, counts = [node.length for node in nodes], np.array([len(node.rows) for node in nodes], np.int64)
    tiles = -(-counts // tile)

    def cost(chunk: int) -> float:
        pieces = -(-np.array(lengths) // np.array(split_lengths(lengths, chunk)))
        if int((counts * pieces).sum()) > parts:
            return float("inf")
        tasks = int((tiles * pieces).sum()) * heads
        work = float((tiles * (np.array(lengths) + OVERHEAD * pieces)).sum()) * heads
        return -(-tasks // programs) * work / tasks

    if nodes:
        whole = _round_up(max(lengths))
        candidates = [chunk for chunk in CHUNKS if chunk < whole] + [whole]
        steps = split_lengths(lengths, min(reversed(candidates), key=cost))
    else:
        steps = []
    return _cut(nodes, steps, rows, tile)


def _cut(nodes: Sequence[Shape], steps: Sequence[int], rows: int, tile: int) -> Pieces:
    part_counts = np.zeros(rows, np.int32)
    runs = [-(-node.length // step) for node, step in zip(nodes, steps, strict=True)]
    for node, count in zip(nodes, runs, strict=True):
        part_counts[node.rows] += count
    first_parts = (np.cumsum(part_counts) - part_counts).astype(np.int32)
    next_part, fields, member_parts, member = first_parts.copy(), [], [], 0
    for node, step, count in zip(nodes, steps, runs, strict=True):
        member_parts.append(next_part[node.rows])
        next_part[node.rows] += count
        run, first = (each.ravel() for each in np.mgrid[:count, 0 : len(node.rows) : tile])
        piece = np.zeros((run.size, 8), np.int32)
        piece[:, 0] = node.pages
        piece[:, 1], piece[:, 2] = run * step, np.minimum((run + 1) * step, node.length)
        piece[:, 3], piece[:, 4] = member + first, np.minimum(len(node.rows) - first, tile)
        piece[:, 5], piece[:, 6] = run, node.start
        fields.append(piece)
        member += len(node.rows)
    pieces = np.concatenate(fields) if fields else np.zeros((0, 8), np.int32)
    # Long pieces first: the short ones then even out the last round.
    order = np.argsort(pieces[:, 1] - pieces[:, 2], kind="stable")
    empty = np.zeros(0, np.int32)
    return Pieces(
        fields=pieces[order],
        member_rows=np.concatenate([empty, *(node.rows for node in nodes)]),
        member_parts=np.concatenate([empty, *member_parts]),
        first_parts=first_parts,
        part_counts=part_counts,
    )


def _round_up(tokens: int) -> int:
    return -(-tokens // ALIGNMENT) * ALIGNMENT
