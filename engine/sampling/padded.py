"""The runner for any model: transformers' own layers, with attention routed to the tree over padded pools."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.models.attention import TreeModel
from engine.models.model import Model
from engine.sampling.runner import Chunk, Output, Start, plan_prefill
from engine.sampling.sampler import Sampler
from engine.sampling.scheduler import Limits
from engine.sampling.tree import Grouping, KVPool, TreeLevel, TreeStep
from engine.sampling.types import SamplingParams

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


class PaddedRunner:
    """Every node and every sample holds a slot of its pool as long as the longest; see `runner.Runner`.

    A sample's slot is its row. On a CPU this beats pages: attention reads the pools where they are, as a few
    large blocks. Nothing is queued, so outputs are read at once.
    """

    lag = 0
    dense = True  # attention reads slots 0 .. rows-1

    def __init__(self, model: Model, *, max_batch: int) -> None:
        self._model, self._device = model, model.device
        self._tree = TreeModel(model.module)
        self._sampler = Sampler(model.shape.vocabulary, model.device)
        self._root = Root()
        self._pools: tuple[KVPool, KVPool] | None = None
        self._nodes: dict[int, int] = {}  # problem -> slot
        self._free: list[int] = []
        self._lengths: list[int] = []  # by node slot
        self._logits: dict[int, Tensor] = {}  # problem -> logits after its last token
        self._problems = [0] * max_batch  # by row, as are the next ones
        self._prefixes = np.zeros(max_batch, np.int64)
        self._keys = torch.zeros(max_batch, dtype=torch.int64, device=model.device)
        self._tokens = torch.zeros(max_batch, dtype=torch.int64, device=model.device)
        self._logprobs, self._certainties = torch.zeros(2, max_batch, device=model.device)

    def limits(self, limits: Limits) -> Limits:
        return replace(limits, node_page=max(1, limits.node_tokens), sample_page=limits.sample_tokens)

    def prepare(self, limits: Limits, params: SamplingParams) -> None:
        """Pools of exactly the wanted size; kept when it is the same again."""
        nodes = (limits.kv_tokens - limits.root_tokens) // (limits.node_tokens + limits.sample_tokens)
        nodes = max(1, min(limits.samples, nodes))
        wanted = ((nodes, limits.node_tokens), (limits.samples, limits.sample_tokens))
        if self._pools is None or tuple(pool.size for pool in self._pools) != wanted:
            self._pools = None  # free the old ones first
            shape, dtype = self._model.shape, self._model.dtype
            node_pool, suffix_pool = (KVPool(shape, *size, dtype=dtype, device=self._device) for size in wanted)
            self._pools = node_pool, suffix_pool
        self._nodes, self._logits = {}, {}
        self._free, self._lengths = list(range(nodes)), [0] * nodes
        self._sampler.use(params)

    @property
    def held_tokens(self) -> int:
        pools = sum(slots * capacity for slots, capacity in (pool.size for pool in self._pools or ()))
        return len(self._root.tokens) + pools

    def forget(self) -> None:
        self._root, self._pools = Root(), None

    # -- nodes

    def set_root(self, tokens: tuple[int, ...], cancelled: Callable[[], bool]) -> bool | None:
        if self._root.tokens == tokens:
            return False
        self._root = Root()  # free the old one first
        computed = compute_root(self._model, self._tree, tokens, cancelled)
        if computed is None:
            return None
        self._root = computed
        return True

    def open(self, prompts: Mapping[int, Sequence[int]]) -> None:
        assert self._pools is not None
        by_slot: dict[int, Sequence[int]] = {}
        problems: dict[int, int] = {}
        for problem, prompt in prompts.items():
            # The lowest free slot keeps the occupied range, which attention reads, short.
            slot = self._nodes[problem] = heapq.heappop(self._free)
            by_slot[slot], problems[slot] = prompt, problem
            self._pools[0].clear(slot)
            self._lengths[slot] = len(prompt)
            if self._root.logits is not None:
                self._logits[problem] = self._root.logits  # stays for an empty prompt
        for chunks in plan_prefill([(slot, len(prompt)) for slot, prompt in by_slot.items()], PREFILL_ROWS):
            logits = prefill(
                self._tree,
                self._pools[0],
                chunks,
                by_slot,
                start=len(self._root.tokens),
                ancestors=self._root.levels(),
            )
            self._logits |= {problems[chunk.node]: row for chunk, row in zip(chunks, logits, strict=True)}

    def close(self, problem: int) -> None:
        slot = self._nodes.pop(problem)
        self._lengths[slot] = 0
        heapq.heappush(self._free, slot)
        del self._logits[problem]

    # -- rows

    def start(self, starts: Sequence[Start]) -> None:
        assert self._pools is not None
        for start in starts:
            self._pools[1].clear(start.row)
            self._problems[start.row] = start.problem
            self._prefixes[start.row] = len(self._root.tokens) + self._lengths[self._nodes[start.problem]]
        rows = self._tensor([start.row for start in starts])
        self._keys[rows] = self._tensor([start.key for start in starts])
        logits = torch.stack([self._logits[start.problem] for start in starts])
        self._draw(rows, logits, torch.zeros_like(rows))

    def leave(self, row: int) -> None:
        pass

    def move(self, moves: Sequence[tuple[int, int]]) -> None:
        assert self._pools is not None
        for source, target in moves:
            self._pools[1].move(source, target, self._pools[1].size[1])
            self._problems[target] = self._problems[source]
            for values in (self._prefixes, self._keys, self._tokens):
                values[target] = values[source]

    def bucket(self, rows: int) -> int:
        return rows

    # -- the step

    def decode(self, drawn: NDArray[np.int64]) -> None:
        assert self._pools is not None
        suffixes, rows = self._pools[1], len(drawn)
        lengths, prefixes = drawn.tolist(), self._prefixes[:rows].tolist()
        counts = torch.from_numpy(drawn).to(self._device)
        slots = torch.arange(rows, device=self._device)
        step = TreeStep(
            positions=torch.from_numpy(self._prefixes[:rows] + drawn - 1).to(self._device),
            last_position=max(prefix + length - 1 for prefix, length in zip(prefixes, lengths, strict=True)),
            pool=suffixes,
            slots=slots,
            columns=counts - 1,
            levels=[*self._root.levels(), self._problem_level(rows), TreeLevel.over(suffixes, lengths, prefixes)],
        )
        self._draw(slots, self._tree.forward(self._tokens[:rows], step, slots), counts)

    def _problem_level(self, rows: int) -> TreeLevel:
        # All slots up to the last open one: a closed slot in between costs a little work and no copy.
        nodes = [self._nodes[problem] for problem in self._problems[:rows]]
        count = max(nodes) + 1
        assert self._pools is not None
        return TreeLevel.over(
            self._pools[0],
            self._lengths[:count],
            [len(self._root.tokens)] * count,
            grouping=Grouping.by_node(nodes, count, self._device),
        )

    def _draw(self, rows: Tensor, logits: Tensor, drawn: Tensor) -> None:
        tokens, logprobs, certainties = self._sampler.draw(logits, self._keys[rows], drawn)
        self._tokens[rows], self._logprobs[rows], self._certainties[rows] = tokens, logprobs, certainties

    def collect(self, rows: int) -> Output:
        floats = (self._logprobs[:rows], self._certainties[:rows])
        values = torch.stack([self._tokens[:rows].int(), *(each.view(torch.int32) for each in floats)])
        return Output(values.cpu().numpy(), None)

    def _tensor(self, values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=self._device)


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
