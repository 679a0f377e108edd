"""Coverage at k beyond the samples drawn, and whether drawing them is worth it. Every number here is model-based."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from engine.coverage.bands import TAIL, Floats, Ints
from engine.coverage.betabinomial import BetaBinomial, expected_coverage, fit_beta_binomial, solved_later
from engine.coverage.curve import Curve, Over, counts_of, coverage_curve, log_spaced
from engine.coverage.estimator import pass_at_k
from engine.coverage.posterior import Draws, draw_chances, draw_laws
from engine.coverage.powerlaw import PowerLaw, fit_power_law


@dataclass(frozen=True, slots=True)
class Forecast:
    """The fitted law and the curve it gives, with a 95% interval from the law's and the problems' uncertainty."""

    law: BetaBinomial
    curve: Curve


@dataclass(frozen=True, slots=True)
class Backtest:
    """What the first samples would have predicted against what the rest then showed; arrays of shape (ks,).

    predicted, lo, hi: by the beta-binomial law fitted on ``first`` samples per problem (the fewest of any problem);
    the 95% interval is for the measured curve, so it holds the chance of the remaining samples too. power_law: the
    paper's fit on the same first samples, NaN where there is none.
    """

    first: int
    k: Ints
    measured: Floats
    predicted: Floats
    lo: Floats
    hi: Floats
    power_law: Floats
    model_based: bool = True

    @property
    def inside(self) -> float:
        """The share of ks whose measured coverage lies in the interval."""
        return float(np.mean((self.lo <= self.measured) & (self.measured <= self.hi)))

    @property
    def error(self) -> float:
        """Root mean square error of the beta-binomial prediction over the ks."""
        return float(np.sqrt(np.mean((self.predicted - self.measured) ** 2)))

    @property
    def power_law_error(self) -> float:
        return float(np.sqrt(np.mean((self.power_law - self.measured) ** 2)))


@dataclass(frozen=True, slots=True)
class Gains:
    """What ``more`` further samples on each problem are expected to bring; arrays of shape (amounts,).

    samples: drawn in all; newly_solved: expected number of problems solved for the first time, lo and hi its 95%
    prediction interval; the rest is newly_solved per unit spent, None where no price was given.
    """

    more: Ints
    samples: Ints
    newly_solved: Floats
    lo: Floats
    hi: Floats
    per_sample: Floats
    per_dollar: Floats | None
    per_gpu_hour: Floats | None
    model_based: bool = True


def forecast(
    n: npt.ArrayLike,
    c: npt.ArrayLike,
    ks: npt.ArrayLike | None = None,
    *,
    over: Over = "samples",
    draws: int = 300,
    seed: int = 0,
) -> Forecast | None:
    """Coverage at any k, far beyond n too, by the zero-inflated beta-binomial law of highest likelihood.

    over "samples": of these problems (the mean over problems of what law and samples say about each); over
    "problems": of a new problem of the kind. By default ks are log-spaced to 100 times the largest n. None when there
    are too few problems to fit a law.
    """
    n, c = counts_of(n, c, "forecast")
    law = fit_beta_binomial(n, c)
    if law is None:
        return None
    ks = log_spaced(100 * int(n.max()), 50) if ks is None else np.asarray(ks, dtype=np.int64)
    laws = draw_laws(n, c, draws, seed)
    if over == "problems":
        mean = law.coverage(ks)
        drawn = np.stack(
            [
                BetaBinomial(float(alpha), float(beta), float(impossible), 0.0, law.problems).coverage(ks)
                for alpha, beta, impossible in zip(laws.alpha, laws.beta, laws.impossible, strict=True)
            ]
        )
    else:
        mean = expected_coverage(law, n, c, ks).mean(axis=0)
        drawn = _coverage_of_draws(laws, n, c, ks, seed)
    lo, hi = np.quantile(drawn, [1 - TAIL, TAIL], axis=0)
    # The most likely law may lie at the edge of the plausible ones (no impossible problem): the interval holds it.
    curve = Curve(
        ks,
        mean,
        np.minimum(lo, mean),
        np.maximum(hi, mean),
        np.full(len(ks), len(n), dtype=np.int64),
        over,
        "posterior",
        model_based=True,
    )
    return Forecast(law, curve)


def model_curve(n: npt.ArrayLike, c: npt.ArrayLike, ks: npt.ArrayLike | None = None, *, seed: int = 0) -> Curve | None:
    """The curve of these problems for k up to the largest n when n depended on what was seen (adaptive allocation,
    stopping at the first success): coverage_curve would be biased there. None when no law can be fitted."""
    n = np.asarray(n, dtype=np.int64)
    found = forecast(n, c, log_spaced(int(n.max(initial=0))) if ks is None else ks, seed=seed)
    return found.curve if found else None


def backtest(
    n: npt.ArrayLike,
    c: npt.ArrayLike,
    *,
    first_n: npt.ArrayLike | None = None,
    first_c: npt.ArrayLike | None = None,
    points: int = 20,
    draws: int = 200,
    seed: int = 0,
) -> Backtest | None:
    """Fit on the first tenth of each problem's samples, predict the curve of all of them.

    first_n, first_c: the counts among the first samples, shape (problems,). Without them a random tenth of each
    problem's samples is taken, which needs only (n, c): samples of a problem are exchangeable. None when the tenth is
    smaller than two samples, nothing is left to predict, or no law can be fitted.
    """
    n, c = counts_of(n, c, "backtest")
    random = np.random.default_rng(seed)
    if first_n is None or first_c is None:
        first_n = n // 10
        first_c = random.hypergeometric(c, n - c, first_n) if n.size else c
    first_n, first_c = counts_of(first_n, first_c, "backtest")
    if first_n.shape != n.shape or np.any(first_c > c) or np.any(first_n - first_c > n - c):
        raise ValueError("backtest needs first_n and first_c counted among the n and c samples of the same problems")
    if not n.size or first_n.min() < 2:
        return None
    law = fit_beta_binomial(first_n, first_c)
    if law is None:
        return None
    ks = log_spaced(int(n.min()), 200)
    ks = ks[ks > first_n.min()]
    if not ks.size:
        return None
    ks = ks[np.unique(np.linspace(0, len(ks) - 1, points).astype(np.int64))]
    laws = draw_laws(first_n, first_c, draws, seed)
    p = draw_chances(laws, first_n, first_c, random)
    finished = first_c + random.binomial(n - first_n, p)
    curves = np.stack([_mean_pass(n, each, ks) for each in finished])
    lo, hi = np.quantile(curves, [1 - TAIL, TAIL], axis=0)
    predicted = expected_coverage(law, first_n, first_c, ks).mean(axis=0)
    paper: PowerLaw | None = fit_power_law(first_n, first_c)
    return Backtest(
        int(first_n.min()),
        ks,
        coverage_curve(n, c, ks).coverage,
        predicted,
        np.minimum(lo, predicted),
        np.maximum(hi, predicted),
        paper.coverage(ks) if paper else np.full(len(ks), np.nan),
    )


def expected_gains(
    n: npt.ArrayLike,
    c: npt.ArrayLike,
    more: npt.ArrayLike,
    *,
    on: Literal["unsolved", "all"] = "unsolved",
    dollars_per_sample: float | None = None,
    gpu_seconds_per_sample: float | None = None,
    draws: int = 300,
    seed: int = 0,
) -> Gains | None:
    """Newly solved problems when ``more`` samples, shape (amounts,), are drawn on all or all unsolved problems.

    A solved problem cannot be solved anew: drawing on it costs and brings nothing here. None when no law can be fitted.
    """
    n, c = counts_of(n, c, "expected_gains")
    law = fit_beta_binomial(n, c)
    if law is None:
        return None
    more = np.asarray(more, dtype=np.int64)
    open_n = n[c == 0]
    expected = solved_later(law, open_n[:, None], more).sum(axis=0)
    random = np.random.default_rng(seed)
    chances = draw_chances(draw_laws(n, c, draws, seed), open_n, np.zeros_like(open_n), random)
    # One uniform number per problem and draw for all amounts: what 10 samples solve, 100 solve too.
    luck = np.log(random.random(chances.shape))
    with np.errstate(divide="ignore"):
        wait = luck / np.log1p(-np.minimum(chances, 1 - 1e-12))  # samples until the first success
    counts = np.stack([np.sum(wait <= amount, axis=1) for amount in more], axis=1)
    lo, hi = np.quantile(counts, [1 - TAIL, TAIL], axis=0)
    samples = more * (len(open_n) if on == "unsolved" else len(n))
    with np.errstate(divide="ignore", invalid="ignore"):
        per_sample = expected / samples
    return Gains(
        more,
        samples,
        expected,
        np.minimum(lo, expected),
        np.maximum(hi, expected),
        per_sample,
        per_sample / dollars_per_sample if dollars_per_sample else None,
        per_sample / (gpu_seconds_per_sample / 3600) if gpu_seconds_per_sample else None,
    )


def _coverage_of_draws(laws: Draws, n: Ints, c: Ints, ks: Ints, seed: int) -> Floats:
    """Coverage of these problems under each drawn law, shape (draws, ks)."""
    log_fail = np.log1p(-np.minimum(draw_chances(laws, n, c, np.random.default_rng(seed)), 1 - 1e-16))
    return np.stack([1 - np.exp(log_fail * k).mean(axis=1) for k in ks], axis=1)


def _mean_pass(n: Ints, c: Ints, ks: Ints) -> Floats:
    pairs, counts = np.unique(np.stack([n, c], axis=1), axis=0, return_counts=True)
    return np.asarray(counts @ pass_at_k(pairs[:, :1], pairs[:, 1:], ks) / counts.sum())
