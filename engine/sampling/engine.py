"""Draws many samples per problem over a tree of prompts: root (few-shot) -> problem -> sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from engine.sampling.attention import TreeModel
from engine.sampling.memory import BATCH_CPU, BATCH_GPU, free_kv_tokens
from engine.sampling.model import Model
from engine.sampling.nodes import Root, compute_root
from engine.sampling.pool import KVPool
from engine.sampling.run import Run
from engine.sampling.sampler import Sampler
from engine.sampling.scheduler import Limits
from engine.sampling.shape import BYTES_PER_VALUE
from engine.sampling.types import Request, Sample, SamplingParams, StepStats


class Engine:
    """Runs one model. Not thread-safe: one generate() at a time.

    Keys and values of the root stay warm between calls with the same root, and so do the pools.
    """

    def __init__(self, model: Model, *, max_batch: int | None = None, kv_budget_tokens: int | None = None) -> None:
        """max_batch: samples drawn at once; kv_budget_tokens: tokens of keys and values held, root included."""
        device = model.device
        self._model = model
        self._tree = TreeModel(model.module)
        self._sampler = Sampler(model.shape.vocabulary, device)
        self._max_batch = max_batch or (BATCH_GPU if device.type == "cuda" else BATCH_CPU)
        self._budget = kv_budget_tokens or free_kv_tokens(device, model.shape) * BYTES_PER_VALUE // model.dtype.itemsize
        self._root = Root()
        self._pools: tuple[KVPool, KVPool] | None = None

    def generate(
        self,
        root: Sequence[int],
        requests: Sequence[Request],
        params: SamplingParams,
        *,
        on_step: Callable[[StepStats], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[Sample]:
        """Yield every requested sample as it finishes.

        Stops at the next step once cancelled() is true; unfinished samples are dropped, and drawing them again
        with the same seed meets the same noise. Raises ValueError, before any work, for requests that cannot
        run: a prompt beyond the context or the budget, a problem given twice, nothing to start from.
        """
        requests = [request for request in requests if request.indices]
        if not requests:
            return iter(())
        _check_requests(root, requests, self._model.shape.context_length)
        limits = self._limits(root, requests, params)
        return self._generate(tuple(root), requests, params, limits, on_step or _ignore, cancelled or _never)

    @property
    def kv_budget(self) -> int:
        """Tokens of keys and values that a generate() may hold, root included."""
        return self._budget

    @kv_budget.setter
    def kv_budget(self, tokens: int) -> None:
        self._budget = tokens

    def shrink(self) -> int:
        """After an out-of-memory: free what is held and lower the budget by a quarter; returns the new one.

        Call it when the generate() that ran out is gone. What the pools really took counts, not a budget that a
        small batch never used: otherwise the next try would ask for as much again.
        """
        held = sum(slots * capacity for slots, capacity in (pool.size for pool in self._pools or ()))
        self._budget = (min(self._budget, len(self._root.tokens) + held) if held else self._budget) * 3 // 4
        self._pools, self._root = None, Root()
        if self._model.device.type == "cuda":
            torch.cuda.empty_cache()
        return self._budget

    def _limits(self, root: Sequence[int], requests: Sequence[Request], params: SamplingParams) -> Limits:
        limits = Limits(
            batch=min(self._max_batch, sum(len(request.indices) for request in requests)),
            kv_tokens=self._budget,
            root_tokens=len(root),
            node_tokens=max(len(request.prompt) for request in requests),
            sample_tokens=min(params.max_tokens, self._model.shape.context_length - len(root)),
        )
        limits.check()
        return limits

    def _generate(
        self,
        root: tuple[int, ...],
        requests: Sequence[Request],
        params: SamplingParams,
        limits: Limits,
        on_step: Callable[[StepStats], None],
        cancelled: Callable[[], bool],
    ) -> Iterator[Sample]:
        if self._root.tokens != root:
            self._root = Root()  # free the old one first
            computed = compute_root(self._model, self._tree, root, cancelled)
            if computed is None:
                return
            self._root = computed
            on_step(_root_stats(len(root), limits.kv_tokens))
        nodes, suffixes = self._make_pools(limits)
        run = Run(self._model, self._tree, self._sampler, self._root, nodes, suffixes, requests, params, limits)
        while not run.done and not cancelled():
            samples, stats = run.step()
            on_step(stats)
            yield from samples

    def _make_pools(self, limits: Limits) -> tuple[KVPool, KVPool]:
        """Pools for problems and for samples, of exactly the wanted size; kept when it is the same again."""
        wanted = ((limits.nodes, limits.node_tokens), (limits.samples, limits.sample_tokens))
        if self._pools is None or tuple(pool.size for pool in self._pools) != wanted:
            self._pools = None  # free the old ones first
            shape, dtype, device = self._model.shape, self._model.dtype, self._model.device
            nodes, suffixes = (KVPool(shape, *size, dtype=dtype, device=device) for size in wanted)
            self._pools = nodes, suffixes
        return self._pools


def _check_requests(root: Sequence[int], requests: Sequence[Request], context: int) -> None:
    problems = [request.problem for request in requests]
    if len(set(problems)) != len(problems):
        raise ValueError("a problem may appear in one request only: put all its sample indices there")
    for request in requests:
        length = len(root) + len(request.prompt)
        if length == 0:
            raise ValueError(f"problem {request.problem} has no prompt token to start from")
        if length >= context:
            raise ValueError(
                f"the prompt of problem {request.problem} has {length} tokens, but the model's context is "
                f"{context}: use fewer few-shot examples or a shorter question"
            )


def _root_stats(tokens: int, budget: int) -> StepStats:
    return StepStats(
        new_tokens=0, prefill_tokens=tokens, batch=0, kv_tokens=tokens, path_tokens=tokens, kv_budget=budget, waiting=0
    )


def _ignore(stats: StepStats) -> None:
    pass


def _never() -> bool:
    return False
