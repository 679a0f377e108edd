"""One generate() call: admit -> prefill -> first tokens -> decode -> finish, step after step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from engine.sampling.attention import TreeModel
from engine.sampling.model import Model
from engine.sampling.nodes import PREFILL_ROWS, Root, prefill
from engine.sampling.pool import KVPool
from engine.sampling.prefill import plan_prefill
from engine.sampling.sampler import Sampler
from engine.sampling.scheduler import Admission, Limits, Scheduler
from engine.sampling.seeds import sample_key
from engine.sampling.stopper import Stopper
from engine.sampling.tree import Grouping, TreeLevel, TreeStep
from engine.sampling.types import Finish, Request, Sample, SamplingParams, StepStats


@dataclass(slots=True)
class _Running:
    """A sample being drawn. Its place in the batch is its slot in the suffix pool."""

    request: Request
    index: int
    node: int  # the problem's slot
    key: int
    prefix: int  # tokens before its own first one
    max_tokens: int
    stopper: Stopper
    tokens: list[int] = field(default_factory=list)
    logprob: float = 0.0


class Run:
    """State of one call. The pools and the root belong to the engine."""

    def __init__(
        self,
        model: Model,
        tree: TreeModel,
        sampler: Sampler,
        root: Root,
        nodes: KVPool,
        suffixes: KVPool,
        requests: Sequence[Request],
        params: SamplingParams,
        limits: Limits,
    ) -> None:
        self._model, self._tree, self._sampler, self._root = model, tree, sampler, root
        self._nodes, self._suffixes = nodes, suffixes
        self._kv_budget = limits.kv_tokens
        self._params = params
        self._scheduler = Scheduler(requests, limits)
        self._batch: list[_Running] = []
        self._node_lengths = [0] * limits.nodes
        self._node_logits: dict[int, Tensor] = {}  # slot -> logits after the problem's last token
        self._counts = {"new": 0, "prefill": 0}

    @property
    def done(self) -> bool:
        return self._scheduler.done

    def step(self) -> tuple[list[Sample], StepStats]:
        """Fill free places, draw one token for every running sample; returns the samples that ended."""
        self._counts = {"new": 0, "prefill": 0}
        finished = self._admit()
        took_part = len(self._batch) + len(finished)
        if self._batch:
            finished += self._decode()
        return finished, StepStats(
            new_tokens=self._counts["new"],
            prefill_tokens=self._counts["prefill"],
            batch=took_part,
            kv_tokens=self._kv_tokens(),
            path_tokens=sum(running.prefix + len(running.tokens) for running in self._batch),
            kv_budget=self._kv_budget,
            waiting=self._scheduler.waiting,
        )

    def _kv_tokens(self) -> int:
        open_nodes = sum(self._node_lengths[node] for node in self._node_logits)
        return len(self._root.tokens) + open_nodes + sum(len(running.tokens) for running in self._batch)

    # -- starting samples

    def _admit(self) -> list[Sample]:
        """Start every sample that fits; all samples of a problem draw their first token from its last logits."""
        admitted = self._scheduler.admit()
        if not admitted:
            return []
        self._open_nodes([admission for admission in admitted if admission.opens])
        first = len(self._batch)
        for admission in admitted:
            self._suffixes.clear(len(self._batch))
            self._batch.append(self._start(admission))
        logits = torch.stack([self._node_logits[admission.node] for admission in admitted])
        return self._draw(logits, first)

    def _open_nodes(self, opening: Sequence[Admission]) -> None:
        prompts: dict[int, Sequence[int]] = {each.node: each.request.prompt for each in opening}
        for node, prompt in prompts.items():
            self._nodes.clear(node)
            self._node_lengths[node] = len(prompt)
            if self._root.logits is not None:
                self._node_logits[node] = self._root.logits  # stays for an empty prompt
        for chunks in plan_prefill([(node, len(prompt)) for node, prompt in prompts.items()], PREFILL_ROWS):
            logits = prefill(
                self._tree,
                self._nodes,
                chunks,
                prompts,
                start=len(self._root.tokens),
                ancestors=self._root.levels(),
            )
            self._node_logits |= {chunk.node: row for chunk, row in zip(chunks, logits, strict=True)}
            self._counts["prefill"] += sum(chunk.size for chunk in chunks)

    def _start(self, admission: Admission) -> _Running:
        request, params = admission.request, self._params
        prefix = len(self._root.tokens) + len(request.prompt)
        return _Running(
            request=request,
            index=admission.index,
            node=admission.node,
            key=sample_key(params.seed, request.problem, admission.index),
            prefix=prefix,
            max_tokens=min(params.max_tokens, self._model.shape.context_length - prefix),
            stopper=Stopper(self._model.tokenizer.backend_tokenizer, params.stop),
        )

    # -- one token for all

    def _decode(self) -> list[Sample]:
        batch = self._batch
        lengths = [len(running.tokens) for running in batch]
        columns = self._tensor(lengths) - 1
        prefixes = [running.prefix for running in batch]
        step = TreeStep(
            positions=self._tensor(prefixes) + columns,
            last_position=max(prefix + length - 1 for prefix, length in zip(prefixes, lengths, strict=True)),
            pool=self._suffixes,
            slots=torch.arange(len(batch), device=columns.device),
            columns=columns,
            levels=[*self._root.levels(), self._problem_level(), TreeLevel.over(self._suffixes, lengths, prefixes)],
        )
        tokens = self._tensor([running.tokens[-1] for running in batch])
        return self._draw(self._tree.forward(tokens, step, step.slots), 0)

    def _problem_level(self) -> TreeLevel:
        # All slots up to the last open one: a closed slot in between costs a little work and no copy.
        count = max(running.node for running in self._batch) + 1
        return TreeLevel.over(
            self._nodes,
            self._node_lengths[:count],
            [len(self._root.tokens)] * count,
            grouping=Grouping.by_node([running.node for running in self._batch], count, self._model.device),
        )

    def _draw(self, logits: Tensor, first: int) -> list[Sample]:
        """Draw a token for each running sample from place `first` on; take out those that end with it."""
        drawing = self._batch[first:]
        tokens, logprobs = self._sampler.draw(
            logits,
            self._tensor([running.key for running in drawing]),
            self._tensor([len(running.tokens) for running in drawing]),
            self._params,
        )
        self._counts["new"] += len(drawing)
        finished: list[tuple[int, Sample]] = []
        for place, (token, logprob) in enumerate(zip(tokens.tolist(), logprobs.tolist(), strict=True), first):
            running = self._batch[place]
            running.tokens.append(token)
            running.logprob += logprob
            ended = self._ending(running, token)
            if ended is not None:
                finished.append((place, _sample(running, *ended)))
        for place, _ in reversed(finished):
            self._remove(place)
        return [sample for _, sample in finished]

    # -- ending samples

    def _ending(self, running: _Running, token: int) -> tuple[str, Finish] | None:
        """(text, reason) when the sample ends with this token."""
        if token in self._model.eos_ids:
            return self._text(running.tokens), "eos"
        before_stop = running.stopper.feed(token)
        if before_stop is not None:
            return before_stop, "stop"
        if len(running.tokens) == running.max_tokens:
            return self._text(running.tokens), "length"
        return None

    def _text(self, tokens: list[int]) -> str:
        return str(self._model.tokenizer.backend_tokenizer.decode(tokens, skip_special_tokens=True))

    def _remove(self, place: int) -> None:
        """Close the gap with the last sample of the batch: attention reads slots 0 .. batch-1."""
        gone = self._batch[place]
        last = self._batch.pop()
        if last is not gone:
            self._suffixes.move(len(self._batch), place, len(last.tokens))
            self._batch[place] = last
        self._scheduler.finish(gone.request.problem)
        if not self._scheduler.is_open(gone.request.problem):
            del self._node_logits[gone.node]
            self._node_lengths[gone.node] = 0

    def _tensor(self, values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=self._model.device)


def _sample(running: _Running, text: str, finish: Finish) -> Sample:
    return Sample(
        problem=running.request.problem,
        index=running.index,
        text=text,
        token_ids=tuple(running.tokens),
        logprob=running.logprob,
        finish=finish,
        seed=running.key,
    )
