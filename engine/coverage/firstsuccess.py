"""Coverage where the drawing of a problem stops at its first correct sample.

The number of samples n then depends on whether one was correct, and 1 - C(n-c, k) / C(n, k) is biased: a problem that
is stopped after its first sample counts as always solved. What stays right comes from T, the number of samples up to
the first correct one. T is geometric with the problem's own chance of success, cut off ("censored") at the budget N.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from engine.coverage.bands import TAIL, mean_over_problems
from engine.coverage.curve import Curve, log_spaced


@dataclass(frozen=True, slots=True)
class FirstSuccess:
    """What a problem takes when drawing stops at its first correct sample, or at the budget.

    mean: samples of a problem, E[min(T, N)] over the problems, with its 95% band lo to hi (t interval; None for a
    single problem). per_solved: all samples over all solved problems, None when none is solved: the maximum-likelihood
    estimate of 1 / p of a censored geometric where the problems share one p, and what a solved problem takes in any
    case.
    """

    mean: float
    lo: float | None
    hi: float | None
    per_solved: float | None


def first_success_curve(tries: npt.ArrayLike, budget: int, ks: npt.ArrayLike | None = None) -> Curve:
    """The share of problems with T <= k, for every k in ``ks`` (log-spaced up to the budget by default).

    tries: T, shape (problems,), 0 where no sample was correct. All samples before the first correct one must have been
    drawn. P(T <= k) is pass@k, so the mean is unbiased at every k up to the budget; NaN beyond. It uses one sequence a
    problem where coverage_curve averages over all orders of the samples, so its band (bands.mean_over_problems) is
    wider. Raises ValueError for negative numbers.
    """
    tries = _checked(tries)
    ks = log_spaced(budget if tries.size else 0) if ks is None else np.asarray(ks, dtype=np.int64)
    if not ks.size or not tries.size:
        empty = np.full(ks.size, np.nan)
        return Curve(ks, empty, empty, empty, np.zeros(ks.size, dtype=np.int64))
    different, counts = np.unique(tries, return_counts=True)
    solved = ((different[:, None] > 0) & (different[:, None] <= ks)).astype(np.float64)
    values = np.where(ks <= budget, solved, np.nan)
    mean, lo, hi, problems = mean_over_problems(values, counts.astype(np.int64), np.ones_like(values))
    return Curve(ks, mean, lo, hi, problems)


def first_success(tries: npt.ArrayLike, budget: int) -> FirstSuccess | None:
    """None without problems or budget. A T beyond the budget counts as not solved within it."""
    tries = _checked(tries)
    if not tries.size or budget < 1:
        return None
    is_solved = (tries > 0) & (tries <= budget)
    taken = np.where(is_solved, tries, budget)
    mean, solved, problems = float(taken.mean()), int(is_solved.sum()), len(tries)
    half = None
    if problems > 1:
        half = float(stdtrit(problems - 1, TAIL) * taken.std(ddof=1) / np.sqrt(problems))
    return FirstSuccess(
        mean=mean,
        lo=None if half is None else max(1.0, mean - half),
        hi=None if half is None else min(float(budget), mean + half),
        per_solved=float(taken.sum()) / solved if solved else None,
    )


def _checked(tries: npt.ArrayLike) -> npt.NDArray[np.int64]:
    tries = np.asarray(tries, dtype=np.int64)
    if tries.ndim != 1 or np.any(tries < 0):
        raise ValueError("tries must be whole numbers of shape (problems,), 0 where no sample was correct")
    return tries
