"""The unbiased estimator of pass@k (Chen et al. 2021, arXiv 2107.03374; Brown et al. 2024, arXiv 2407.21787, Eq. 1)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

Floats = npt.NDArray[np.float64]


def pass_at_k(n: npt.ArrayLike, c: npt.ArrayLike, k: npt.ArrayLike) -> Floats:
    """1 - C(n - c, k) / C(n, k): the chance that k of n samples, c of them correct, hold a correct one.

    n, c, k: whole numbers, broadcast together; k >= 1. NaN where k > n: there is no estimate then, and a 1.0 would
    flatter. Unbiased only if n was chosen without looking at c.

    O(1) for each entry; at n = 10^6 the relative error is below 1e-8, also where the estimate is as small as 1e-6.
    """
    return 0.0 - np.expm1(log_fail_at_k(n, c, k))  # a plain minus would turn 0 into -0


def log_fail_at_k(n: npt.ArrayLike, c: npt.ArrayLike, k: npt.ArrayLike) -> Floats:
    """log(1 - pass@k): the logarithm of C(n - c, k) / C(n, k); -inf where it is 0, NaN where k > n."""
    n, c, k = np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in (n, c, k)))
    if np.any(c < 0) or np.any(c > n) or np.any(k < 1):
        raise ValueError("pass_at_k needs 0 <= c <= n and k >= 1")
    left = n - c - k  # wrong samples beyond k; below 0 any k samples hold a correct one
    inside = (left >= 0) & (c > 0)
    # Entries outside are computed at a harmless place and masked below.
    top, c_in, k_in = np.where(inside, n + 1, 3.0), np.where(inside, c, 1.0), np.where(inside, k, 1.0)
    log_ratio = np.minimum(log_gamma_ratio(top, c_in, k_in), 0.0)
    result = np.where(inside, log_ratio, np.where(c == 0, 0.0, -np.inf))
    return np.where(k > n, np.nan, result)


def log_gamma_ratio(top: Floats, a: Floats, b: Floats) -> Floats:
    """The logarithm of Gamma(top - a) Gamma(top - b) / (Gamma(top) Gamma(top - a - b)), all arguments above 0.

    A second difference of log Gamma, in which the large parts of Stirling's (x - 1/2) log x - x + ... cancel. They are
    left out, and only logarithms of ratios to ``top`` remain; adding log-gammas would lose nine digits at top = 10^6.
    """
    return np.asarray(
        (top - a - 0.5) * np.log1p(-a / top)
        + (top - b - 0.5) * np.log1p(-b / top)
        - (top - a - b - 0.5) * np.log1p(-(a + b) / top)
        + _stirling_rest(top - a)
        + _stirling_rest(top - b)
        - _stirling_rest(top)
        - _stirling_rest(top - a - b)
    )


def _stirling_rest(x: Floats) -> Floats:
    """log Gamma(x) minus Stirling's (x - 1/2) log x - x + log(2 pi) / 2, for x > 0."""
    square = 1 / (x * x)
    series = (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680))) / x
    small = x < 16  # below, the series is off by more than 1e-13
    if np.any(small):
        y = np.where(small, x, 1.0)
        series = np.where(small, gammaln(y) - ((y - 0.5) * np.log(y) - y + 0.5 * np.log(2 * np.pi)), series)
    return series
