"""The exact chance that a majority vote over k of n samples is right, by counting subsets with polynomials."""

from __future__ import annotations

import numpy as np
from scipy.linalg import toeplitz
from scipy.special import comb

from engine.coverage.bands import Floats, Ints

# Above this C(n, k) leaves the floats' range with room for sums of products.
LARGEST_N = 500


def exact_majority(sizes: Ints, right: Floats, silent: int, largest: int) -> Floats:
    """The chance that the vote over k samples is right, for k = 1..largest, shape (largest,).

    sizes, right: shape (classes,), how many samples gave each answer and how right it is (0 to 1); silent: samples
    without an answer. Ties are broken evenly among the tied answers, which is the same as "first seen" in a random
    order.

    A class wins with m votes when no other has more. The number of k-subsets in which it does is the coefficient of x^k
    in C(size, m) x^m times the product over the others of their polynomials sum_i C(size_l, i) x^i, i <= m. With t
    others at m votes it wins 1 time in t + 1, and 1 / (t + 1) is the integral of u^t over u in [0, 1]: each term i = m
    is multiplied by u and the integral is taken exactly by Gauss and Legendre's rule.
    """
    n = int(sizes.sum()) + silent
    if n > LARGEST_N:
        raise ValueError(f"exact_majority counts subsets of at most {LARGEST_N} samples, got {n}")
    degree = np.arange(largest + 1)
    quiet = comb(silent, degree)
    wins = np.zeros(largest + 1)
    for votes in range(1, min(largest, int(sizes.max(initial=0))) + 1):
        ties = largest // votes  # the integrand is of a degree below this
        nodes, node_weights = np.polynomial.legendre.leggauss(ties // 2 + 1)
        u = (nodes + 1) / 2
        # every: subsets in which no class has more than m votes; won: the same, weighed by the winner's rightness.
        every = np.zeros((len(u), largest + 1))
        every[:, :] = quiet
        won = np.zeros_like(every)
        for size, how_right in zip(sizes, right, strict=True):
            fewer = toeplitz(np.where(degree < votes, comb(size, degree), 0.0), np.zeros(largest + 1)).T
            top = comb(size, votes)
            shifted = np.zeros_like(every)
            shifted[:, votes:] = top * every[:, :-votes]
            won_shifted = np.zeros_like(won)
            won_shifted[:, votes:] = top * won[:, :-votes]
            won = won @ fewer + u[:, None] * won_shifted + how_right * shifted
            every = every @ fewer + u[:, None] * shifted
        wins += node_weights / 2 @ won
    return np.asarray(wins[1:] / comb(n, degree[1:]))
