"""Who runs next: continuous batching in tree order under a budget of key/value tokens. No tensors of a model here."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from engine.sampling.predictor import LengthPredictor
from engine.sampling.types import Request

# Points in time at which a simulated future is summed up.
_MOMENTS = 32
# New samples start when this share of the batch has ended since the last ones did: a few rows idle for a step or two,
# and prompts are computed several at a time.
_TURNOVER = 1 / 64


@dataclass(frozen=True, slots=True)
class Limits:
    """Capacity of one generate() call. Keys and values are held in whole pages."""

    batch: int  # samples that run at once
    kv_tokens: int  # for the root, the open nodes and the running samples together
    root_tokens: int
    node_tokens: int  # longest prompt of a problem
    sample_tokens: int  # longest sample
    context: int  # positions the model has
    lone_tokens: int = 0  # longest prompt of a problem with a single sample
    root_page: int = 1
    node_page: int = 1
    sample_page: int = 1

    def check(self) -> None:
        """Raise ValueError when not even one sample fits."""
        needed = self.root_cost + self.node_cost(self.node_tokens) + _whole(self.sample_tokens, self.sample_page)
        if needed > self.kv_tokens:
            raise ValueError(
                f"one sample needs {needed} key/value tokens (few-shot prefix {self.root_tokens}, problem "
                f"{self.node_tokens}, up to {self.sample_tokens} new) but the budget is {self.kv_tokens}: "
                "shorten the prompt or max_tokens, or raise the budget"
            )

    @property
    def root_cost(self) -> int:
        return _whole(self.root_tokens, self.root_page)

    def node_cost(self, tokens: int) -> int:
        return _whole(tokens, self.node_page)

    def new_tokens(self, request: Request) -> int:
        """Most tokens a sample of the request may have."""
        return min(self.sample_tokens, self.context - self.root_tokens - len(request.prompt))

    @property
    def samples(self) -> int:
        """Samples that can be held at full length at once, at best: all below one problem."""
        room = self.kv_tokens - self.root_cost - self.node_cost(self.node_tokens)
        return min(self.batch, room // _whole(self.sample_tokens, self.sample_page))


def _whole(tokens: int, page: int) -> int:
    return -(-tokens // page) * page


@dataclass(slots=True, eq=False)
class Seat:
    """A running sample and its row of the batch."""

    request: Request
    index: int
    row: int
    limit: int  # tokens after which it ends
    opens: bool  # whether the problem's prompt still has to be computed


class Scheduler:
    """Admits samples problem by problem, so that the samples of a problem run together.

    A sample is admitted when the predicted need of all running samples fits the budget at every later moment. Where
    the prediction was too low, the youngest samples are dropped and drawn again later, with the same noise. A
    problem's node is held from its first sample to its last, or until all its running samples were dropped.
    """

    def __init__(self, requests: Sequence[Request], limits: Limits) -> None:
        self.limits = limits
        self._predictor = LengthPredictor()
        self._queue = deque((request, request.indices) for request in requests)  # with the indices that wait
        self._dropped: deque[tuple[Request, int]] = deque()  # (request, index), oldest first; they go first
        self._waiting = sum(len(request.indices) for request in requests)
        self._unfinished = Counter({request.problem: len(request.indices) for request in requests})
        self._running: Counter[int] = Counter()
        self._nodes: dict[int, int] = {}  # open problem -> tokens its node holds
        self.closed: list[int] = []  # problems whose node was given up; the reader empties it
        self.seats: list[Seat | None] = [None] * limits.batch
        self._free_rows = list(range(limits.batch))
        self._births = 0
        self._ended = limits.batch  # samples since the last admission
        # By row; a free row has 0 drawn tokens.
        self.drawn: NDArray[np.int64] = np.zeros(limits.batch, np.int64)
        self._held: NDArray[np.int64] = np.zeros(limits.batch, np.int64)
        self._limit: NDArray[np.int64] = np.ones(limits.batch, np.int64)
        self._birth: NDArray[np.int64] = np.zeros(limits.batch, np.int64)
        self._problem: NDArray[np.int64] = np.zeros(limits.batch, np.int64)

    # -- what is going on

    @property
    def waiting(self) -> int:
        return self._waiting

    @property
    def running(self) -> int:
        return self.limits.batch - len(self._free_rows)

    @property
    def rows(self) -> int:
        """Rows up to the last one in use."""
        used = np.flatnonzero(self.drawn)
        return int(used[-1]) + 1 if len(used) else 0

    @property
    def done(self) -> bool:
        return not self._waiting and not self.running

    def is_open(self, problem: int) -> bool:
        """Whether the problem's node is held."""
        return problem in self._nodes

    def is_unfinished(self, problem: int) -> bool:
        """Whether samples of the problem run or wait."""
        return self._unfinished[problem] > 0

    @property
    def reserved_tokens(self) -> int:
        return self.limits.root_cost + sum(self._nodes.values()) + int(self._held.sum())

    # -- starting

    def admit(self) -> list[Seat]:
        """All samples that may start now, in tree order."""
        if not self._waiting or (self.running and self._ended < max(1, self.limits.batch * _TURNOVER)):
            return []
        self._ended = 0
        candidates = list(islice(self._upcoming(), len(self._free_rows)))
        count = self._fitting(candidates)
        if not count and not self.running:
            for problem in list(self._nodes):  # an open node that waits for its turn may be what is in the way
                self._close(problem)
            count = self._fitting(candidates)
            assert count, f"nothing runs and nothing fits: {self.limits}, {candidates[0][0].problem}"
        self._take(count)
        return [self._start(request, index) for request, index in candidates[:count]]

    def _upcoming(self) -> Iterator[tuple[Request, int]]:
        yield from self._dropped
        for request, indices in self._queue:
            for index in indices:
                yield request, index

    def _take(self, count: int) -> None:
        self._waiting -= count
        while count and self._dropped:
            self._dropped.popleft()
            count -= 1
        while count:
            request, indices = self._queue.popleft()
            if count < len(indices):
                self._queue.appendleft((request, indices[count:]))
            count -= min(count, len(indices))

    def _start(self, request: Request, index: int) -> Seat:
        row = heapq.heappop(self._free_rows)  # the lowest keeps the rows in use together
        seat = Seat(request, index, row, self.limits.new_tokens(request), opens=not self.is_open(request.problem))
        self._nodes[request.problem] = self.limits.node_cost(len(request.prompt))
        self._running[request.problem] += 1
        self.seats[row] = seat
        self._births += 1
        self.drawn[row], self._limit[row], self._birth[row] = 1, seat.limit, self._births
        self._problem[row] = request.problem
        return seat

    # -- the future

    def _fitting(self, candidates: Sequence[tuple[Request, int]]) -> int:
        """How many of the candidates, first come first, fit the budget for their whole predicted life."""
        if self._peak(candidates) <= self.limits.kv_tokens:
            return len(candidates)
        low, high = 0, len(candidates)  # low fits or is 0, high does not
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._peak(candidates[:middle]) <= self.limits.kv_tokens else (low, middle)
        return low

    def _peak(self, candidates: Sequence[tuple[Request, int]]) -> int:
        """Most tokens held at any later moment when the candidates start now and lengths come as predicted."""
        rows = np.flatnonzero(self.drawn)
        drawn = np.concatenate([self.drawn[rows], np.ones(len(candidates), np.int64)])
        limit = np.concatenate(
            [self._limit[rows], np.array([self.limits.new_tokens(request) for request, _ in candidates], np.int64)]
        )
        left = np.maximum(self._predictor.predict(drawn, limit) - drawn, 0)
        nodes = self._nodes | {request.problem: self.limits.node_cost(len(request.prompt)) for request, _ in candidates}
        problems = np.concatenate(
            [self._problem[rows], np.array([request.problem for request, _ in candidates], np.int64), list(nodes)]
        )
        open_problems, node = np.unique(problems, return_inverse=True)
        node_left = np.zeros(len(open_problems), np.int64)
        np.maximum.at(node_left, node[: len(left)], left)
        node_tokens = np.array([nodes[problem] for problem in open_problems.tolist()])
        return self.limits.root_cost + _peak(drawn, left, self.limits.sample_page, node_tokens, node_left)

    # -- one step

    def grow(self) -> list[Seat]:
        """Hold one more token of every running sample; returns the samples dropped to make room, youngest first."""
        dropped: list[Seat] = []
        page = self.limits.sample_page
        while True:
            held = -(-self.drawn // page) * page
            if self.limits.root_cost + sum(self._nodes.values()) + int(held.sum()) <= self.limits.kv_tokens:
                self._held = held
                return dropped
            dropped.append(self._drop_youngest())

    def _drop_youngest(self) -> Seat:
        used = np.flatnonzero(self.drawn)
        if len(used) < 2:
            raise AssertionError(f"a single sample does not fit: {self.limits}, {self._nodes}")
        seat = self.seats[int(used[self._birth[used].argmax()])]
        assert seat is not None
        self._leave(seat)
        self._dropped.appendleft((seat.request, seat.index))
        self._waiting += 1
        if not self._running[seat.request.problem]:
            self._close(seat.request.problem)
        self._ended = 0  # admit no other before one has ended
        return seat

    def advance(self) -> list[Seat]:
        """A token is being drawn for every running sample; returns those of which it is the last."""
        self.drawn += self.drawn > 0
        return self.at_limit()

    def at_limit(self) -> list[Seat]:
        rows = np.flatnonzero(self.drawn >= self._limit)
        return [seat for row in rows.tolist() if (seat := self.seats[row]) is not None]

    # -- ending

    def finish(self, seat: Seat, tokens: int) -> None:
        """The sample ended with this many tokens; its row is free."""
        self._predictor.observe(tokens / seat.limit)
        self._ended += 1
        self._leave(seat)
        self._count_off(seat.request.problem, 1)

    def solve(self, problem: int, sample: int) -> list[Seat]:
        """Sample ``sample`` solves the problem, so those of a higher index are not needed; returns the running ones."""
        running = [seat for seat in self.seats if seat and seat.request.problem == problem and seat.index > sample]
        for seat in running:
            self._leave(seat)
        before = self._waiting
        self._dropped = deque(each for each in self._dropped if each[0].problem != problem or each[1] <= sample)
        needed = (
            (request, tuple(index for index in indices if index <= sample) if request.problem == problem else indices)
            for request, indices in self._queue
        )
        self._queue = deque(each for each in needed if each[1])
        self._waiting = len(self._dropped) + sum(len(indices) for _, indices in self._queue)
        if needless := len(running) + before - self._waiting:
            self._count_off(problem, needless)
            self._ended = self.limits.batch
        return running

    def _leave(self, seat: Seat) -> None:
        row = seat.row
        assert self.seats[row] is seat, f"{seat} left its row before"
        self.seats[row] = None
        self.drawn[row] = self._held[row] = 0
        self._limit[row] = 1
        heapq.heappush(self._free_rows, row)
        self._running[seat.request.problem] -= 1

    def _count_off(self, problem: int, count: int) -> None:
        self._unfinished[problem] -= count
        assert self._unfinished[problem] >= 0, problem
        if not self._unfinished[problem]:
            del self._unfinished[problem], self._running[problem]
            if problem in self._nodes:
                self._close(problem)

    def _close(self, problem: int) -> None:
        del self._nodes[problem]
        self.closed.append(problem)

    # -- rows

    def gaps(self) -> list[tuple[int, int]]:
        """(from, to) moves of rows that would close all gaps."""
        used, free = np.flatnonzero(self.drawn).tolist(), sorted(self._free_rows)
        return [(source, target) for source, target in zip(reversed(used), free, strict=False) if source > target]

    def move(self, source: int, target: int) -> None:
        seat = self.seats[source]
        assert seat is not None and self.seats[target] is None, (source, target)
        self.seats[target], self.seats[source], seat.row = seat, None, target
        for array in (self.drawn, self._held, self._limit, self._birth, self._problem):
            array[target] = array[source]
        self.drawn[source] = self._held[source] = 0
        self._limit[source] = 1
        self._free_rows[self._free_rows.index(target)] = source
        heapq.heapify(self._free_rows)

    def sanity_check(self) -> None:
        """Assert the invariants; for tests."""
        used = [row for row, seat in enumerate(self.seats) if seat is not None]
        assert sorted([*used, *self._free_rows]) == list(range(self.limits.batch)), (used, self._free_rows)
        assert used == np.flatnonzero(self.drawn).tolist()
        assert self.reserved_tokens <= self.limits.kv_tokens, (self.reserved_tokens, self.limits)
        running = Counter(seat.request.problem for seat in self.seats if seat is not None)
        assert running == +self._running, (running, self._running)
        assert all(problem in self._nodes for problem in running), (running, self._nodes)
        assert sum(self._unfinished.values()) == self._waiting + len(used), (self._unfinished, self._waiting)
        queued = sum(len(indices) for _, indices in self._queue)
        assert self._waiting == len(self._dropped) + queued, (self._waiting, len(self._dropped), queued)


def _peak(
    drawn: NDArray[np.int64],
    left: NDArray[np.int64],
    page: int,
    node_tokens: NDArray[np.int64],
    node_left: NDArray[np.int64],
) -> int:
    """Most tokens held over time by samples that grow by one token a step and end after `left` steps.

    Nodes of `node_tokens` are held for `node_left` steps. The sum is taken just before samples end, at up to
    _MOMENTS of these times; between two ends it only grows.
    """
    ends = np.unique(left)
    if len(ends) > _MOMENTS:
        ends = ends[np.linspace(0, len(ends) - 1, _MOMENTS).astype(np.int64)]
    at = ends[:, None]
    samples = (-(-(drawn + at) // page) * page * (left >= at)).sum(1)
    nodes = (node_tokens * (node_left >= at)).sum(1)
    return int((samples + nodes).max(initial=0))
