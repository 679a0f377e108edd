"""Computes the keys and values of the tree's prompt nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.sampling.attention import TreeModel
from engine.sampling.model import Model
from engine.sampling.pool import KVPool
from engine.sampling.prefill import Chunk, plan_prefill
from engine.sampling.tree import Grouping, TreeLevel, TreeStep

# Rows of one prefill pass: enough for full-speed matrix products, few enough to notice a cancel soon.
PREFILL_ROWS = 512


@dataclass(frozen=True, slots=True)
class Root:
    """The tokens every prompt begins with; empty for none."""

    tokens: tuple[int, ...] = ()
    pool: KVPool | None = None
    logits: Tensor | None = None  # (vocabulary,), after the last token

    def levels(self) -> list[TreeLevel]:
        """The root as an ancestor of every row of a step."""
        return [] if self.pool is None else [TreeLevel.over(self.pool, [len(self.tokens)], [0])]


def compute_root(model: Model, tree: TreeModel, tokens: tuple[int, ...], cancelled: Callable[[], bool]) -> Root | None:
    """Prefill the root; None when cancelled on the way."""
    if not tokens:
        return Root()
    pool = KVPool(model.shape, 1, len(tokens), dtype=model.dtype, device=model.device)
    pool.clear(0)
    logits = None
    for batch in plan_prefill([(0, len(tokens))], PREFILL_ROWS):
        if cancelled():
            return None
        logits = prefill(tree, pool, batch, {0: tokens}, start=0, ancestors=[])
    assert logits is not None
    return Root(tokens, pool, logits[0])


def prefill(
    tree: TreeModel,
    pool: KVPool,
    chunks: Sequence[Chunk],
    prompts: dict[int, Sequence[int]],
    *,
    start: int,
    ancestors: Sequence[TreeLevel],
) -> Tensor:
    """Compute chunks of nodes (slot -> prompt tokens) that begin at position `start`, below `ancestors`.

    Returns logits (chunks, vocabulary) after the last token of each chunk.
    """
    device = pool.keys.device

    def tensor(values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=device)

    tokens = [token for chunk in chunks for token in prompts[chunk.node][chunk.begin : chunk.end]]
    columns = [column for chunk in chunks for column in range(chunk.begin, chunk.end)]
    owners = [owner for owner, chunk in enumerate(chunks) for _ in range(chunk.size)]
    own = TreeLevel.over(
        pool,
        [chunk.end for chunk in chunks],
        [start] * len(chunks),
        slots=[chunk.node for chunk in chunks],
        grouping=Grouping.by_node(owners, len(chunks), device),
        causal=True,
    )
    step = TreeStep(
        positions=tensor(columns) + start,
        last_position=start + max(columns),
        pool=pool,
        slots=tensor([chunks[owner].node for owner in owners]),
        columns=tensor(columns),
        levels=[*ancestors, own],
    )
    last = [row for row in range(len(owners)) if row + 1 == len(owners) or owners[row + 1] != owners[row]]
    return tree.forward(tensor(tokens), step, tensor(last))
