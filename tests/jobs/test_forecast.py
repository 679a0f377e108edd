"""When an experiment will be done."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.forecast import Pace, StagePace, eta_seconds, stage_rate


def test_running_shards_add_up() -> None:
    assert stage_rate([Pace(10, 5.0, True), Pace(30, 10.0, True), Pace(1, 100.0, False)]) == pytest.approx(5.0)


def test_a_shard_that_has_not_reported_counts_with_the_mean_rate() -> None:
    assert stage_rate([Pace(20, 10.0, False), Pace(0, 3.0, True), Pace(0, 1.0, True)]) == pytest.approx(4.0)


def test_between_two_shards_the_mean_rate_holds() -> None:
    assert stage_rate([Pace(20, 10.0, False)]) == pytest.approx(2.0)


def test_the_slowest_stage_counts_and_unknown_ones_do_not() -> None:
    fast = StagePace(10, [Pace(10, 1.0, True)])
    slow = StagePace(10, [Pace(1, 1.0, True)])
    assert eta_seconds([fast, slow, StagePace(5, [])]) == pytest.approx(10.0)
    assert eta_seconds([StagePace(5, [])]) is None
    assert eta_seconds([StagePace(0, [Pace(1, 1.0, True)])]) is None


@given(st.integers(1, 8), st.floats(0.1, 100), st.floats(1, 1000), st.integers(1, 10_000))
def test_equal_workers_at_a_constant_rate(workers: int, rate: float, seconds: float, remaining: int) -> None:
    units = max(1, round(rate * seconds))
    paces = [Pace(units, units / rate, True)] * workers
    assert eta_seconds([StagePace(remaining, paces)]) == pytest.approx(remaining / (rate * workers))
