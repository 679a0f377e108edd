from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import beta
from scipy.stats import binom

from engine.coverage import bootstrap_curve, coverage_curve, log_spaced, pass_at_k, sample_variance


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
def test_the_bands_cover_the_true_coverage_about_95_times_in_100(a: float, b: float) -> None:
    """Success chances drawn from Beta(a, b): coverage of a new problem at k is 1 - B(a, b + k) / B(a, b); that of the
    drawn problems is the mean of 1 - (1 - p)^k."""
    random = np.random.default_rng(1)
    ks = np.array([1, 4, 16, 32])
    population = 1 - beta(a, b + ks) / beta(a, b)
    repeats, problems, n = 400, 100, np.full(100, 32)
    hits = {"closed form": np.zeros(4), "bootstrap": np.zeros(4), "samples": np.zeros(4)}
    for repeat in range(repeats):
        p = random.beta(a, b, problems)
        c = random.binomial(32, p)
        these = np.mean(1 - (1 - p[:, None]) ** ks, axis=0)
        for name, curve, truth in (
            ("closed form", coverage_curve(n, c, ks), population),
            ("bootstrap", bootstrap_curve(n, c, ks, resamples=800, seed=repeat), population),
            ("samples", coverage_curve(n, c, ks, over="samples"), these),
        ):
            hits[name] += (curve.lo <= truth) & (truth <= curve.hi)
    for name, count in hits.items():
        assert np.all(count / repeats > 0.92), (name, count / repeats)
    # Too wide is a fault as well. At k = n, and where nearly all is solved, the bands are wide on purpose.
    for name in ("closed form", "bootstrap"):
        assert np.all(hits[name][:2] / repeats < 0.99), (name, hits[name] / repeats)
    assert np.all(hits["samples"][:2] / repeats < 0.985) or (a, b) == (5.0, 5.0), hits["samples"] / repeats


@pytest.mark.parametrize("p", [0.02, 0.1, 0.4, 0.9])
def test_the_jackknife_variance_is_that_of_repeated_sampling(p: float) -> None:
    """The true variance of pass@k over c ~ Binomial(n, p), by summing over all c: never more than the jackknife's mean,
    and equal to it in the first order where k is far below n."""
    n = 60
    c = np.arange(n + 1)
    weights = binom.pmf(c, n, p)
    for k in (1, 2, 10, 30, 59, 60):
        values = pass_at_k(n, c, k)
        true = weights @ values**2 - (weights @ values) ** 2
        estimated = weights @ sample_variance(n, c, k)
        assert estimated >= true * (1 - 1e-9) or k == n
        if k == 1:
            assert estimated == pytest.approx(true, rel=1e-9)
        if k * p < 1:
            assert estimated == pytest.approx(true, rel=0.25)


@given(st.integers(3, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1), st.integers(1, n - 1))))
def test_the_jackknife_variance_equals_leaving_out_each_sample(case: tuple[int, int, int]) -> None:
    n, c, k = case
    rest = np.array([pass_at_k(n - 1, c - (sample < c), k) for sample in range(n)])
    by_hand = (n - 1) / n * np.sum((rest - rest.mean()) ** 2)
    assert sample_variance(n, c, k) == pytest.approx(by_hand, rel=1e-7, abs=1e-14)


def test_the_band_over_samples_is_narrower_and_both_bootstraps_repeat() -> None:
    random = np.random.default_rng(3)
    c = random.binomial(100, random.beta(0.35, 0.65, 150))
    n = np.full(150, 100)
    wide, narrow = coverage_curve(n, c), coverage_curve(n, c, over="samples")
    assert np.all(narrow.hi - narrow.lo < wide.hi - wide.lo)
    first, second = bootstrap_curve(n, c, seed=5), bootstrap_curve(n, c, seed=5)
    np.testing.assert_array_equal(first.lo, second.lo)
    np.testing.assert_allclose(first.hi - first.lo, wide.hi - wide.lo, rtol=0.25)


def test_unequal_n_take_part_in_the_bootstrap_as_in_the_closed_form() -> None:
    random = np.random.default_rng(4)
    n = random.integers(5, 60, 80)
    c = random.binomial(n, random.beta(0.5, 1.0, 80))
    closed, resampled = coverage_curve(n, c, [1, 5, 20, 50]), bootstrap_curve(n, c, [1, 5, 20, 50])
    np.testing.assert_array_equal(closed.coverage, resampled.coverage)
    np.testing.assert_array_equal(closed.problems, resampled.problems)
    assert np.all((resampled.lo <= resampled.coverage) & (resampled.coverage <= resampled.hi))


def test_every_k_up_to_ten_thousand_is_one_call() -> None:
    curve = coverage_curve([10_000] * 3, [0, 7, 10_000], range(1, 10_001))
    assert np.all(np.diff(curve.coverage) >= -1e-12)
    assert curve.coverage[0] == pytest.approx((7 / 10_000 + 1) / 3)
    assert curve.coverage[-1] == pytest.approx(2 / 3)


def test_refuses_arrays_of_different_shapes() -> None:
    with pytest.raises(ValueError, match="one shape"):
        coverage_curve([1, 2], [1])
