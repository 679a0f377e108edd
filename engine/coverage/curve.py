"""Coverage against k with a 95% band, from two whole numbers per problem."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from engine.coverage.bands import TAIL, Floats, Ints, bootstrap_over_problems, is_rare, mean_over_problems, wilson
from engine.coverage.estimator import log_fail_at_k, pass_at_k

Over = Literal["problems", "samples"]
Method = Literal["closed form", "bootstrap", "posterior"]
_CELLS = 1 << 16  # table cells computed at a time, so that intermediate results stay in the cache


@dataclass(frozen=True, slots=True)
class Curve:
    """Arrays of one length: at ``k`` samples the mean ``coverage`` over ``problems`` problems, between lo and hi.

    over: what the band would repeat: "problems" draws new problems and new samples, "samples" only new samples of
    these problems. model_based: False when coverage is the unbiased estimate of pass@k, True when a fitted law says it.
    """

    k: Ints
    coverage: Floats
    lo: Floats
    hi: Floats
    problems: Ints
    over: Over = "problems"
    method: Method = "closed form"
    model_based: bool = False


def log_spaced(largest: int, points: int = 40) -> Ints:
    """At most ``points`` different whole numbers from 1 to ``largest``, both included, evenly on a log axis."""
    if largest < 1:
        return np.array([], dtype=np.int64)
    return np.unique(np.rint(np.geomspace(1, largest, num=min(points, largest))).astype(np.int64))


def coverage_curve(
    n: npt.ArrayLike, c: npt.ArrayLike, ks: npt.ArrayLike | None = None, *, over: Over = "problems"
) -> Curve:
    """The mean of pass@k over problems with n samples and c correct ones each, for every k in ``ks``.

    n, c: shape (problems,). Problems may have unequal n: at k only those with n >= k take part. A problem's n must
    then not depend on its c, or the curve is biased (forecast.model_curve is right for such experiments). By default
    ks are log-spaced up to the smallest n, where every problem takes part; entries without any problem are NaN.

    The band, in closed form: over "problems", see bands.mean_over_problems; over "samples", Wilson's interval with the
    jackknife variance of each problem's estimate (sample_variance), which grows too large, never too small, as k
    nears n (Efron and Stein 1981, "The jackknife estimate of variance").
    """
    pairs, counts, ks = _pairs(n, c, ks)
    if not ks.size or not counts.size:
        empty = np.full(ks.size, np.nan)
        return Curve(ks, empty, empty, empty, np.zeros(ks.size, dtype=np.int64), over)
    step = max(1, _CELLS // len(counts))
    blocks = [_block(pairs, counts, ks[start : start + step], over) for start in range(0, ks.size, step)]
    mean, lo, hi, problems = (np.concatenate(column) for column in zip(*blocks, strict=True))
    return Curve(ks, mean, lo, hi, problems, over)


def bootstrap_curve(
    n: npt.ArrayLike, c: npt.ArrayLike, ks: npt.ArrayLike | None = None, *, resamples: int = 1000, seed: int = 0
) -> Curve:
    """coverage_curve over "problems" with a bootstrap band: whole problems are drawn again, with their samples.

    ``resamples`` and ``seed`` make the result repeatable. The closed form's band is kept where all problems agree and
    where nearly all samples do (bands.is_rare): resampling cannot draw what was not seen.
    """
    closed = coverage_curve(n, c, ks)
    pairs, counts, ks = _pairs(n, c, closed.k)
    if not ks.size or not counts.size:
        return replace(closed, method="bootstrap")
    values = pass_at_k(pairs[:, :1], pairs[:, 1:], ks)
    lo, hi = bootstrap_over_problems(values, counts, resamples, seed)
    few = is_rare(closed.coverage, _trials(pairs[:, :1], counts, ks))
    known = ~np.isnan(lo) & ~few
    return replace(
        closed,
        lo=np.where(known, np.minimum(lo, closed.coverage), closed.lo),
        hi=np.where(known, np.maximum(hi, closed.coverage), closed.hi),
        method="bootstrap",
    )


def sample_variance(n: npt.ArrayLike, c: npt.ArrayLike, k: npt.ArrayLike) -> Floats:
    """The jackknife variance of pass_at_k(n, c, k) when the problem stays and its n samples are drawn anew.

    Leaving out one of the c correct samples raises the chance to fail, leaving out a wrong one lowers it; summing the
    n squared deviations gives (n - 1) c / (n - c) * (k r / (n - k))^2 with r = 1 - pass@k. At k = 1 that is
    p (1 - p) / (n - 1). At k = n no sample can be left out: the value of k = n - 1 stands in. NaN where k > n.
    """
    n, c, k = np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in (n, c, k)))
    inner = np.where((k == n) & (n > 1), n - 1, k)
    log_fail = log_fail_at_k(n, c, inner)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_variance = np.log((n - 1) * c / (n - c)) + 2 * (np.log(inner / (n - inner)) + log_fail)
        variance = np.where((c == 0) | (c == n) | (n == 1), 0.0, np.exp(log_variance))
    return np.where(k > n, np.nan, variance)


def counts_of(n: npt.ArrayLike, c: npt.ArrayLike, caller: str) -> tuple[Ints, Ints]:
    """n and c as int64 arrays of one shape (problems,); raises ValueError with the caller's name otherwise."""
    n, c = np.asarray(n, dtype=np.int64), np.asarray(c, dtype=np.int64)
    if n.shape != c.shape or n.ndim != 1:
        raise ValueError(f"{caller} needs n and c of one shape (problems,), got {n.shape} and {c.shape}")
    if np.any(c < 0) or np.any(c > n):
        raise ValueError(f"{caller} needs 0 <= c <= n")
    return n, c


def _pairs(n: npt.ArrayLike, c: npt.ArrayLike, ks: npt.ArrayLike | None) -> tuple[Ints, Ints, Ints]:
    """The different (n, c) with how many problems have each, and ks. Many problems share their pair."""
    n, c = counts_of(n, c, "coverage_curve")
    ks = log_spaced(int(n.min()) if n.size else 0) if ks is None else np.asarray(ks, dtype=np.int64)
    pairs, counts = np.unique(np.stack([n, c], axis=1), axis=0, return_counts=True)
    return pairs, counts.astype(np.int64), ks


def _block(pairs: Ints, counts: Ints, ks: Ints, over: Over) -> tuple[Floats, Floats, Floats, Ints]:
    n, c = pairs[:, :1], pairs[:, 1:]
    values = pass_at_k(n, c, ks)
    # n // k disjoint groups of k samples each: no mean of them can be surer than so many independent trials.
    mean, lo, hi, problems = mean_over_problems(values, counts, n / ks)
    if over == "problems":
        return mean, lo, hi, problems
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = counts @ np.nan_to_num(sample_variance(n, c, ks)) / problems**2
        trials = _trials(n, counts, ks)
        effective = mean * (1 - mean) / variance
        # Where no problem is between never and always right the jackknife shows no spread, near that too little.
        capped = (variance <= 0) | is_rare(mean, trials)
        effective = np.where(capped, np.fmin(effective, trials), effective)
    return mean, *wilson(mean, effective, ndtri(TAIL)), problems


def _trials(n: Ints, counts: Ints, ks: Ints) -> Floats:
    """How many disjoint groups of k samples there are over all problems, shape (ks,)."""
    return np.asarray(counts @ np.where(n >= ks, n / ks, 0.0), dtype=np.float64)
