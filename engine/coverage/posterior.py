"""Which laws and which chances the samples leave plausible: the source of every forecast's interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit, gammaln

from engine.coverage.bands import Floats, Ints
from engine.coverage.betabinomial import (
    Table,
    log_likelihood_and_gradient,
    log_likelihoods,
    logit,
    possible_if_unsolved,
    start_from_moments,
    table_of,
)

# The prior of the draws: alpha and beta within e^-4..e^4 and e^-5..e^7, impossible anywhere in (0, 1).
_PRIOR_MEAN, _PRIOR_SD = np.array([0.0, 1.0]), np.array([2.0, 3.0])
_FREEDOM = 5.0  # of the t distributions that propose laws: tails heavier than the posterior's


@dataclass(frozen=True, slots=True)
class Draws:
    """Parameters that the data leave plausible, each of shape (draws,): a sample of the law's posterior."""

    alpha: Floats
    beta: Floats
    impossible: Floats


def draw_laws(n: npt.ArrayLike, c: npt.ArrayLike, draws: int = 300, seed: int = 0) -> Draws:
    """``draws`` laws in proportion to their likelihood times a weak prior: log alpha ~ N(0, 2), log beta ~ N(1, 3), and
    an even chance that no problem is impossible, else ``impossible`` uniform.

    By importance sampling, in two rounds from t distributions around the mode; the weights' means also weigh the laws
    with and without impossible problems against each other.
    """
    table = table_of(n, c)
    random = np.random.default_rng(seed)
    sides = [_weighted(table, dimensions, 4 * draws, random) for dimensions in (2, 3)]
    thetas = np.concatenate([theta for theta, _ in sides])
    log_weight = np.concatenate([weight for _, weight in sides])
    weight = np.exp(log_weight - log_weight.max())
    # Evenly spaced positions instead of independent draws: the same expectation with less noise.
    positions = (random.random() + np.arange(draws)) / draws * weight.sum()
    chosen = thetas[np.minimum(np.searchsorted(np.cumsum(weight), positions), len(thetas) - 1)]
    return Draws(np.exp(chosen[:, 0]), np.exp(chosen[:, 1]), expit(chosen[:, 2]))


def _weighted(table: Table, dimensions: int, size: int, random: np.random.Generator) -> tuple[Floats, Floats]:
    """2 * size parameters (log alpha, log beta, logit impossible) and the logarithms of their weights.

    With two dimensions the logit stays at minus infinity: no impossible problem.
    """

    def full(theta: Floats) -> Floats:
        return np.append(theta, [-np.inf] * (3 - dimensions))

    def loss(theta: Floats) -> tuple[float, Floats]:
        value, gradient = log_likelihood_and_gradient(table, full(theta))
        prior, prior_gradient = _log_prior_and_gradient(theta)
        return -(value + prior), -(gradient[:dimensions] + prior_gradient)

    unsolved = float(table.counts[table.c == 0].sum() / max(1, table.counts.sum()))
    starts = [np.array([*start_from_moments(table), logit(share * unsolved)])[:dimensions] for share in (0.05, 0.6)]
    tries = [minimize(loss, start, jac=True, method="BFGS") for start in starts[: dimensions - 1]]
    mode = min(tries, key=lambda found: float(found.fun)).x
    centre, spread = mode, _covariance(lambda theta: loss(theta)[1], mode)
    tried: list[Floats] = []
    proposals: list[tuple[Floats, Floats]] = []
    for _ in range(2):
        proposals.append((centre, spread))
        tried.append(_t_draws(random, centre, spread, size))
        every = np.concatenate(tried)
        density = np.logaddexp.reduce([_t_log_density(every, *each) for each in proposals], axis=0)
        thetas = np.column_stack([every, np.full((len(every), 3 - dimensions), -np.inf)])
        log_weight = log_likelihoods(table, thetas) + _log_priors(every) - (density - np.log(len(proposals)))
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        centre = weight @ every
        apart = every - centre
        spread = (weight[:, None] * apart).T @ apart + 1e-6 * np.eye(dimensions)
    return thetas, log_weight


def draw_chances(laws: Draws, n: Ints, c: Ints, random: np.random.Generator) -> Floats:
    """One chance p per law and problem, shape (draws, problems), as likely as law and samples (n, c) make it."""
    p = random.beta(laws.alpha[:, None] + c, laws.beta[:, None] + (n - c))
    possible = possible_if_unsolved(laws.alpha[:, None], laws.beta[:, None], laws.impossible[:, None], n)
    return np.where((c > 0) | (random.random(p.shape) < possible), p, 0.0)


def _log_prior_and_gradient(theta: Floats) -> tuple[float, Floats]:
    scaled = (theta[:2] - _PRIOR_MEAN) / _PRIOR_SD
    return float(_log_priors(theta[None])[0]), np.append(-scaled / _PRIOR_SD, 1 - 2 * expit(theta[2:]))


def _log_priors(thetas: Floats) -> Floats:
    """The log density of rows (log alpha, log beta[, logit impossible]), complete with its constants: the two laws are
    weighed against each other. Uniform on (0, 1) is x (1 - x) on the logit axis."""
    scaled = (thetas[:, :2] - _PRIOR_MEAN) / _PRIOR_SD
    normal = -0.5 * np.sum(scaled**2, axis=1) - np.log(2 * np.pi * _PRIOR_SD.prod())
    flat = np.logaddexp(0, thetas[:, 2:]) + np.logaddexp(0, -thetas[:, 2:])
    return np.asarray(normal - flat.sum(axis=1))


def _covariance(gradient: Callable[[Floats], Floats], mode: Floats, step: float = 1e-4) -> Floats:
    """The inverse of the loss's second derivative at its mode, kept positive and within reason."""
    steps = step * np.eye(len(mode))
    second = np.array([(gradient(mode + each) - gradient(mode - each)) / (2 * step) for each in steps])
    values, vectors = np.linalg.eigh((second + second.T) / 2)
    return np.asarray((vectors / np.clip(values, 0.05, None)) @ vectors.T)


def _t_draws(random: np.random.Generator, centre: Floats, spread: Floats, size: int) -> Floats:
    normal = random.standard_normal((size, len(centre))) @ np.linalg.cholesky(spread).T
    return np.asarray(centre + normal / np.sqrt(random.chisquare(_FREEDOM, (size, 1)) / _FREEDOM))


def _t_log_density(thetas: Floats, centre: Floats, spread: Floats) -> Floats:
    size = len(centre)
    root = np.linalg.cholesky(spread)
    scaled = np.linalg.solve(root, (thetas - centre).T)
    scale = gammaln((_FREEDOM + size) / 2) - gammaln(_FREEDOM / 2) - size / 2 * np.log(_FREEDOM * np.pi)
    fall = (_FREEDOM + size) / 2 * np.log1p(np.sum(scaled**2, axis=0) / _FREEDOM)
    return np.asarray(scale - np.log(np.diag(root)).sum() - fall)
