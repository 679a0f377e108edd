"""Splits prompts into forward passes of bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens begin..end of one node, computed in one forward pass."""

    node: int
    begin: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.begin


def plan_prefill(nodes: Sequence[tuple[int, int]], limit: int) -> Iterator[list[Chunk]]:
    """Batches of chunks for (node, length) pairs, each batch of at most `limit` tokens.

    Short nodes are computed together, a long one in several passes of its own; nodes of length 0 need none.
    """
    batch: list[Chunk] = []
    for node, length in nodes:
        if batch and sum(chunk.size for chunk in batch) + length > limit:
            yield batch
            batch = []
        begin = 0
        while length - begin > limit:
            yield [Chunk(node, begin, begin + limit)]
            begin += limit
        if length > begin:
            batch.append(Chunk(node, begin, length))
    if batch:
        yield batch
