"""Which problems should get the next samples? A model-based plan, made anew whenever results have come in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from engine.coverage.bands import TAIL, Floats, Ints
from engine.coverage.betabinomial import (
    BetaBinomial,
    fail_chance,
    fit_beta_binomial,
    possible_if_unsolved,
    solved_later,
)
from engine.coverage.curve import counts_of
from engine.coverage.posterior import draw_chances, draw_laws

Goal = Literal["coverage", "curve"]


@dataclass(frozen=True, slots=True)
class Allocation:
    """How many further samples each problem should get, and what that is expected to bring.

    samples: shape (problems,). newly_solved: expected number of problems that they solve for the first time, lo and hi
    its 95% prediction interval; evenly: the same number if the budget were spread evenly over all problems. unbiased:
    False, because n then depends on c: the finished experiment needs forecast.model_curve, coverage_curve would be
    biased.
    """

    goal: Goal
    samples: Ints
    cost: float
    newly_solved: float
    lo: float
    hi: float
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
    pending: npt.ArrayLike | None = None,
    most: npt.ArrayLike | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> Allocation | None:
    """Spend ``budget`` on further samples where they help most under the fitted law (betabinomial).

    cost: of one sample of each problem, shape (problems,), in the unit of the budget; by default 1, so that the budget
    is a number of samples. pending: samples of each problem that are planned anyway and not seen yet; the further ones
    come after them, and what the pending ones solve is not counted. most: no problem gets more further samples than
    this. None when no law can be fitted.

    goal "coverage": solve as many unsolved problems as can be expected. The j-th further sample of a problem brings
    E[p (1 - p)^(j-1)], which falls with j, so giving each next sample to the highest gain per cost is optimal among
    plans fixed beforehand. goal "curve": estimate coverage at k (by default the largest n) with the least variance;
    the weight of a problem is sqrt(E[p (1 - p)^(2k - 1)] / cost) (Kazdan et al. 2025, arXiv 2510.05197, with the
    expectation over what its samples leave open in place of the unknown p).
    """
    n, c = counts_of(n, c, "allocate")
    price = np.ones(len(n)) if cost is None else np.asarray(cost, dtype=np.float64)
    ahead = np.zeros_like(n) if pending is None else np.asarray(pending, dtype=np.int64)
    if price.shape != n.shape or np.any(price <= 0) or budget < 0:
        raise ValueError("allocate needs a budget >= 0 and a cost > 0 for each problem")
    limit = np.floor(budget / price).astype(np.int64)
    if most is not None:
        limit = np.minimum(limit, np.asarray(most, dtype=np.int64))
    if ahead.shape != n.shape or limit.shape != n.shape or np.any(ahead < 0) or np.any(limit < 0):
        raise ValueError("allocate needs pending >= 0 and most >= 0 for each problem")
    law = fit_beta_binomial(n, c)
    if law is None:
        return None
    if goal == "coverage":
        samples = _by_gain(law, n, c, budget, price, ahead, limit)
    else:
        samples = _by_weight(_curve_weights(law, n, c, k or int(n.max()), price), budget, price, limit)
    unsolved = c == 0
    even = np.full(len(n), budget / price.sum())
    newly, evenly = (_newly_solved(law, n[unsolved], ahead[unsolved], plan[unsolved]) for plan in (samples, even))
    lo, hi = _interval(n, c, ahead[unsolved], samples[unsolved], draws, seed)
    return Allocation(goal, samples, float(samples @ price), newly, min(lo, newly), max(hi, newly), evenly)


def _newly_solved(law: BetaBinomial, n: Ints, ahead: Ints, more: npt.ArrayLike) -> float:
    """Expected number of unsolved problems that ``more`` samples solve and the ``ahead`` ones before them do not."""
    return float((solved_later(law, n, ahead + np.asarray(more)) - solved_later(law, n, ahead)).sum())


def _interval(n: Ints, c: Ints, ahead: Ints, more: Ints, draws: int, seed: int) -> tuple[float, float]:
    """Between which numbers the newly solved problems lie with 95%, over laws, chances and luck; ahead and more are of
    the unsolved problems."""
    unsolved = n[c == 0]
    if not unsolved.size or not more.any():
        return 0.0, 0.0
    random = np.random.default_rng(seed)
    chances = draw_chances(draw_laws(n, c, draws, seed), unsolved, np.zeros_like(unsolved), random)
    with np.errstate(divide="ignore", over="ignore"):
        wait = np.log(random.random(chances.shape)) / np.log1p(-np.minimum(chances, 1 - 1e-12))
    lo, hi = np.quantile(((wait > ahead) & (wait <= ahead + more)).sum(axis=1), [1 - TAIL, TAIL])
    return float(lo), float(hi)


def _by_gain(law: BetaBinomial, n: Ints, c: Ints, budget: float, price: Floats, ahead: Ints, limit: Ints) -> Ints:
    """Samples per problem whose gain per cost is above one threshold for all, the lowest that the budget allows."""
    samples = np.zeros(len(n), dtype=np.int64)
    unsolved = np.flatnonzero((c == 0) & (limit > 0))
    if not unsolved.size:
        return samples
    n, price, ahead, limit = n[unsolved], price[unsolved], ahead[unsolved], limit[unsolved]
    possible = possible_if_unsolved(law.alpha, law.beta, law.impossible, n)

    def gain(j: Ints) -> Floats:
        """Of the j-th further sample, per cost: the chance that all before it fail and it succeeds."""
        before = ahead + j - 1
        fail = fail_chance(law.alpha, law.beta + n, before)
        return np.asarray(possible * fail * law.alpha / (law.alpha + law.beta + n + before) / price)

    def wanted(threshold: float) -> Ints:
        low, high = np.zeros(len(n), dtype=np.int64), limit.copy()
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
    left = budget - float(plan @ price)
    while (room := plan < limit).any() and (share := int(left // price[room].sum())):
        plan = np.where(room, np.minimum(plan + share, limit), plan)
        left = budget - float(plan @ price)
    for problem in np.argsort(-gain(plan + 1), kind="stable"):
        if price[problem] <= left and plan[problem] < limit[problem]:
            plan[problem] += 1
            left -= price[problem]
    samples[unsolved] = plan
    return samples


def _curve_weights(law: BetaBinomial, n: Ints, c: Ints, k: int, price: Floats) -> Floats:
    alpha, beta = law.alpha + c, law.beta + (n - c)
    spread = fail_chance(alpha, beta, 2 * k - 1) * alpha / (alpha + beta + 2 * k - 1)  # E[p (1 - p)^(2k - 1)]
    possible = np.where(c > 0, 1.0, possible_if_unsolved(law.alpha, law.beta, law.impossible, n))
    return np.asarray(np.sqrt(possible * spread / price))


def _by_weight(weights: Floats, budget: float, price: Floats, limit: Ints) -> Ints:
    if not weights.any():
        weights = np.ones_like(weights)
    exact = np.minimum(budget * weights / (weights @ price), limit)
    samples = np.floor(exact).astype(np.int64)
    left = budget - float(samples @ price)
    for problem in np.argsort(samples - exact, kind="stable"):
        if price[problem] <= left and exact[problem] > samples[problem]:
            samples[problem] += 1
            left -= price[problem]
    return samples
