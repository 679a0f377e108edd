"""The scheduler under random loads, and the prefill plan."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.sampling.prefill import plan_prefill
from engine.sampling.scheduler import Limits, Scheduler
from engine.sampling.types import Request


@st.composite
def loads(draw: st.DrawFn) -> tuple[list[Request], Limits, int]:
    counts = draw(st.lists(st.integers(1, 9), min_size=1, max_size=7))
    requests = [Request(10 + p, (1, 2), tuple(range(count))) for p, count in enumerate(counts)]
    root, node, sample = draw(st.integers(0, 9)), draw(st.integers(0, 9)), draw(st.integers(1, 9))
    spare = draw(st.integers(0, 60))
    return (
        requests,
        Limits(draw(st.integers(1, 8)), root + node + sample + spare, root, node, sample),
        draw(st.integers(0, 99)),
    )


@given(loads())
@settings(max_examples=150, deadline=None)
def test_every_sample_runs_once_and_nothing_leaks(load: tuple[list[Request], Limits, int]) -> None:
    requests, limits, seed = load
    dice = random.Random(seed)
    limits.check()
    scheduler = Scheduler(requests, limits)
    running: list[tuple[int, int]] = []
    order: list[tuple[int, int]] = []
    node_of: dict[int, int] = {}
    while not scheduler.done:
        admitted = scheduler.admit()
        scheduler.sanity_check()
        for each in admitted:
            problem = each.request.problem
            assert each.opens == (problem not in node_of)
            node_of.setdefault(problem, each.node)
            assert node_of[problem] == each.node
            running.append((problem, each.index))
            order.append((problem, each.index))
        assert len(set(node_of.values())) == len(node_of), "two open problems share a slot"
        assert running, "nothing runs although samples wait"
        for _ in range(dice.randint(1, len(running))):
            problem, _ = running.pop(dice.randrange(len(running)))
            scheduler.finish(problem)
            scheduler.sanity_check()
            if not scheduler.is_open(problem):
                del node_of[problem]
    assert order == [(request.problem, index) for request in requests for index in request.indices]
    assert scheduler.reserved_tokens == limits.root_tokens and not node_of


def test_a_budget_for_no_sample_is_refused_with_the_numbers() -> None:
    with pytest.raises(ValueError, match=r"needs 160 .* the budget is 159"):
        Limits(batch=4, kv_tokens=159, root_tokens=100, node_tokens=20, sample_tokens=40).check()


def test_a_full_batch_is_of_one_problem() -> None:
    """Tree order: samples of a problem run together, the next problem fills what is left."""
    scheduler = Scheduler([Request(p, (1,), tuple(range(3))) for p in range(3)], Limits(4, 1000, 0, 1, 10))
    assert [(each.request.problem, each.index) for each in scheduler.admit()] == [(0, 0), (0, 1), (0, 2), (1, 0)]


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
