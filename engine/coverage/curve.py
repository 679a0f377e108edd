"""Coverage against k with a 95% band, from two whole numbers per problem."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit

from engine.coverage.estimator import Floats, pass_at_k

LEVEL = 0.95
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Curve:
    """Arrays of one length: at ``k`` samples the mean ``coverage`` over ``problems`` problems, between lo and hi."""

    k: Ints
    coverage: Floats
    lo: Floats
    hi: Floats
    problems: Ints


def log_spaced(largest: int, points: int = 40) -> Ints:
    """At most ``points`` different whole numbers from 1 to ``largest``, both included, evenly on a log axis."""
    if largest < 1:
        return np.array([], dtype=np.int64)
    return np.unique(np.rint(np.geomspace(1, largest, num=min(points, largest))).astype(np.int64))


def coverage_curve(n: npt.ArrayLike, c: npt.ArrayLike, ks: npt.ArrayLike | None = None) -> Curve:
    """The mean of pass@k over problems with n samples and c correct ones each, for every k in ``ks``.

    n, c: shape (problems,). Problems may have unequal n: at k only those with n >= k take part. A problem's n must
    then not depend on its c, or the curve is biased. By default ks are log-spaced up to the smallest n, where every
    problem takes part; entries without any problem are NaN.

    The band is for a new set of problems of the same kind: problems and their samples are both taken as drawn at
    random. It is Wilson's score interval on the mean, with the effective sample size and the t quantile of Korn and
    Graubard 1998 ("Confidence intervals for proportions with small expected number of positive counts"). Unlike
    mean +- 1.96 standard errors it stays within [0, 1] and keeps a width when all problems are solved.
    """
    n, c = np.asarray(n, dtype=np.int64), np.asarray(c, dtype=np.int64)
    if n.shape != c.shape or n.ndim != 1:
        raise ValueError(f"coverage_curve needs n and c of one shape (problems,), got {n.shape} and {c.shape}")
    ks = log_spaced(int(n.min(initial=np.iinfo(np.int64).max)) if n.size else 0) if ks is None else ks
    ks = np.asarray(ks, dtype=np.int64)
    # Many problems share their (n, c): each pair is computed once, and one k at a time bounds the memory.
    pairs, counts = np.unique(np.stack([n, c], axis=1), axis=0, return_counts=True)
    points = [_point(pairs[:, 0], pairs[:, 1], counts, int(k)) for k in ks]
    coverage, lo, hi, problems = (np.array(column) for column in zip(*points, strict=True)) if points else [[]] * 4
    return Curve(
        ks,
        np.asarray(coverage, dtype=np.float64),
        np.asarray(lo, dtype=np.float64),
        np.asarray(hi, dtype=np.float64),
        np.asarray(problems, dtype=np.int64),
    )


def _point(n: Ints, c: Ints, counts: Ints, k: int) -> tuple[float, float, float, int]:
    """(coverage, lo, hi, problems) at k; ``counts`` problems have each (n, c)."""
    enough = n >= k
    problems = int(counts[enough].sum())
    if problems == 0:
        return np.nan, np.nan, np.nan, 0
    values, weights = pass_at_k(n[enough], c[enough], k), counts[enough]
    mean = float(np.average(values, weights=weights))
    squares = float(np.sum(weights * (values - mean) ** 2))
    # n // k disjoint groups of k samples each: no mean of them can be surer than so many independent trials.
    trials = float(np.sum(weights * (n[enough] / k)))
    return mean, *_wilson(mean, squares, problems, trials), problems


def _wilson(mean: float, squares: float, problems: int, trials: float) -> tuple[float, float]:
    """Wilson's interval for ``mean`` of ``problems`` values whose squared deviations sum to ``squares``."""
    spread = mean * (1 - mean)
    if problems == 1 or spread < 1e-12:
        effective, quantile = float(problems), float(ndtri((1 + LEVEL) / 2))
    else:
        variance_of_mean = squares / (problems - 1) / problems
        effective = min(trials, spread / variance_of_mean) if variance_of_mean > 0 else trials
        quantile = float(stdtrit(problems - 1, (1 + LEVEL) / 2))
    z2 = quantile**2 / effective
    centre = (mean + z2 / 2) / (1 + z2)
    half = (z2 * (spread + z2 / 4)) ** 0.5 / (1 + z2)
    # Rounding may push the ends past the mean at 0 and at 1.
    return max(0.0, min(mean, centre - half)), min(1.0, max(mean, centre + half))
