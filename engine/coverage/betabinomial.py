"""How hard the problems of an experiment are: a zero-inflated beta-binomial law, and what it says about each problem.

A problem is impossible (p = 0) with chance ``impossible``, else its chance p of a correct sample is drawn from
Beta(alpha, beta); c of its n samples are then correct with Binomial(n, p). Kazdan et al. 2025 (arXiv 2510.05197) fit
the law without the zeros by maximum likelihood; Verine et al. 2026 add them. The likelihood of (n, c) is the same
whether n was fixed or sampling stopped because of what was seen: the law is right for adaptive experiments too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import betaln, expit, gammaln, psi

from engine.coverage.bands import Floats, Ints
from engine.coverage.curve import counts_of
from engine.coverage.estimator import log_gamma_ratio

# Bounds on (log alpha, log beta, logit impossible): wide enough for any experiment, finite where
# the likelihood is flat.
_BOUNDS = [(np.log(1e-3), np.log(1e4)), (np.log(1e-3), np.log(1e7)), (-12.0, 12.0)]


@dataclass(frozen=True, slots=True)
class BetaBinomial:
    """A fitted law. log_likelihood leaves out the binomial coefficients, which no parameter changes."""

    alpha: float
    beta: float
    impossible: float
    log_likelihood: float
    problems: int
    model_based: bool = True

    def coverage(self, ks: npt.ArrayLike) -> Floats:
        """Expected coverage at k of a new problem: (1 - impossible) (1 - B(alpha, beta + k) / B(alpha, beta))."""
        return (1 - self.impossible) * solve_chance(self.alpha, self.beta, ks)


def fit_beta_binomial(n: npt.ArrayLike, c: npt.ArrayLike, *, zero_inflated: bool | None = None) -> BetaBinomial | None:
    """The law of highest likelihood for problems with n samples and c correct ones, shapes (problems,), unequal n
    allowed. None with fewer than two problems that have samples: nothing can be said about a spread then.

    zero_inflated: None lets Akaike's criterion decide: impossible problems are assumed only where they raise the
    log-likelihood by more than 1, for few samples cannot tell them from hard ones and the forecast would fall for it.
    """
    table = table_of(n, c)
    if table.counts.sum() < 2:
        return None
    if zero_inflated is None:
        plain, inflated = _most_likely(table, False), _most_likely(table, True)
        return inflated if inflated.log_likelihood > plain.log_likelihood + 1 else plain
    return _most_likely(table, zero_inflated)


def _most_likely(table: Table, zero_inflated: bool) -> BetaBinomial:
    dimensions = 3 if zero_inflated else 2
    bounds = _BOUNDS[:dimensions]

    def loss(theta: Floats) -> tuple[float, Floats]:
        value, gradient = log_likelihood_and_gradient(table, np.append(theta, [-np.inf] * (3 - dimensions)))
        return -value, -gradient[:dimensions]

    unsolved = float(table.counts[table.c == 0].sum() / table.counts.sum())
    starts = [[*start_from_moments(table), logit(share * unsolved)][:dimensions] for share in (0.02, 0.5, 0.95)]
    tries = [
        minimize(loss, np.clip(start, *np.array(bounds).T), jac=True, method="L-BFGS-B", bounds=bounds)
        for start in starts[: 3 if zero_inflated else 1]
    ]
    best = min(tries, key=lambda found: float(found.fun))
    alpha, beta = np.exp(best.x[:2])
    impossible = float(expit(best.x[2])) if zero_inflated else 0.0
    return BetaBinomial(float(alpha), float(beta), impossible, float(-best.fun), int(table.counts.sum()))


def possible_if_unsolved(alpha: npt.ArrayLike, beta: npt.ArrayLike, impossible: npt.ArrayLike, n: Ints) -> Floats:
    """The chance that a problem without a correct one among n samples can be solved at all."""
    unlucky = (1 - np.asarray(impossible)) * fail_chance(alpha, beta, n)
    return np.asarray(unlucky / (np.asarray(impossible) + unlucky))


def solved_later(law: BetaBinomial, n: Ints, more: npt.ArrayLike) -> Floats:
    """The chance that ``more`` further samples solve a problem unsolved after n; shapes broadcast."""
    return possible_if_unsolved(law.alpha, law.beta, law.impossible, n) * solve_chance(law.alpha, law.beta + n, more)


def expected_coverage(law: BetaBinomial, n: Ints, c: Ints, ks: npt.ArrayLike) -> Floats:
    """Per problem and k, shape (problems, ks): the expectation of 1 - (1 - p)^k under the law, given the samples."""
    n, c = n[:, None], c[:, None]
    solved = solve_chance(law.alpha + c, law.beta + (n - c), ks)
    return np.where(c > 0, 1.0, possible_if_unsolved(law.alpha, law.beta, law.impossible, n)) * solved


def fail_chance(alpha: npt.ArrayLike, beta: npt.ArrayLike, k: npt.ArrayLike) -> Floats:
    """E[(1 - p)^k] for p ~ Beta(alpha, beta): B(alpha, beta + k) / B(alpha, beta)."""
    return np.exp(_log_fail(alpha, beta, k))


def solve_chance(alpha: npt.ArrayLike, beta: npt.ArrayLike, k: npt.ArrayLike) -> Floats:
    """1 - fail_chance, exact where it is small too."""
    return 0.0 - np.expm1(_log_fail(alpha, beta, k))


def _log_fail(alpha: npt.ArrayLike, beta: npt.ArrayLike, k: npt.ArrayLike) -> Floats:
    alpha, beta, k = (np.asarray(value, dtype=np.float64) for value in (alpha, beta, k))
    return np.minimum(log_gamma_ratio(alpha + beta + k, alpha, k), 0.0)


@dataclass(frozen=True, slots=True)
class Table:
    """The different (n, c) with n > 0, and how many problems have each."""

    n: Floats
    c: Floats
    counts: Floats


def table_of(n: npt.ArrayLike, c: npt.ArrayLike) -> Table:
    n, c = counts_of(n, c, "the beta-binomial law")
    pairs, counts = np.unique(np.stack([n, c], axis=1)[n > 0], axis=0, return_counts=True)
    return Table(pairs[:, 0].astype(np.float64), pairs[:, 1].astype(np.float64), counts.astype(np.float64))


def logit(p: float) -> float:
    p = min(max(p, 1e-5), 1 - 1e-5)
    return float(np.log(p / (1 - p)))


def start_from_moments(table: Table) -> tuple[float, float]:
    """(log alpha, log beta) of a Beta with the mean and spread of the observed rates, pulled a little to 1/2."""
    rates = (table.c + 0.25) / (table.n + 0.5)
    mean = float(np.average(rates, weights=table.counts))
    variance = float(np.average((rates - mean) ** 2, weights=table.counts)) + 1e-6
    size = min(max(mean * (1 - mean) / variance - 1, 0.2), 1e3)
    return float(np.log(mean * size)), float(np.log((1 - mean) * size))


def log_likelihood_and_gradient(table: Table, theta: Floats) -> tuple[float, Floats]:
    alpha, beta = np.exp(theta[:2])
    impossible, possible = expit(theta[2]), expit(-theta[2])
    n, c, counts = table.n, table.c, table.counts
    own = betaln(c + alpha, n - c + beta) - betaln(alpha, beta)
    zero = c == 0
    with np.errstate(divide="ignore"):
        log_term = np.where(zero, np.logaddexp(np.log(impossible), np.log(possible) + own), np.log(possible) + own)
    share = np.exp(np.log(possible) + own - log_term)  # of the likelihood that comes from the beta part
    whole = psi(n + alpha + beta) - psi(alpha + beta)
    by_alpha = alpha * (psi(c + alpha) - psi(alpha) - whole)
    by_beta = beta * (psi(n - c + beta) - psi(beta) - whole)
    # d log(term) / d logit: the impossible part's posterior share minus its prior share.
    by_logit = np.where(zero, 1 - share, 0.0) - impossible
    gradient = np.array([counts @ (share * by_alpha), counts @ (share * by_beta), counts @ by_logit])
    return float(counts @ log_term), gradient


def log_likelihoods(table: Table, thetas: Floats) -> Floats:
    """The log-likelihood of each row of ``thetas``, shape (rows, 3)."""
    alpha, beta = np.exp(thetas[:, :1]), np.exp(thetas[:, 1:2])
    sizes, where = np.unique(table.n, return_inverse=True)  # mostly one: n is the same for all problems
    own = (
        gammaln(table.c + alpha)
        + gammaln(table.n - table.c + beta)
        - gammaln(sizes + alpha + beta)[:, where]
        - betaln(alpha, beta)
    )
    log_possible, log_impossible = -np.logaddexp(0, thetas[:, 2:]), -np.logaddexp(0, -thetas[:, 2:])
    terms = np.where(table.c == 0, np.logaddexp(log_impossible, log_possible + own), log_possible + own)
    return np.asarray(terms @ table.counts)
