from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaln

from engine.coverage import allocate, backtest, coverage_curve, expected_gains, fit_power_law, forecast, model_curve
from engine.coverage.betabinomial import fit_beta_binomial, solved_later

N = np.full(128, 100)


def experiment(seed: int, a: float, b: float, impossible: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """(chances, correct of 100) of 128 problems."""
    random = np.random.default_rng(seed)
    p = random.beta(a, b, 128) * (random.random(128) >= impossible)
    return p, random.binomial(N, p)


@pytest.mark.parametrize(("a", "b", "impossible"), [(0.35, 0.65, 0.0), (0.1, 1.5, 0.0), (0.1, 1.5, 0.3)])
def test_ten_thousand_samples_are_foretold_from_a_hundred(a: float, b: float, impossible: float) -> None:
    """The three rows of reference/sampling.md section 9, with fewer repeats: the interval holds the truth, and the
    law is closer to it than the paper's fit where the tail is heavy."""
    ks = [1_000, 10_000]
    held, held_new, ours, paper = 0, 0, [], []
    repeats = 30
    for seed in range(repeats):
        p, c = experiment(seed, a, b, impossible)
        truth = np.mean(1 - (1 - p[:, None]) ** ks, axis=0)
        found = forecast(N, c, ks, seed=seed, draws=200)
        law = fit_power_law(N, c)
        assert found is not None and law is not None and found.curve.model_based
        held += np.sum((found.curve.lo <= truth) & (truth <= found.curve.hi))
        ours.append(found.curve.coverage[1] - truth[1])
        paper.append(law.coverage(ks)[1] - truth[1])
        kind = forecast(N, c, [10_000], over="problems", seed=seed, draws=200)
        exact = (1 - impossible) * (1 - np.exp(_log_fail(a, b, 10_000)))
        assert kind is not None
        held_new += kind.curve.lo[0] <= exact <= kind.curve.hi[0]
    # 30 repeats leave +- 0.08 around the true share, which docs/coverage.md gives.
    assert held / repeats / 2 > 0.82
    assert held_new / repeats > 0.82
    assert abs(np.mean(ours)) < 0.03
    if b > 1:
        assert abs(np.mean(ours)) < abs(np.mean(paper)) / 3
        assert np.sqrt(np.mean(np.square(ours))) < np.sqrt(np.mean(np.square(paper)))


def _log_fail(a: float, b: float, k: int) -> float:
    return float(betaln(a, b + k) - betaln(a, b))


def test_the_backtest_holds_what_was_measured() -> None:
    shares, errors, paper = [], [], []
    for seed in range(25):
        random = np.random.default_rng(seed)
        n = np.full(100, 500)
        c = random.binomial(n, random.beta(0.1, 1.5, 100))
        tested = backtest(n, c, seed=seed, draws=120)
        assert tested is not None and tested.first == 50 and tested.k[0] > 50 and tested.k[-1] == 500
        np.testing.assert_allclose(tested.measured, coverage_curve(n, c, tested.k).coverage)
        shares.append(tested.inside)
        errors.append(tested.error)
        paper.append(tested.power_law_error)
    assert np.mean(shares) > 0.87
    assert np.mean(errors) < 0.05


def test_the_backtest_takes_the_first_samples_when_they_are_known() -> None:
    n, c, first_c = np.full(6, 100), np.array([0, 5, 40, 100, 1, 60]), np.array([0, 0, 4, 10, 1, 6])
    one, other = (backtest(n, c, first_n=n // 10, first_c=first_c, seed=seed) for seed in (1, 2))
    assert one is not None and other is not None
    np.testing.assert_array_equal(one.predicted, other.predicted)
    with pytest.raises(ValueError, match="counted among"):
        backtest(n, c, first_n=n // 10, first_c=np.array([1, 0, 4, 10, 1, 6]))
    assert backtest([10] * 6, [1] * 6) is None  # one sample is no tenth to fit on
    assert backtest(n, c, first_n=n, first_c=c) is None  # nothing is left to predict
    unequal = backtest([30, 1000, 2000], [3, 0, 700])
    assert unequal is not None and (unequal.first, unequal.k[0], unequal.k[-1]) == (3, 4, 30)


def test_expected_gains_are_what_further_sampling_brings() -> None:
    """Newly solved in 400 further samples: the mean over experiments, and the share inside the interval."""
    found, expected, inside = [], [], 0
    for seed in range(60):
        p, c = experiment(seed, 0.2, 1.0)
        new = np.sum((c == 0) & (np.random.default_rng(1000 + seed).binomial(400, p) > 0))
        gains = expected_gains(N, c, [4, 400], dollars_per_sample=0.5, gpu_seconds_per_sample=36, seed=seed, draws=200)
        assert gains is not None and gains.model_based
        assert gains.per_dollar is not None and gains.per_gpu_hour is not None
        np.testing.assert_allclose(gains.per_dollar, gains.newly_solved / (gains.samples * 0.5))
        np.testing.assert_allclose(gains.per_gpu_hour, gains.newly_solved / (gains.samples * 0.01))
        assert gains.samples[1] == 400 * np.sum(c == 0)
        found.append(new)
        expected.append(gains.newly_solved[1])
        inside += gains.lo[1] <= new <= gains.hi[1]
    assert np.mean(expected) == pytest.approx(np.mean(found), rel=0.12)
    assert inside / 60 > 0.9


def test_an_adaptive_experiment_needs_the_model() -> None:
    """Stopping at the first success: n depends on c. The usual estimate is far off, the model's is not."""
    random = np.random.default_rng(0)
    p = random.beta(0.5, 1.0, 400)
    wait = np.minimum(random.geometric(np.maximum(p, 1e-12)), 64)
    c = (random.random(400) < 2) & (wait < 64)
    truth = np.mean(p)
    usual = coverage_curve(wait, c, [1]).coverage[0]
    curve = model_curve(wait, c, [1])
    assert curve is not None
    assert usual - truth > 0.05
    assert curve.lo[0] <= truth <= curve.hi[0] and abs(curve.coverage[0] - truth) < 0.04


COUNTS = st.lists(st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n // 4))), min_size=3)


@given(COUNTS, st.integers(0, 300))
@settings(max_examples=40, deadline=None)
def test_a_plan_spends_the_budget_and_beats_any_single_move(pairs: list[tuple[int, int]], budget: int) -> None:
    n, c = np.array(pairs).T
    plan = allocate(n, c, budget)
    law = fit_beta_binomial(n, c)
    assert plan is not None and law is not None and plan.model_based and not plan.unbiased
    unsolved = np.flatnonzero(c == 0)
    assert plan.samples.sum() == (budget if unsolved.size else 0) and np.all(plan.samples[c > 0] == 0)
    assert plan.newly_solved >= plan.evenly - 1e-9

    def expected(samples: np.ndarray) -> float:
        return float(solved_later(law, n[unsolved], samples[unsolved]).sum())

    for giver in unsolved[plan.samples[unsolved] > 0][:3]:
        for taker in unsolved[:3]:
            moved = plan.samples.copy()
            moved[giver] -= 1
            moved[taker] += 1
            assert expected(moved) <= plan.newly_solved + 1e-9


def test_dear_problems_get_fewer_samples_and_the_budget_holds() -> None:
    n, c = np.full(20, 10), np.r_[np.zeros(10, dtype=int), np.arange(1, 11)]
    price = np.where(np.arange(20) % 2, 3.0, 1.0)
    plan = allocate(n, c, 100.0, cost=price)
    assert plan is not None
    assert plan.cost <= 100 and plan.cost > 100 - price.max()
    assert plan.samples[0] > plan.samples[1]


def test_the_curve_goal_spends_on_hard_problems_and_lowers_the_variance() -> None:
    p, c = experiment(3, 0.35, 0.65)
    plan = allocate(N, c, 12_800, goal="curve", k=20)
    assert plan is not None and abs(plan.samples.sum() - 12_800) < 128

    def variance(samples: np.ndarray) -> float:
        """Of the plug-in estimate of mean (1 - p)^k after all samples, in the first order (the delta method)."""
        return float(np.sum(20**2 * p * (1 - p) ** 39 / (N + samples)))

    assert variance(plan.samples) < variance(np.full(128, 100)) * 0.75


def test_allocation_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="cost > 0"):
        allocate([5, 5], [1, 0], 10, cost=[1, 0])


def test_a_plan_takes_what_is_under_way_into_account() -> None:
    """Ten samples that are drawn anyway count as if they came first: against brute force over the law's expectation."""
    n, c = np.array([4, 4, 4, 4, 8, 8]), np.array([0, 0, 0, 1, 2, 5])
    pending, most = np.array([0, 10, 3, 0, 0, 0]), np.array([9, 9, 2, 9, 9, 9])
    plan = allocate(n, c, 12, pending=pending, most=most)
    law = fit_beta_binomial(n, c)
    assert plan is not None and law is not None

    def expected(samples: np.ndarray) -> float:
        both, before = (solved_later(law, n[:3], more) for more in (pending[:3] + samples, pending[:3]))
        return float((both - before).sum())

    every = [np.array(each) for each in np.ndindex(10, 10, 3) if sum(each) <= 12]
    assert plan.newly_solved == pytest.approx(max(map(expected, every)))
    assert plan.newly_solved == pytest.approx(expected(plan.samples[:3]))
    assert plan.samples[2] <= 2 and plan.samples.sum() == 12 and plan.lo <= plan.newly_solved <= plan.hi


def test_no_problem_gets_more_than_it_may() -> None:
    n, c = np.full(30, 10), np.r_[np.zeros(20, dtype=int), np.arange(1, 11)]
    plan = allocate(n, c, 10_000, most=np.full(30, 7))
    assert plan is not None and plan.samples.tolist() == [7] * 20 + [0] * 10 and plan.cost == 140
    curve = allocate(n, c, 10_000, goal="curve", most=np.full(30, 7))
    assert curve is not None and curve.samples.max() <= 7
    with pytest.raises(ValueError, match="most >= 0"):
        allocate(n, c, 10, most=np.full(30, -1))


def test_the_interval_of_a_plan_holds_what_it_solves() -> None:
    inside, found, expected = 0, [], []
    for repeat in range(40):
        p, c = experiment(repeat, 0.2, 1.5)
        plan = allocate(N, c, 6_400, draws=300)
        assert plan is not None
        new = int((np.random.default_rng(1_000 + repeat).binomial(plan.samples, p)[c == 0] > 0).sum())
        found.append(new)
        expected.append(plan.newly_solved)
        inside += plan.lo <= new <= plan.hi
    assert np.mean(expected) == pytest.approx(np.mean(found), rel=0.15)
    assert inside / 40 > 0.88


def test_extra_draws_bias_the_usual_estimate_and_not_that_of_the_first_samples() -> None:
    """200 problems, 6 samples each, then 60 more for each unsolved one: what the exported curves leave out, and why."""
    random = np.random.default_rng(5)
    first = 6
    errors: dict[str, list[float]] = {"pooled": [], "first": [], "model": []}
    for _ in range(24):
        p = random.beta(0.25, 1.25, 200)
        c = random.binomial(first, p)
        plan = allocate(np.full(200, first), c, 60 * int((c == 0).sum()), draws=50)
        assert plan is not None
        n, both = first + plan.samples, c + random.binomial(plan.samples, p)
        truth = float(np.mean(1 - (1 - p) ** 4))
        errors["pooled"].append(coverage_curve(n, both, [4]).coverage[0] - truth)
        errors["first"].append(coverage_curve(np.full(200, first), c, [4]).coverage[0] - truth)
        curve = model_curve(n, both, [4])
        assert curve is not None
        errors["model"].append(curve.coverage[0] - truth)
    mean = {name: float(np.mean(values)) for name, values in errors.items()}
    spread = {name: float(np.std(values) / np.sqrt(24)) for name, values in errors.items()}
    assert mean["pooled"] > 0.01 and mean["pooled"] > 5 * spread["pooled"]
    assert abs(mean["first"]) < 3 * spread["first"] and abs(mean["model"]) < 0.008
