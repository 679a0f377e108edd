"""Two experiments on the same problems: is one better, at which k, on which problems?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from engine.coverage.bands import TAIL, Floats, Ints, mean_over_problems, wilson
from engine.coverage.curve import Curve, counts_of, log_spaced
from engine.coverage.estimator import pass_at_k


@dataclass(frozen=True, slots=True)
class ProblemDifferences:
    """Per problem, shape (problems,): the share of correct samples of both, first minus second, and its 95% interval.

    The interval is Newcombe's hybrid score interval (1998, "Interval estimation for the difference between independent
    proportions", method 10). It is one problem's: of many problems without a difference 5% exclude 0.
    """

    first: Floats
    second: Floats
    difference: Floats
    lo: Floats
    hi: Floats


@dataclass(frozen=True, slots=True)
class Comparison:
    """First minus second over the ``problems`` problems that have k samples in both.

    k, difference, lo, hi, problems, p_value: shape (ks,). p_value is for one k chosen beforehand; p_overall for "the
    curves differ at some k", whatever k one looks at. first, second: the two curves on those problems.
    """

    k: Ints
    difference: Floats
    lo: Floats
    hi: Floats
    problems: Ints
    p_value: Floats
    p_overall: float
    first: Curve
    second: Curve
    per_problem: ProblemDifferences


def compare_curves(
    n_first: npt.ArrayLike,
    c_first: npt.ArrayLike,
    n_second: npt.ArrayLike,
    c_second: npt.ArrayLike,
    ks: npt.ArrayLike | None = None,
    *,
    flips: int = 4000,
    seed: int = 0,
) -> Comparison:
    """Compare two experiments whose entries at one position are the same problem; all arrays of shape (problems,).

    Band: the difference's ends are recovered from the two curves' own bands and the correlation over problems (Zou and
    Donner 2008, "Construction of confidence limits about effect measures", eq. 5): it stays within [-1, 1] and keeps a
    width where all problems agree. Test: sign flips. If the two were alike, swapping them on any problem would change
    nothing; p is the share of ``flips`` random swaps that differ at least as much, and p_overall uses the largest
    studentised difference over all ks (Westfall and Young 1993). Raises ValueError on other shapes.
    """
    n_first, c_first = counts_of(n_first, c_first, "compare_curves")
    n_second, c_second = counts_of(n_second, c_second, "compare_curves")
    if n_first.shape != n_second.shape:
        raise ValueError(
            f"compare_curves needs the same problems on both sides, got {n_first.size} and {n_second.size}"
        )
    n_both = np.minimum(n_first, n_second)
    ks = log_spaced(int(n_both.min(initial=np.iinfo(np.int64).max)) if n_both.size else 0) if ks is None else ks
    ks = np.asarray(ks, dtype=np.int64)
    part = n_both[:, None] >= ks
    first_values, second_values = (
        np.where(part, pass_at_k(n[:, None], c[:, None], ks), np.nan)
        for n, c in ((n_first, c_first), (n_second, c_second))
    )
    first, second = _curve(first_values, n_first, ks), _curve(second_values, n_second, ks)
    difference = first.coverage - second.coverage
    correlation = _correlation(first_values, second_values, part)
    lo, hi = _recovered(first, second, correlation)
    p_value, p_overall = _sign_flips(np.where(part, first_values - second_values, 0.0), flips, seed)
    return Comparison(
        ks,
        difference,
        lo,
        hi,
        first.problems,
        p_value,
        p_overall,
        first,
        second,
        _per_problem(n_first, c_first, n_second, c_second),
    )


def _curve(values: Floats, n: Ints, ks: Ints) -> Curve:
    return Curve(ks, *mean_over_problems(values, np.ones(len(n), dtype=np.int64), n[:, None] / ks))


def _correlation(first: Floats, second: Floats, part: npt.NDArray[np.bool_]) -> Floats:
    """Pearson's correlation over problems, shape (ks,); 0 where one side does not vary."""
    problems = np.maximum(part.sum(axis=0), 1)
    apart = [np.where(part, each - np.where(part, each, 0.0).sum(axis=0) / problems, 0.0) for each in (first, second)]
    norm = np.sqrt(np.sum(apart[0] ** 2, axis=0) * np.sum(apart[1] ** 2, axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(norm > 1e-12, np.sum(apart[0] * apart[1], axis=0) / norm, 0.0)


def _recovered(first: Curve, second: Curve, correlation: Floats) -> tuple[Floats, Floats]:
    """The ends of first - second from each side's ends: the squared reaches add, less their correlated part."""

    def reach(own: Floats, other: Floats) -> Floats:
        return np.sqrt(np.maximum(own**2 + other**2 - 2 * correlation * own * other, 0.0))

    difference = first.coverage - second.coverage
    down = reach(first.coverage - first.lo, second.hi - second.coverage)
    up = reach(first.hi - first.coverage, second.coverage - second.lo)
    return np.maximum(difference - down, -1.0), np.minimum(difference + up, 1.0)


def _sign_flips(differences: Floats, flips: int, seed: int) -> tuple[Floats, float]:
    """(p at each k, p over all ks) for differences of shape (problems, ks), 0 where a problem does not take part."""
    norm = np.sqrt(np.sum(differences**2, axis=0))
    varies = norm > 1e-12
    if not varies.any():
        return np.ones(differences.shape[1]), 1.0
    unit = differences[:, varies] / norm[varies]
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(flips, len(differences)))
    flipped, seen = np.abs(signs @ unit), np.abs(unit.sum(axis=0))
    # The swap that leaves everything in place is one of the possible ones: p is never 0. Equal sums count as "at
    # least as much" also when their terms were added in another order.
    p = np.ones(differences.shape[1])
    p[varies] = (1 + np.sum(flipped >= seen - 1e-9, axis=0)) / (1 + flips)
    overall = (1 + np.sum(flipped.max(axis=1) >= seen.max() - 1e-9)) / (1 + flips)
    return p, float(overall)


def _per_problem(n_first: Ints, c_first: Ints, n_second: Ints, c_second: Ints) -> ProblemDifferences:
    """NaN where one side has no sample."""
    ends = []
    for n, c in ((n_first, c_first), (n_second, c_second)):
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = c / n
        ends.append((rate, *wilson(rate, n.astype(np.float64), ndtri(TAIL))))
    (first, lo_first, hi_first), (second, lo_second, hi_second) = ends
    difference = first - second
    return ProblemDifferences(
        first,
        second,
        difference,
        difference - np.hypot(first - lo_first, hi_second - second),
        difference + np.hypot(hi_first - first, second - lo_second),
    )
