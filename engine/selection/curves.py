"""Selection beside coverage: how much of what was solved does each method find?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from engine.coverage.bands import Floats, Ints, mean_over_problems
from engine.coverage.curve import Curve, coverage_curve
from engine.selection.answers import Answers, common_ks, counts
from engine.selection.best_of import best_of
from engine.selection.vote import Votes, majority_votes, weighted_votes

Selector = Literal["majority vote", "best of k", "weighted vote"]


@dataclass(frozen=True, slots=True)
class SelectionCurve:
    """The mean over problems of the chance that the chosen answer is right; arrays of shape (ks,).

    lo, hi: the 95% band over problems, as for coverage. exact: whether the value is exact for the given samples; where
    it is not, draw_error is the standard error that the random subsets add. gap: coverage minus value.
    """

    selector: Selector
    k: Ints
    value: Floats
    lo: Floats
    hi: Floats
    problems: Ints
    exact: npt.NDArray[np.bool_]
    draw_error: Floats
    gap: Floats


@dataclass(frozen=True, slots=True)
class Selection:
    """Coverage and every selector that the samples allow, on one grid of ks."""

    coverage: Curve
    curves: tuple[SelectionCurve, ...]


def selection_curves(
    problems: Sequence[Answers], ks: npt.ArrayLike | None = None, *, draws: int = 100, seed: int = 0
) -> Selection:
    """Majority vote, and where every sample has a score best of k and weighted vote, beside coverage.

    By default ks are log-spaced up to the smallest n. ``draws`` and ``seed``: see vote.majority_votes.
    """
    grid = common_ks(problems, ks)
    n, c = counts(problems)
    coverage = coverage_curve(n, c, grid)
    majority = majority_votes(problems, grid, draws=draws, seed=seed)
    curves = [_curve("majority vote", majority, n, coverage)]
    if problems and all(each.score is not None for each in problems):
        curves += scored_curves(problems, grid, draws=draws, seed=seed)
    return Selection(coverage, tuple(curves))


def scored_curves(
    problems: Sequence[Answers], ks: npt.ArrayLike | None = None, *, draws: int = 100, seed: int = 0
) -> tuple[SelectionCurve, SelectionCurve]:
    """Best of k and weighted vote alone. Raises ValueError when a problem has no scores."""
    grid = common_ks(problems, ks)
    n, c = counts(problems)
    coverage = coverage_curve(n, c, grid)
    best = best_of(problems, grid)
    exact = Votes(grid, best, np.ones(best.shape, dtype=np.bool_), np.zeros_like(best))
    weighted = weighted_votes(problems, grid, draws=draws, seed=seed)
    return _curve("best of k", exact, n, coverage), _curve("weighted vote", weighted, n, coverage)


def _curve(selector: Selector, votes: Votes, n: Ints, coverage: Curve) -> SelectionCurve:
    ones = np.ones(len(n), dtype=np.int64)
    with np.errstate(divide="ignore", invalid="ignore"):
        value, lo, hi, problems = mean_over_problems(votes.right, ones, n[:, None] / coverage.k)
        draw_error = np.sqrt(np.sum(votes.error**2, axis=0)) / problems
    gap = coverage.coverage - value
    exact = np.asarray(votes.exact.all(axis=0), dtype=np.bool_)
    return SelectionCurve(selector, coverage.k, value, lo, hi, problems, exact, draw_error, gap)
