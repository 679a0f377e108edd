from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import beta

from engine.coverage import coverage_curve, log_spaced, pass_at_k


@given(st.integers(1, 10**6))
def test_log_spaced_holds_both_ends_and_at_most_forty_points(largest: int) -> None:
    ks = log_spaced(largest)
    assert ks[0] == 1 and ks[-1] == largest and len(ks) <= 40
    assert np.all(np.diff(ks) > 0)


@given(st.lists(st.integers(1, 30).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), min_size=1))
def test_the_curve_is_the_mean_over_problems_with_enough_samples(pairs: list[tuple[int, int]]) -> None:
    n, c = np.array(pairs).T
    curve = coverage_curve(n, c, ks=range(1, n.max() + 1))
    for k, coverage, problems in zip(curve.k, curve.coverage, curve.problems, strict=True):
        assert problems == np.sum(n >= k)
        assert coverage == pytest.approx(np.nanmean(pass_at_k(n, c, k)), abs=1e-9)
    assert np.all((curve.lo >= 0) & (curve.lo <= curve.coverage) & (curve.coverage <= curve.hi) & (curve.hi <= 1))


def test_by_default_it_ends_where_every_problem_takes_part() -> None:
    curve = coverage_curve([8, 5, 9], [1, 0, 9])
    assert curve.k.tolist() == [1, 2, 3, 4, 5] or (curve.k[0] == 1 and curve.k[-1] == 5)
    assert set(curve.problems) == {3}


def test_nothing_drawn_gives_an_empty_curve_and_no_problem_gives_nan() -> None:
    assert coverage_curve([], []).k.size == 0
    assert coverage_curve([4, 0], [1, 0]).k.size == 0
    assert np.isnan(coverage_curve([4], [1], ks=[5]).coverage).all()


@pytest.mark.parametrize("c", [0, 16])
def test_the_band_keeps_a_width_when_all_problems_agree(c: int) -> None:
    curve = coverage_curve([16] * 50, [c] * 50)
    assert np.all(curve.hi - curve.lo > 0.01)


def test_the_band_of_single_samples_is_wilsons_interval() -> None:
    """At n = k = 1 the values are 0 and 1. Newcombe 1998, table I: 15 of 148 -> .0624 to .1605 with z = 1.96."""
    n, c = np.ones(148, dtype=int), np.r_[np.ones(15, dtype=int), np.zeros(133, dtype=int)]
    curve = coverage_curve(n, c)
    assert curve.lo[0] == pytest.approx(0.0624, abs=1e-3)  # the t quantile and P - 1 make it a little wider
    assert curve.hi[0] == pytest.approx(0.1605, abs=1e-3)


@pytest.mark.parametrize(("a", "b"), [(0.35, 0.65), (0.1, 1.5), (5.0, 5.0)])
def test_the_band_covers_the_true_coverage_about_95_times_in_100(a: float, b: float) -> None:
    """Success chances drawn from Beta(a, b): the true coverage at k is 1 - B(a, b + k) / B(a, b)."""
    random = np.random.default_rng(1)
    ks = np.array([1, 4, 16, 32])
    truth = 1 - beta(a, b + ks) / beta(a, b)
    repeats, problems, n = 600, 100, 32
    hits = np.zeros(len(ks))
    for _ in range(repeats):
        curve = coverage_curve(np.full(problems, n), random.binomial(n, random.beta(a, b, problems)), ks=ks)
        hits += (curve.lo <= truth) & (truth <= curve.hi)
    assert np.all(hits / repeats > 0.92), hits / repeats
    assert np.all(hits / repeats < 0.995), hits / repeats


def test_refuses_arrays_of_different_shapes() -> None:
    with pytest.raises(ValueError, match="one shape"):
        coverage_curve([1, 2], [1])
