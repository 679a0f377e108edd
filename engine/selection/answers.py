"""What selection works on: per problem the samples' answer classes, verdicts and scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.coverage.bands import Floats, Ints
from engine.coverage.curve import log_spaced

NO_ANSWER = -1


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """One problem's n samples, arrays of shape (n,), in any order.

    answer: the id of the class of equal answers a sample belongs to, 0 or more, NO_ANSWER where none was found: such a
    sample cannot be chosen by a vote. correct: the verdict. score: higher is better, from a reward model, a mean
    log-probability or a self-certainty; None where there is none; NaN ranks below every number.
    """

    answer: Ints
    correct: npt.NDArray[np.bool_]
    score: Floats | None = None

    def __post_init__(self) -> None:
        # Frozen: lists are turned into arrays here once, so that no caller has to.
        object.__setattr__(self, "answer", np.asarray(self.answer, dtype=np.int64))
        object.__setattr__(self, "correct", np.asarray(self.correct, dtype=np.bool_))
        if self.score is not None:
            object.__setattr__(self, "score", np.asarray(self.score, dtype=np.float64))
        shapes = {array.shape for array in (self.answer, self.correct, self.score) if array is not None}
        if len(shapes) != 1 or self.answer.ndim != 1:
            raise ValueError(f"Answers needs arrays of one shape (n,), got {sorted(shapes)}")
        if np.any(self.answer < NO_ANSWER):
            raise ValueError("Answers needs class ids of 0 or more, or NO_ANSWER")

    @property
    def n(self) -> int:
        return len(self.answer)


def counts(problems: Sequence[Answers]) -> tuple[Ints, Ints]:
    """(n, c) of each problem, as engine.coverage takes them."""
    n = np.array([each.n for each in problems], dtype=np.int64)
    return n, np.array([each.correct.sum() for each in problems], dtype=np.int64)


def common_ks(problems: Sequence[Answers], ks: npt.ArrayLike | None) -> Ints:
    """``ks``, or by default a log-spaced grid up to the smallest n, where every problem takes part."""
    if ks is None:
        return log_spaced(min((each.n for each in problems), default=0))
    grid = np.asarray(ks, dtype=np.int64)
    if grid.ndim != 1 or np.any(np.diff(grid) <= 0) or np.any(grid < 1):
        raise ValueError("selection needs ks of 1 or more in rising order")
    return grid
