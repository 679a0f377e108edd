"""Draws many samples per problem over a tree of prompts: root (few-shot) -> problem -> sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch

from engine.models.decoder import is_supported
from engine.models.model import Model
from engine.models.parallel import Group
from engine.models.shape import BYTES_PER_VALUE
from engine.sampling.memory import BATCH_CPU, BATCH_GPU, free_kv_tokens
from engine.sampling.padded import PaddedRunner
from engine.sampling.paged import PagedRunner
from engine.sampling.run import Run
from engine.sampling.runner import Runner
from engine.sampling.scheduler import Limits
from engine.sampling.types import Request, Sample, SamplingParams, StepStats

OnStep = Callable[[StepStats], None]


class Engine:
    """Runs one model. Not thread-safe: one generate() at a time.

    Keys and values of the root stay warm between calls with the same root, and so do the pools.
    """

    def __init__(
        self,
        model: Model,
        *,
        max_batch: int | None = None,
        kv_budget_tokens: int | None = None,
        paged: bool | None = None,
        group: Group | None = None,
    ) -> None:
        """max_batch: samples drawn at once; kv_budget_tokens: tokens of keys and values held, root included.

        paged: whether to use the fast runner for the Llama family; by default on a GPU. group: the processes
        that share the model (see `parallel`); all make the same calls.
        """
        on_gpu = model.device.type == "cuda"
        self._model = model
        self._max_batch = max_batch or (BATCH_GPU if on_gpu else BATCH_CPU)
        self._group = group or Group()
        self._runner: Runner
        if (on_gpu if paged is None else paged) and is_supported(model.module):
            self._runner = PagedRunner(model, max_batch=self._max_batch, group=self._group)
        else:
            self._runner = PaddedRunner(model, max_batch=self._max_batch)
        fitting = free_kv_tokens(model.device, model.shape, batch=self._max_batch, gpus=self._group.size)
        fitting = self._group.least(fitting)  # all schedule alike
        # Tokens of keys and values that a generate() may hold, root included.
        self.kv_budget = kv_budget_tokens or fitting * BYTES_PER_VALUE // model.dtype.itemsize

    def generate(
        self,
        root: Sequence[int],
        requests: Sequence[Request],
        params: SamplingParams,
        *,
        on_step: OnStep = lambda stats: None,
        cancelled: Callable[[], bool] = lambda: False,
        solved: Callable[[], Mapping[int, int]] = dict,
    ) -> Iterator[Sample]:
        """Yield every requested sample as it finishes.

        Stops at the next step once cancelled() is true; unfinished samples are dropped, and drawing them again
        with the same seed meets the same noise. solved() is asked once a step: {problem: lowest index of a
        sample known to be correct}. Samples above it are dropped; those below are drawn to their end, so that which
        sample is the first correct one never depends on which ends first. How many samples a problem has then
        depends on their outcome, and pass@k from their number is biased (use engine.coverage.first_success_curve).
        Raises ValueError, before any work, for requests that cannot run: a prompt beyond the context or the budget,
        a problem given twice, nothing to start from.
        """
        requests = [request for request in requests if request.indices]
        if not requests:
            return iter(())
        _check_requests(root, requests, self._model.shape.context_length)
        limits = self._limits(root, requests, params)
        limits.check()
        return self._generate(tuple(root), requests, params, limits, on_step, cancelled, solved)

    def _limits(self, root: Sequence[int], requests: Sequence[Request], params: SamplingParams) -> Limits:
        context = self._model.shape.context_length
        return self._runner.limits(
            Limits(
                batch=min(self._max_batch, sum(len(request.indices) for request in requests)),
                kv_tokens=self.kv_budget,
                root_tokens=len(root),
                node_tokens=max(len(request.prompt) for request in requests),
                sample_tokens=min(params.max_tokens, context - len(root)),
                context=context,
                lone_tokens=max((len(each.prompt) for each in requests if len(each.indices) == 1), default=0),
            )
        )

    def _generate(
        self,
        root: tuple[int, ...],
        requests: Sequence[Request],
        params: SamplingParams,
        limits: Limits,
        on_step: OnStep,
        cancelled: Callable[[], bool],
        solved: Callable[[], Mapping[int, int]],
    ) -> Iterator[Sample]:
        def ends() -> bool:
            """All processes that share the model stop at the same step."""
            return self._group.agree(cancelled())

        self._runner.prepare(limits, params)
        computed = self._runner.set_root(root, ends)
        if computed is None:
            return
        if computed:
            on_step(_root_stats(len(root), limits.kv_tokens))
        run = Run(self._model, self._runner, requests, params, limits, solved)
        while not run.done and not ends():
            samples, stats = run.step()
            on_step(stats)
            yield from samples

    def shrink(self) -> int:
        """After an out-of-memory: free what is held and lower the budget by a quarter; returns the new one.

        Call it when the generate() that ran out is gone. What was really held counts, not a budget that a small
        batch never used: otherwise the next try would ask for as much again.
        """
        self.kv_budget = min(self.kv_budget, self._runner.held_tokens or self.kv_budget) * 3 // 4
        self._runner.forget()
        if self._model.device.type == "cuda":
            torch.cuda.empty_cache()
        return self.kv_budget


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
