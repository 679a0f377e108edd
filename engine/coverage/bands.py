"""95% bands around a mean over problems, in closed form and by bootstrap."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri, stdtrit

LEVEL = 0.95
TAIL = (1 + LEVEL) / 2
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def mean_over_problems(values: Floats, counts: Ints, trials: Floats) -> tuple[Floats, Floats, Floats, Ints]:
    """(mean, lo, hi, problems), each of shape (ks,): the band is for a new set of problems of the same kind.

    values: (rows, ks) within [0, 1], NaN where a row does not take part; counts: (rows,), how many problems a row
    stands for; trials: (rows, ks), how many independent trials a problem's value can be worth at most.

    Wilson's score interval on the mean, with the effective sample size and the t quantile of Korn and Graubard 1998
    ("Confidence intervals for proportions with small expected number of positive counts"). A problem's value carries
    the chance of its samples too, so the spread between problems holds both sources; adding the samples' again would
    count them twice. Unlike mean +- 1.96 standard errors it stays within [0, 1] and keeps a width when all agree.
    """
    part = ~np.isnan(values)
    weights = counts[:, None] * part
    problems = weights.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(part, values, 0.0).T.dot(counts) / problems
        squares = np.sum(weights * np.where(part, values - mean, 0.0) ** 2, axis=0)
        variance = squares / (problems - 1) / problems
        most = np.sum(weights * np.where(part, trials, 0.0), axis=0)
        spread = mean * (1 - mean)
        agree = (problems == 1) | (spread < 1e-12)
        effective = np.where(agree, problems, np.where(variance > 0, np.minimum(most, spread / variance), most))
        quantile = np.where(agree, ndtri(TAIL), stdtrit(np.maximum(problems - 1, 1), TAIL))
    return mean, *wilson(mean, effective, quantile), problems.astype(np.int64)


def wilson(mean: Floats, effective: Floats, quantile: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Wilson's score interval for a proportion ``mean`` of ``effective`` trials; NaN stays NaN."""
    with np.errstate(invalid="ignore", divide="ignore"):
        z2 = np.square(quantile) / effective
        centre = (mean + z2 / 2) / (1 + z2)
        half = np.sqrt(z2 * (mean * (1 - mean) + z2 / 4)) / (1 + z2)
    # Rounding may push the ends past the mean at 0 and at 1.
    return np.clip(np.minimum(mean, centre - half), 0.0, 1.0), np.clip(np.maximum(mean, centre + half), 0.0, 1.0)


def is_rare(mean: Floats, trials: Floats) -> npt.NDArray[np.bool_]:
    """Whether fewer than 10 of ``trials`` would succeed, or fail: too few for an interval from their own spread."""
    return np.minimum(mean, 1 - mean) * trials < 10


def bootstrap_over_problems(values: Floats, counts: Ints, resamples: int, seed: int) -> tuple[Floats, Floats]:
    """(lo, hi) of shape (ks,) for the mean of ``values`` (see mean_over_problems), by resampling whole problems.

    The bias-corrected and accelerated interval of Efron 1987 ("Better bootstrap confidence intervals"). NaN where
    all problems agree: resampling cannot show anything then.
    """
    random = np.random.default_rng(seed)
    total = int(counts.sum())
    draws = random.multinomial(total, counts / total, size=resamples).astype(np.float64)
    part = ~np.isnan(values)
    filled = np.where(part, values, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (draws @ filled) / (draws @ part)
        mean = counts @ filled / (counts @ part)
        apart = np.where(part, values - mean, 0.0)
        second, third = counts @ apart**2, counts @ apart**3
        acceleration = third / (6 * second**1.5)
        # Half of the ties count as below, so that a discrete mean gives no bias of its own.
        below = (np.mean(means < mean, axis=0) + np.mean(means <= mean, axis=0)) / 2
        bias = ndtri(np.clip(below, 1 / resamples, 1 - 1 / resamples))
        # The spread of resampled means is too small by sqrt((P - 1) / P), and a t quantile is due besides (Hesterberg
        # 2015, "What teachers should know about the bootstrap", section 5.3).
        problems = counts @ part
        reach = np.sqrt(problems / (problems - 1)) * stdtrit(np.maximum(problems - 1, 1), TAIL)
        ends = [ndtr(bias + (bias + sign * reach) / (1 - acceleration * (bias + sign * reach))) for sign in (-1.0, 1.0)]
    shown = second > 1e-20
    lo, hi = np.full(values.shape[1], np.nan), np.full(values.shape[1], np.nan)
    for column in np.flatnonzero(shown):
        lo[column], hi[column] = np.quantile(means[:, column], [ends[0][column], ends[1][column]])
    return lo, hi
