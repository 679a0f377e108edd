"""The scheduler under random loads, its prediction, and the prefill plan."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.sampling.predictor import LengthPredictor
from engine.sampling.runner import plan_prefill
from engine.sampling.scheduler import Limits, Scheduler, Seat
from engine.sampling.types import Request

LIMITS = Limits(batch=4, kv_tokens=1000, root_tokens=0, node_tokens=1, sample_tokens=10, context=10_000)


class World:
    """Runs a scheduler as the engine does, with samples that end at random, and checks what it does."""

    def __init__(self, requests: list[Request], limits: Limits, dice: random.Random, mean: float) -> None:
        self.scheduler = Scheduler(requests, limits)
        self.dice, self.mean = dice, mean
        self.ended: Counter[tuple[int, int]] = Counter()
        self.lengths: dict[tuple[int, int], int] = {}
        self.order: list[tuple[int, int]] = []
        self.open: set[int] = set()
        self.dropped = 0
        self.solved: dict[int, int] = {}  # problem -> sample

    def step(self) -> None:
        scheduler = self.scheduler
        self.dropped += len(scheduler.grow())
        self._forget_closed()
        scheduler.sanity_check()
        for seat in scheduler.advance():
            self._end(seat)
        admitted = scheduler.admit()
        assert scheduler.running or scheduler.done, "nothing runs although samples wait"
        self._forget_closed()
        for seat in admitted:
            problem = seat.request.problem
            assert seat.opens == (problem not in self.open), "a node was computed twice, or read before it was"
            self.open.add(problem)
            self.order.append((problem, seat.index))
            # The same sample has the same length when it is drawn again.
            # Long and short problems come in turn, so that a prediction from the last ones is often wrong.
            mean = self.mean * (9 if problem // 5 % 2 else 1)
            self.lengths.setdefault((problem, seat.index), 1 + int(self.dice.expovariate(1 / mean)))
        for seat in scheduler.at_limit():
            self._end(seat)
        scheduler.sanity_check()
        for seat in list(scheduler.seats):
            if seat and scheduler.drawn[seat.row] >= self.lengths[seat.request.problem, seat.index]:
                self._end(seat)
        for source, target in scheduler.gaps() if self.dice.random() < 0.1 else []:
            scheduler.move(source, target)
        scheduler.sanity_check()

    def solve(self, problem: int, sample: int) -> None:
        running = self.scheduler.solve(problem, sample)
        self.solved[problem] = min(sample, self.solved.get(problem, sample))
        assert all(seat.request.problem == problem and seat.index > sample for seat in running)
        self._forget_closed()
        self.scheduler.sanity_check()

    def _end(self, seat: Seat) -> None:
        self.ended[seat.request.problem, seat.index] += 1
        self.scheduler.finish(seat, int(self.scheduler.drawn[seat.row]))
        self._forget_closed()

    def _forget_closed(self) -> None:
        for problem in self.scheduler.closed:
            self.open.remove(problem)
        self.scheduler.closed.clear()


@st.composite
def loads(draw: st.DrawFn) -> tuple[list[Request], Limits]:
    counts = draw(st.lists(st.integers(1, 9), min_size=1, max_size=7))
    requests = [
        Request(10 + p, tuple(range(draw(st.integers(0, 9)))), tuple(range(count))) for p, count in enumerate(counts)
    ]
    limits = Limits(
        batch=draw(st.integers(1, 8)),
        kv_tokens=0,
        root_tokens=draw(st.integers(0, 9)),
        node_tokens=max(len(request.prompt) for request in requests),
        sample_tokens=draw(st.integers(1, 12)),
        context=40,
        root_page=draw(st.sampled_from([1, 4])),
        node_page=draw(st.sampled_from([1, 4, 16])),
        sample_page=draw(st.sampled_from([1, 4, 16])),
    )
    least = limits.root_cost + limits.node_cost(limits.node_tokens) + 16
    return requests, replace(limits, kv_tokens=least + draw(st.integers(0, 90)))


@given(loads(), st.integers(0, 99), st.floats(1, 12))
@settings(max_examples=150, deadline=None)
def test_every_sample_ends_once_and_nothing_leaks(load: tuple[list[Request], Limits], seed: int, mean: float) -> None:
    requests, limits = load
    limits.check()
    world = World(requests, limits, random.Random(seed), mean)
    for _ in range(10_000):
        if world.scheduler.done:
            break
        world.step()
    assert world.ended == Counter((request.problem, index) for request in requests for index in request.indices)
    assert world.scheduler.reserved_tokens == limits.root_cost and not world.open
    if not world.dropped:
        assert world.order == [(request.problem, index) for request in requests for index in request.indices]


def test_ten_thousand_steps_under_pressure() -> None:
    """Many problems, too little memory, lengths that vary: samples are dropped and redrawn, problems get solved."""
    dice = random.Random(4)
    requests = [Request(p, tuple(range(dice.randint(0, 60))), tuple(range(dice.randint(1, 90)))) for p in range(80)]
    limits = replace(LIMITS, batch=48, kv_tokens=1400, root_tokens=70, root_page=16, node_page=16, sample_page=16)
    world = World(requests, replace(limits, node_tokens=60, sample_tokens=200), dice, mean=20.0)
    steps = 0
    while not world.scheduler.done:
        world.step()
        steps += 1
        if dice.random() < 0.003:
            open_problems = sorted(world.open)
            world.solve(dice.choice(open_problems), dice.randint(0, 60))
    assert steps > 10_000 and world.dropped > 30 and len(world.solved) > 10
    assert set(world.ended.values()) == {1}
    for request in requests:
        last = world.solved.get(request.problem, max(request.indices))
        assert all((request.problem, index) in world.ended for index in request.indices if index <= last)
    assert world.scheduler.reserved_tokens == limits.root_cost and not world.open


def test_ten_thousand_samples_of_one_problem_run_below_one_node() -> None:
    world = World([Request(0, (1,) * 50, tuple(range(10_000)))], replace(LIMITS, batch=512), random.Random(0), 8.0)
    while not world.scheduler.done:
        world.step()
        assert world.scheduler.reserved_tokens <= 1000
    assert len(world.ended) == 10_000


def test_a_solved_problem_leaves_at_once() -> None:
    scheduler = Scheduler([Request(p, (1,), tuple(range(6))) for p in range(2)], LIMITS)
    scheduler.admit()
    running = scheduler.solve(0, -1)
    assert (len(running), scheduler.waiting, scheduler.running) == (4, 6, 0)
    assert scheduler.closed == [0]
    assert {seat.request.problem for seat in scheduler.admit()} == {1}


def test_a_budget_for_no_sample_is_refused_with_the_numbers() -> None:
    with pytest.raises(ValueError, match=r"needs 160 .* the budget is 159"):
        Limits(batch=4, kv_tokens=159, root_tokens=100, node_tokens=20, sample_tokens=40, context=1000).check()


def test_a_full_batch_is_of_one_problem() -> None:
    """Tree order: samples of a problem run together, the next problem fills what is left."""
    scheduler = Scheduler([Request(p, (1,), tuple(range(3))) for p in range(3)], LIMITS)
    assert [(seat.request.problem, seat.index) for seat in scheduler.admit()] == [(0, 0), (0, 1), (0, 2), (1, 0)]


def test_short_samples_let_more_run_than_the_worst_case_would() -> None:
    """Once lengths are known, 1,000 tokens hold more than 1000 / 100 samples of at most 100."""
    limits = replace(LIMITS, batch=64, sample_tokens=100)
    world = World([Request(0, (), tuple(range(2000)))], limits, random.Random(2), mean=10.0)
    most = 0
    while not world.scheduler.done:
        world.step()
        most = max(most, world.scheduler.running)
    assert most > 2 * limits.samples


def test_prediction_is_the_mean_of_longer_samples_and_a_margin() -> None:
    predictor = LengthPredictor()
    drawn, limit = np.array([1, 60, 95]), np.array([100, 100, 100])
    assert predictor.predict(drawn, limit).tolist() == [100, 100, 100]
    shares = [0.1] * 20 + [0.5] * 10 + [0.9] * 10
    for share in shares:
        predictor.observe(share)
    expected = np.mean(shares) + 0.25 * np.std(shares)
    # Past 0.5 only the ten of 0.9 are left; past all of them the limit is assumed.
    assert predictor.predict(drawn, limit).tolist() == [int(np.ceil(expected * 100)), 90, 100]


@given(st.lists(st.integers(0, 40), max_size=12), st.integers(1, 16))
def test_prefill_plan_covers_every_token_once_in_order(lengths: list[int], limit: int) -> None:
    batches = list(plan_prefill(list(enumerate(lengths)), limit))
    assert all(0 < sum(chunk.size for chunk in batch) <= limit for batch in batches)
    assert all(len({chunk.node for chunk in batch}) == len(batch) for batch in batches)
    covered: dict[int, int] = dict.fromkeys(range(len(lengths)), 0)
    for chunk in (chunk for batch in batches for chunk in batch):
        assert chunk.begin == covered[chunk.node]
        covered[chunk.node] = chunk.end
    assert covered == dict(enumerate(lengths))
