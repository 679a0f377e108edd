"""Who runs next: continuous batching in tree order under a budget of key/value tokens. No tensors here."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from engine.sampling.types import Request


@dataclass(frozen=True, slots=True)
class Limits:
    """Capacity of one generate() call. Pools are padded, so a node or sample costs its pool's capacity."""

    batch: int  # samples that run at once
    kv_tokens: int  # for the root, the open nodes and the running samples together
    root_tokens: int
    node_tokens: int  # held by each open problem
    sample_tokens: int  # held by each running sample

    def check(self) -> None:
        """Raise ValueError when not even one sample fits."""
        needed = self.root_tokens + self.node_tokens + self.sample_tokens
        if needed > self.kv_tokens:
            raise ValueError(
                f"one sample needs {needed} key/value tokens (few-shot prefix {self.root_tokens}, problem "
                f"{self.node_tokens}, up to {self.sample_tokens} new) but the budget is {self.kv_tokens}: "
                "shorten the prompt or max_tokens, or raise the budget"
            )

    @property
    def samples(self) -> int:
        """Samples that can run at once, at best: all below one problem."""
        room = self.kv_tokens - self.root_tokens - self.node_tokens
        return min(self.batch, room // self.sample_tokens)

    @property
    def nodes(self) -> int:
        """Problems that can be open at once, at most."""
        room = (self.kv_tokens - self.root_tokens) // (self.node_tokens + self.sample_tokens)
        return max(1, min(self.samples, room))


@dataclass(frozen=True, slots=True)
class Admission:
    """A sample that starts now."""

    request: Request
    index: int
    node: int  # the problem's slot
    opens: bool  # whether the problem's prompt still has to be computed


class Scheduler:
    """Admits samples problem by problem, so that the samples of a problem run together.

    The worst case of every admitted sample is reserved, so nothing is ever preempted. A problem's node is freed
    with its last sample.
    """

    def __init__(self, requests: Sequence[Request], limits: Limits) -> None:
        self._limits = limits
        self._waiting = deque((request, index) for request in requests for index in request.indices)
        self._unfinished = {request.problem: len(request.indices) for request in requests}
        self._nodes: dict[int, int] = {}  # problem -> node slot
        self._free_nodes = list(range(limits.nodes))
        self._running = 0

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def running(self) -> int:
        return self._running

    def is_open(self, problem: int) -> bool:
        """Whether the problem holds a node."""
        return problem in self._nodes

    @property
    def done(self) -> bool:
        return not self._waiting and not self._running

    @property
    def reserved_tokens(self) -> int:
        limits = self._limits
        return limits.root_tokens + len(self._nodes) * limits.node_tokens + self._running * limits.sample_tokens

    def admit(self) -> list[Admission]:
        """All samples that fit now, in tree order."""
        admitted: list[Admission] = []
        while self._waiting and self._running < self._limits.samples:
            request, index = self._waiting[0]
            opens = request.problem not in self._nodes
            cost = self._limits.sample_tokens + (self._limits.node_tokens if opens else 0)
            if self.reserved_tokens + cost > self._limits.kv_tokens or (opens and not self._free_nodes):
                break
            self._waiting.popleft()
            if opens:
                # The lowest free slot keeps the occupied range, which attention reads, short.
                self._nodes[request.problem] = heapq.heappop(self._free_nodes)
            self._running += 1
            admitted.append(Admission(request, index, self._nodes[request.problem], opens))
        return admitted

    def finish(self, problem: int) -> None:
        """One running sample of the problem ended."""
        self._running -= 1
        self._unfinished[problem] -= 1
        if not self._unfinished[problem]:
            heapq.heappush(self._free_nodes, self._nodes.pop(problem))

    def sanity_check(self) -> None:
        """Assert the invariants; for tests."""
        limits = self._limits
        assert 0 <= self._running <= limits.samples, (self._running, limits)
        assert self.reserved_tokens <= limits.kv_tokens, (self.reserved_tokens, limits)
        slots = sorted([*self._nodes.values(), *self._free_nodes])
        assert slots == list(range(limits.nodes)), slots
        assert sum(self._unfinished.values()) == self.waiting + self.running, self._unfinished
