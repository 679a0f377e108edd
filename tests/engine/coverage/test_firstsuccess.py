"""Curves from samples that end with the first correct one, against enumeration, likelihood and simulation."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from engine.coverage import first_success, first_success_curve, pass_at_k


def stopped(p: float, budget: int) -> list[tuple[float, int, int]]:
    """(chance, samples drawn, T) of every way a problem can go that stops when solved; T is 0 where it is not."""
    ways = []
    for outcomes in product([False, True], repeat=budget):
        chance = prod(p if right else 1 - p for right in outcomes)
        tries = outcomes.index(True) + 1 if True in outcomes else 0
        ways.append((chance, tries or budget, tries))
    return ways


@pytest.mark.parametrize("p", [0.03, 0.3, 0.8])
def test_it_is_unbiased_where_the_usual_estimate_is_not(p: float) -> None:
    """The expectation over all outcomes of 6 samples is 1 - (1 - p)^k; of pass_at_k at k = 1 it is far too large."""
    ways = stopped(p, 6)
    for k in range(1, 7):
        expected = sum(chance * first_success_curve([tries], 6, [k]).coverage[0] for chance, _, tries in ways)
        assert expected == pytest.approx(1 - (1 - p) ** k)
    usual = sum(chance * float(pass_at_k(n, int(tries > 0), 1)) for chance, n, tries in ways)
    assert usual > 1.1 * p


@given(st.lists(st.integers(0, 12), min_size=1, max_size=30), st.integers(1, 12))
def test_the_curve_is_the_share_solved_within_k(tries: list[int], budget: int) -> None:
    curve = first_success_curve(tries, budget, range(1, 15))
    for k, coverage, problems in zip(curve.k, curve.coverage, curve.problems, strict=True):
        if k > budget:
            assert np.isnan(coverage) and problems == 0
        else:
            assert coverage == pytest.approx(sum(0 < each <= k for each in tries) / len(tries))
            assert problems == len(tries)
    known = curve.k <= budget
    lo, coverage, hi = curve.lo[known], curve.coverage[known], curve.hi[known]
    assert np.all((lo >= 0) & (lo <= coverage) & (coverage <= hi) & (hi <= 1))


def test_by_default_it_goes_up_to_the_budget_and_is_empty_without_problems() -> None:
    assert first_success_curve([3, 0], 5).k.tolist()[::3] == [1, 5]
    assert first_success_curve([], 5).k.size == 0 and first_success_curve([3], 0).k.size == 0
    with pytest.raises(ValueError, match="0 where no sample was correct"):
        first_success_curve([-1], 5)


def test_its_band_covers_the_truth_of_new_problems() -> None:
    """40 problems with chances from a beta law, 200 times: the 95% band holds the law's coverage at k = 4."""
    random = np.random.default_rng(5)
    truth = float(np.mean(1 - (1 - random.beta(0.5, 2, 200_000)) ** 4))
    inside = 0
    for _ in range(200):
        tries = random.geometric(np.maximum(random.beta(0.5, 2, 40), 1e-9))
        curve = first_success_curve(np.where(tries > 16, 0, tries), 16, [4])
        inside += bool(curve.lo[0] <= truth <= curve.hi[0])
    assert 0.92 <= inside / 200 <= 0.99


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.integers(1, 9))
def test_samples_per_solved_problem_is_the_likeliest_censored_geometric(tries: list[int], budget: int) -> None:
    found = first_success(tries, budget)
    assert found is not None
    solved = [each for each in tries if 0 < each <= budget]
    assert found.mean == pytest.approx((sum(solved) + budget * (len(tries) - len(solved))) / len(tries))
    if not solved:
        assert found.per_solved is None
        return

    def log_loss(p: float) -> float:
        """Minus the log-likelihood: p (1 - p)^(T - 1) where T is seen, (1 - p)^N where it is cut off."""
        wrong = sum(each - 1 for each in solved) + budget * (len(tries) - len(solved))
        return -float(len(solved) * np.log(p) + wrong * np.log1p(-p))

    best = minimize_scalar(log_loss, bounds=(1e-9, 1 - 1e-9), method="bounded", options={"xatol": 1e-10})
    assert found.per_solved == pytest.approx(1 / best.x, rel=1e-4)


def test_the_mean_has_a_band_and_none_for_a_single_problem() -> None:
    found = first_success([1, 2, 0, 4], 8)
    assert found is not None and found.lo is not None and found.hi is not None
    assert 1 <= found.lo < found.mean == 3.75 < found.hi <= 8
    alone = first_success([2], 8)
    assert alone is not None and (alone.mean, alone.lo, alone.hi, alone.per_solved) == (2, None, None, 2)
    assert first_success([], 8) is None and first_success([0], 0) is None
