"""The measured curve of an experiment, drawn in full or stopped where problems are solved. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from engine.coverage import Curve, coverage_curve, first_success_curve

# What readers of exports and of the API are told, by whether problems stop when they are solved.
ESTIMATOR = {
    False: "unbiased pass@k from the graded samples n and the correct ones c of each problem",
    True: "share of problems solved within the first k samples; drawing a problem stopped at its first correct sample, "
    "so n depends on c, and shares c/n and pass@k from (n, c) would be biased",
}


def measured_curve(n: Any, c: Any, tries: Any, settled: int | None, ks: Any = None) -> Curve:
    """The curve from the problems' counters, at ``ks`` or at log-spaced k as far as it goes.

    settled: of an experiment that stops when solved (see stopping.settled); None for one that draws every sample.
    tries: samples up to the first correct one, 0 where none is correct; only the former has them.
    """
    if settled is None:
        return coverage_curve(n, c, ks)
    return first_success_curve(tries, settled, ks)


def tries_of(first_correct: Iterable[int | None]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Samples up to the first correct one, from its index; 0 for None."""
    return np.array([0 if index is None else index + 1 for index in first_correct], dtype=np.int64)
