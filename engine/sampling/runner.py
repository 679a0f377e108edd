"""What computes the tree and the steps, as the run loop sees it; and how both runners cut prompts into passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from engine.sampling.scheduler import Limits
from engine.sampling.types import SamplingParams


@dataclass(frozen=True, slots=True)
class Start:
    """A sample that begins in a row of the batch."""

    row: int
    problem: int  # whose node is open
    key: int  # random key
    limit: int  # tokens after which it ends
    alone: bool  # whether it is the only sample of its problem in this call


@dataclass(frozen=True, slots=True)
class Output:
    """The tokens of a step, on their way to the host."""

    values: NDArray[np.int32]  # (3, rows): token, bits of the fp32 log-probability, of the self-certainty
    arrived: torch.cuda.Event | None

    def read(self) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
        """Waits for them. Rows in which nothing ran hold anything."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return self.values[0], self.values[1].view(np.float32), self.values[2].view(np.float32)


class Runner(Protocol):
    """A row is a place in the batch. Work is queued in the order of the calls; only `Output.read` waits for it."""

    lag: int  # steps that may be queued before the output of one is read
    dense: bool  # whether the rows in use must have no gaps between them when a step begins

    def limits(self, limits: Limits) -> Limits:
        """The limits with this runner's page sizes."""
        ...

    def prepare(self, limits: Limits, params: SamplingParams) -> None:
        """Make room for a call; all rows are free and all nodes but the root closed afterwards."""
        ...

    @property
    def held_tokens(self) -> int:
        """Tokens that there is room for now."""
        ...

    def forget(self) -> None:
        """Free all memory but the weights'."""
        ...

    def set_root(self, tokens: tuple[int, ...], cancelled: Callable[[], bool]) -> bool | None:
        """Compute the root unless it is the same one: whether it did, None when cancelled on the way."""
        ...

    def open(self, prompts: Mapping[int, Sequence[int]]) -> None:
        """Compute problems' nodes below the root."""
        ...

    def close(self, problem: int) -> None: ...

    def start(self, starts: Sequence[Start]) -> None:
        """Draw the first token of samples, all those of a problem from its last logits."""
        ...

    def decode(self, drawn: NDArray[np.int64]) -> None:
        """Draw the next token in every row of the first len(drawn) that has drawn some already."""
        ...

    def collect(self, rows: int) -> Output:
        """What the calls since the last collect have drawn."""
        ...

    def leave(self, row: int) -> None:
        """The row's sample ended or was dropped."""
        ...

    def move(self, moves: Sequence[tuple[int, int]]) -> None:
        """Samples change rows, (from, to); every target is free."""
        ...

    def bucket(self, rows: int) -> int:
        """Rows that are computed for a step of `rows` rows."""
        ...


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
