"""Which team is served next."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from jobs.fairness import Claimant, choose

START = datetime(2026, 1, 1, tzinfo=UTC)


def claimant(team: int, **changes: object) -> Claimant:
    return replace(Claimant(team, priority=5, running=0, last_served=None, oldest=START), **changes)  # type: ignore[arg-type]


def test_nobody_waits() -> None:
    assert choose([]) is None


def test_priority_comes_before_fairness() -> None:
    assert choose([claimant(1), claimant(2, priority=9, running=7)]) == claimant(2, priority=9, running=7)


def test_fewest_running_then_longest_unserved_then_oldest() -> None:
    later = START + timedelta(hours=1)
    assert choose([claimant(1, running=2), claimant(2, running=1, oldest=later)]).team_id == 2  # type: ignore[union-attr]
    assert choose([claimant(1, last_served=later), claimant(2, last_served=START, oldest=later)]).team_id == 2  # type: ignore[union-attr]
    assert choose([claimant(1, oldest=later), claimant(2)]).team_id == 2  # type: ignore[union-attr]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=5), st.integers(1, 4))
def test_teams_with_work_left_get_equal_shares(queued: list[int], workers: int) -> None:
    """Whatever each team has queued, at any time the numbers served differ by at most one between teams that still
    wait: shards of equal length, a fixed number of workers."""
    left = dict(enumerate(queued))
    served: Counter[int] = Counter()
    last: dict[int, datetime] = {}
    running: list[int] = []
    for step in range(sum(queued)):
        if len(running) == workers:
            running.pop(0)
        now = START + timedelta(seconds=step)
        waiting = [t for t, n in left.items() if n]
        best = choose(claimant(t, running=running.count(t), last_served=last.get(t)) for t in waiting)
        assert best is not None
        team = best.team_id
        left[team] -= 1
        served[team] += 1
        last[team] = now
        running.append(team)
        assert served[team] <= min(served[t] for t in waiting) + 1
