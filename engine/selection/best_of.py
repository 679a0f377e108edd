"""Best-of-k: the sample with the highest score among k, in closed form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from engine.coverage.bands import Floats, Ints
from engine.coverage.estimator import log_fail_at_k
from engine.selection.answers import Answers, common_ks


def best_of(problems: Sequence[Answers], ks: npt.ArrayLike | None = None) -> Floats:
    """The chance that the best-scored of k samples is correct, exact, shape (problems, ks); NaN where n < k.

    The sample of rank r in rising order is the best of k in C(r - 1, k - 1) of the C(n, k) subsets. Equal scores are
    ordered at random: each tied sample gets the mean of the ranks' chances. NaN scores rank lowest. Raises
    ValueError when a problem has no scores.
    """
    grid = common_ks(problems, ks)
    result = np.full((len(problems), len(grid)), np.nan)
    chances: dict[int, Floats] = {}  # by n: mostly one for all problems
    for row, problem in enumerate(problems):
        if problem.score is None:
            raise ValueError("best_of needs a score for each sample")
        inside = (grid >= 1) & (grid <= problem.n)
        if not inside.any():
            continue
        if problem.n not in chances:
            chances[problem.n] = best_chances(problem.n, grid[inside])
        result[row, inside] = _correct_by_rank(problem) @ chances[problem.n]
    return result


def best_chances(n: int, ks: Ints) -> Floats:
    """C(r - 1, k - 1) / C(n, k) for the ranks r = 1..n, shape (n, ks); every column adds up to 1.

    It is k / n times C(r - 1, k - 1) / C(n - 1, k - 1): the chance that k - 1 of the n - 1 others all rank below.
    """
    above = n - np.arange(1, n + 1)[:, None]
    if n == 1:
        return np.ones((1, len(ks)))
    below = np.exp(log_fail_at_k(n - 1, above, np.maximum(ks - 1, 1)))
    return np.asarray(np.where(ks == 1, 1.0, below) * ks / n)


def _correct_by_rank(problem: Answers) -> Floats:
    """1 or 0 for each rank in rising order of score, within a tie the tie's mean."""
    assert problem.score is not None
    score = np.nan_to_num(problem.score, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    order = np.argsort(score)
    ordered, correct = score[order], problem.correct[order].astype(np.float64)
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    sizes = np.diff(np.append(starts, len(order)))
    return np.repeat(np.add.reduceat(correct, starts) / sizes, sizes)
