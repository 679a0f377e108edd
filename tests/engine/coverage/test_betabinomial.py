from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import check_grad
from scipy.special import gammaln
from scipy.stats import beta as beta_law
from scipy.stats import betabinom

from engine.coverage import BetaBinomial, fit_beta_binomial
from engine.coverage.betabinomial import (
    expected_coverage,
    log_likelihood_and_gradient,
    log_likelihoods,
    possible_if_unsolved,
    solved_later,
    table_of,
)
from engine.coverage.posterior import draw_laws

LAW = BetaBinomial(0.4, 1.7, 0.2, 0.0, 10)


def test_the_likelihood_is_scipys_with_zeros_mixed_in() -> None:
    n, c = np.array([10, 10, 30, 5]), np.array([0, 4, 30, 0])
    theta = np.array([np.log(0.4), np.log(1.7), np.log(0.2 / 0.8)])
    found, _ = log_likelihood_and_gradient(table_of(n, c), theta)
    own = betabinom.pmf(c, n, 0.4, 1.7)
    choose = gammaln(n + 1) - gammaln(c + 1) - gammaln(n - c + 1)
    assert found == pytest.approx(np.sum(np.log(0.8 * own + 0.2 * (c == 0)) - choose))
    assert log_likelihoods(table_of(n, c), theta[None])[0] == pytest.approx(found)


@given(st.tuples(st.floats(-3, 3), st.floats(-3, 4), st.floats(-4, 4)))
@settings(deadline=None)
def test_the_gradient_is_that_of_the_likelihood(theta: tuple[float, float, float]) -> None:
    table = table_of([12, 12, 40, 7], [0, 3, 40, 0])
    error = check_grad(
        lambda x: log_likelihood_and_gradient(table, x)[0],
        lambda x: log_likelihood_and_gradient(table, x)[1],
        np.array(theta),
    )
    assert error < 1e-3


def test_expectations_are_the_integrals_over_p() -> None:
    prior = beta_law(0.4, 1.7)
    for k in (1, 7, 60):
        fail = quad(lambda p, k=k: (1 - p) ** k * prior.pdf(p), 0, 1)[0]
        assert LAW.coverage([k])[0] == pytest.approx(0.8 * (1 - fail), abs=1e-7)
    # A problem with 2 of 9 correct: its p is drawn from Beta(2.4, 8.7).
    after = beta_law(2.4, 8.7)
    fail = quad(lambda p: (1 - p) ** 20 * after.pdf(p), 0, 1)[0]
    assert expected_coverage(LAW, np.array([9]), np.array([2]), [20])[0, 0] == pytest.approx(1 - fail, abs=1e-7)
    # Unsolved after 9: Bayes' rule by hand.
    unlucky = quad(lambda p: (1 - p) ** 9 * prior.pdf(p), 0, 1)[0]
    possible = 0.8 * unlucky / (0.2 + 0.8 * unlucky)
    assert possible_if_unsolved(0.4, 1.7, 0.2, np.array([9]))[0] == pytest.approx(possible)
    both = quad(lambda p: (1 - p) ** 29 * prior.pdf(p), 0, 1)[0]
    assert solved_later(LAW, np.array([9]), 20)[0] == pytest.approx(possible * (1 - both / unlucky), abs=1e-7)


def test_it_finds_the_law_that_made_the_data() -> None:
    random = np.random.default_rng(5)
    problems = 3000
    p = random.beta(0.8, 2.0, problems) * (random.random(problems) > 0.25)
    n = random.integers(20, 200, problems)
    law = fit_beta_binomial(n, random.binomial(n, p))
    assert law is not None
    assert law.alpha == pytest.approx(0.8, rel=0.15)
    assert law.beta == pytest.approx(2.0, rel=0.15)
    assert law.impossible == pytest.approx(0.25, abs=0.04)


def test_impossible_problems_are_assumed_only_where_the_data_ask_for_them() -> None:
    random = np.random.default_rng(6)
    n = np.full(128, 100)
    c = random.binomial(n, random.beta(2.0, 2.0, 128))
    law, inflated = fit_beta_binomial(n, c), fit_beta_binomial(n, c, zero_inflated=True)
    assert law is not None and inflated is not None
    assert law.impossible == 0 and law.log_likelihood >= inflated.log_likelihood - 1


@given(
    st.lists(st.integers(1, 30).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), min_size=2, max_size=30)
)
@settings(max_examples=40, deadline=None)
def test_any_counts_give_a_rising_curve_within_0_and_1(pairs: list[tuple[int, int]]) -> None:
    n, c = np.array(pairs).T
    law = fit_beta_binomial(n, c)
    assert law is not None
    expected = expected_coverage(law, n, c, 10 ** np.arange(7))
    assert np.all((expected >= 0) & (expected <= 1))
    assert all(np.all(later >= earlier - 1e-9) for earlier, later in pairwise(expected.T))


def test_one_problem_has_no_spread() -> None:
    assert fit_beta_binomial([10], [3]) is None
    assert fit_beta_binomial([10, 0], [3, 0]) is None


def test_the_drawn_laws_follow_the_posterior() -> None:
    """Mean and spread of the draws against sums over a fine grid of parameters."""
    random = np.random.default_rng(7)
    n = np.full(60, 25)
    c = random.binomial(n, random.beta(0.7, 1.5, 60) * (random.random(60) > 0.3))
    table = table_of(n, c)
    a, b = np.linspace(-3, 3, 60), np.linspace(-3, 5, 60)
    shares = np.linspace(0.005, 0.995, 60)
    grid = np.stack(np.meshgrid(a, b, np.log(shares / (1 - shares)), indexing="ij"), axis=-1).reshape(-1, 3)
    prior = -((grid[:, 0] / 2) ** 2) / 2 - ((grid[:, 1] - 1) / 3) ** 2 / 2
    with_zeros = log_likelihoods(table, grid) + prior + np.log(shares[1] - shares[0])
    plain = np.stack(np.meshgrid(a, b, indexing="ij"), axis=-1).reshape(-1, 2)
    without = log_likelihoods(table, np.column_stack([plain, np.full(len(plain), -np.inf)]))
    without += -((plain[:, 0] / 2) ** 2) / 2 - ((plain[:, 1] - 1) / 3) ** 2 / 2
    weight = np.exp(np.concatenate([with_zeros, without]) - max(with_zeros.max(), without.max()))
    weight /= weight.sum()
    log_alpha = np.concatenate([grid[:, 0], plain[:, 0]])
    impossible = np.concatenate([1 / (1 + np.exp(-grid[:, 2])), np.zeros(len(plain))])
    laws = draw_laws(n, c, draws=4000, seed=1)
    assert np.log(laws.alpha).mean() == pytest.approx(weight @ log_alpha, abs=0.05)
    assert laws.impossible.mean() == pytest.approx(weight @ impossible, abs=0.02)
    spread = np.sqrt(weight @ (impossible - weight @ impossible) ** 2)
    assert laws.impossible.std() == pytest.approx(spread, rel=0.1)
