from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.coverage import compare_curves, coverage_curve, pass_at_k

KS = [1, 4, 16, 40]
CASES = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=2, max_size=20)


@given(CASES)
@settings(max_examples=30, deadline=None)
def test_swapping_the_experiments_turns_the_difference_round(pairs: list[tuple[int, int]]) -> None:
    first, second = np.array(pairs).T
    n = np.full(len(pairs), 12)
    one, other = (compare_curves(n, a, n, b, flips=200) for a, b in ((first, second), (second, first)))
    np.testing.assert_allclose(one.difference, -other.difference)
    np.testing.assert_allclose(one.lo, -other.hi)
    np.testing.assert_allclose(one.p_value, other.p_value)
    np.testing.assert_allclose(one.per_problem.lo, -other.per_problem.hi)
    assert np.all((one.lo <= one.difference) & (one.difference <= one.hi))
    assert np.all((one.p_value > 0) & (one.p_value <= 1))


def test_the_difference_is_that_of_the_two_curves() -> None:
    n = np.array([20, 30, 25])
    compared = compare_curves(n, [1, 5, 25], n + 10, [4, 4, 4], [1, 10, 20])
    expected = (
        coverage_curve(n, [1, 5, 25], [1, 10, 20]).coverage - coverage_curve(n + 10, [4, 4, 4], [1, 10, 20]).coverage
    )
    np.testing.assert_allclose(compared.difference, expected)


def test_p_is_the_share_of_all_sign_flips() -> None:
    """All 2^8 swaps by hand; Monte Carlo error at 20,000 flips is below 0.01."""
    n, first, second = np.full(8, 10), np.array([9, 7, 3, 5, 8, 2, 4, 6]), np.array([5, 6, 3, 1, 7, 3, 2, 5])
    gaps = pass_at_k(n, first, 3) - pass_at_k(n, second, 3)
    sums = np.abs([np.dot(signs, gaps) for signs in product([-1, 1], repeat=8)])
    exact = np.mean(sums >= abs(gaps.sum()) - 1e-12)
    assert compare_curves(n, first, n, second, [3], flips=20_000).p_value[0] == pytest.approx(exact, abs=0.01)


def test_bands_cover_and_the_test_keeps_its_level_when_nothing_differs() -> None:
    random = np.random.default_rng(2)
    repeats, problems, n = 250, 60, np.full(60, 40)
    covered, rejected, overall = np.zeros(4), np.zeros(4), 0
    for repeat in range(repeats):
        p, q = random.beta(0.35, 0.65, problems), random.beta(0.35, 0.65, problems)
        q = np.where(random.random(problems) < 0.5, p, q)  # half of the problems are equally hard for both
        compared = compare_curves(n, random.binomial(n, p), n, random.binomial(n, q), KS, flips=300, seed=repeat)
        covered += (compared.lo <= 0) & (compared.hi >= 0)
        rejected += compared.p_value < 0.05
        overall += compared.p_overall < 0.05
    assert np.all(covered / repeats > 0.92), covered / repeats
    assert np.all(rejected / repeats < 0.09), rejected / repeats
    assert overall / repeats < 0.09


def test_pairing_finds_a_difference_that_two_bands_hide() -> None:
    random = np.random.default_rng(3)
    p = random.beta(0.5, 0.5, 120)
    n = np.full(120, 200)
    compared = compare_curves(n, random.binomial(200, np.clip(p + 0.04, 0, 1)), n, random.binomial(200, p), [1])
    assert compared.first.lo[0] < compared.second.hi[0]  # the bands overlap
    assert compared.lo[0] > 0 and compared.p_value[0] < 0.01


def test_per_problem_interval_is_newcombes() -> None:
    """Newcombe 1998, table II: 56/70 - 48/80 -> 0.0524 to 0.3339 by method 10."""
    found = compare_curves([70], [56], [80], [48], [1]).per_problem
    assert found.lo[0] == pytest.approx(0.0524, abs=1e-4)
    assert found.hi[0] == pytest.approx(0.3339, abs=1e-4)


def test_it_refuses_different_problems() -> None:
    with pytest.raises(ValueError, match="same problems"):
        compare_curves([4, 4], [1, 1], [4], [1])
