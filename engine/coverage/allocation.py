"""Which problems should get the next samples? A model-based plan, made anew whenever results have come in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from engine.coverage.bands import Floats, Ints
from engine.coverage.betabinomial import (
    BetaBinomial,
    fail_chance,
    fit_beta_binomial,
    possible_if_unsolved,
    solved_later,
)
from engine.coverage.curve import counts_of

Goal = Literal["coverage", "curve"]


@dataclass(frozen=True, slots=True)
class Allocation:
    """How many further samples each problem should get, and what that is expected to bring.

    samples: shape (problems,). newly_solved: expected number of problems solved for the first time; evenly: the same
    number if the budget were spread evenly over all problems. unbiased: False, because n then depends on c: the
    finished experiment needs forecast.model_curve, coverage_curve would be biased.
    """

    goal: Goal
    samples: Ints
    cost: float
    newly_solved: float
    evenly: float
    unbiased: bool = False
    model_based: bool = True


def allocate(
    n: npt.ArrayLike,
    c: npt.ArrayLike,
    budget: float,
    *,
    goal: Goal = "coverage",
    k: int | None = None,
    cost: npt.ArrayLike | None = None,
) -> Allocation | None:
    """Spend ``budget`` on further samples where they help most under the fitted law (betabinomial).

    cost: of one sample of each problem, shape (problems,), in the unit of the budget; by default 1, so that the budget
    is a number of samples. None when no law can be fitted.

    goal "coverage": solve as many unsolved problems as can be expected. The j-th further sample of a problem brings
    E[p (1 - p)^(j-1)], which falls with j, so giving each next sample to the highest gain per cost is optimal among
    plans fixed beforehand. goal "curve": estimate coverage at k (by default the largest n) with the least variance;
    the weight of a problem is sqrt(E[p (1 - p)^(2k - 1)] / cost) (Kazdan et al. 2025, arXiv 2510.05197, with the
    expectation over what its samples leave open in place of the unknown p).
    """
    n, c = counts_of(n, c, "allocate")
    price = np.ones(len(n)) if cost is None else np.asarray(cost, dtype=np.float64)
    if price.shape != n.shape or np.any(price <= 0) or budget < 0:
        raise ValueError("allocate needs a budget >= 0 and a cost > 0 for each problem")
    law = fit_beta_binomial(n, c)
    if law is None:
        return None
    if goal == "coverage":
        samples = _by_gain(law, n, c, budget, price)
    else:
        samples = _by_weight(_curve_weights(law, n, c, k or int(n.max()), price), budget, price)
    unsolved = c == 0
    even = np.full(len(n), budget / price.sum())
    newly, evenly = (float(solved_later(law, n[unsolved], plan[unsolved]).sum()) for plan in (samples, even))
    return Allocation(goal, samples, float(samples @ price), newly, evenly)


def _by_gain(law: BetaBinomial, n: Ints, c: Ints, budget: float, price: Floats) -> Ints:
    """Samples per problem whose gain per cost is above one threshold for all, the lowest that the budget allows."""
    samples = np.zeros(len(n), dtype=np.int64)
    unsolved = np.flatnonzero(c == 0)
    if not unsolved.size or budget < price[unsolved].min():
        return samples
    n, price = n[unsolved], price[unsolved]
    possible = possible_if_unsolved(law.alpha, law.beta, law.impossible, n)

    def gain(j: Ints) -> Floats:
        """Of the j-th further sample, per cost: the chance that the j - 1 before it fail and it succeeds."""
        fail = fail_chance(law.alpha, law.beta + n, j - 1)
        return np.asarray(possible * fail * law.alpha / (law.alpha + law.beta + n + j - 1) / price)

    def wanted(threshold: float) -> Ints:
        low, high = np.zeros(len(n), dtype=np.int64), np.floor(budget / price).astype(np.int64)
        while np.any(low < high):
            middle = (low + high + 1) // 2
            worth = gain(middle) > threshold
            low, high = np.where(worth, middle, low), np.where(worth, high, middle - 1)
        return low

    low, high = -80.0, float(np.log(gain(np.ones_like(n)).max()))  # exp(-80): no gain a float difference could show
    for _ in range(50):
        middle = (low + high) / 2
        if wanted(float(np.exp(middle))) @ price > budget:
            low = middle
        else:
            high = middle
    plan = wanted(float(np.exp(high)))
    # Equal gains cross the threshold together: what is left is shared, the rest goes to the best ones it can pay for.
    plan += int((budget - float(plan @ price)) // price.sum())
    left = budget - float(plan @ price)
    for problem in np.argsort(-gain(plan + 1), kind="stable"):
        if price[problem] <= left:
            plan[problem] += 1
            left -= price[problem]
    samples[unsolved] = plan
    return samples


def _curve_weights(law: BetaBinomial, n: Ints, c: Ints, k: int, price: Floats) -> Floats:
    alpha, beta = law.alpha + c, law.beta + (n - c)
    spread = fail_chance(alpha, beta, 2 * k - 1) * alpha / (alpha + beta + 2 * k - 1)  # E[p (1 - p)^(2k - 1)]
    possible = np.where(c > 0, 1.0, possible_if_unsolved(law.alpha, law.beta, law.impossible, n))
    return np.asarray(np.sqrt(possible * spread / price))


def _by_weight(weights: Floats, budget: float, price: Floats) -> Ints:
    if not weights.any():
        weights = np.ones_like(weights)
    exact = budget * weights / (weights @ price)
    samples = np.floor(exact).astype(np.int64)
    left = budget - float(samples @ price)
    for problem in np.argsort(samples - exact, kind="stable"):
        if price[problem] <= left and exact[problem] > samples[problem]:
            samples[problem] += 1
            left -= price[problem]
    return samples
