"""The exponentiated power law exp(a k^b) of Brown et al. 2024 (arXiv 2407.21787v3, section 3.1, appendix C.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import curve_fit

from engine.coverage.bands import Floats, Ints
from engine.coverage.curve import coverage_curve, log_spaced

FIT_POINTS, ERROR_POINTS = 40, 100


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """exp(a k^b) with a, b < 0 for a curve that rises; exp(a) is the fitted pass@1.

    error_mean, error_sd: of |fit - curve| over 100 log-spaced points up to ``fitted_to``, as the paper reports them.
    """

    a: float
    b: float
    error_mean: float
    error_sd: float
    fitted_to: int
    model_based: bool = True

    def coverage(self, ks: npt.ArrayLike) -> Floats:
        """The law's coverage at each k, also beyond ``fitted_to``: there it tends to be too high on hard tasks."""
        return power_law(ks, self.a, self.b)


def power_law(ks: npt.ArrayLike, a: float, b: float) -> Floats:
    return np.asarray(np.exp(a * np.asarray(ks, dtype=np.float64) ** b))


def paper_points(largest: int) -> Ints:
    """The ks the paper fits on: 40 evenly on a log axis from 1 to ``largest``, cut to whole numbers, each once.

    37 for 10,000. Unlike log_spaced it cuts instead of rounding.
    """
    # 1e-9: rounding must not cut the last point to largest - 1.
    return np.unique((np.geomspace(1, largest, FIT_POINTS) * (1 + 1e-9)).astype(np.int64))


def fit_power_law(n: npt.ArrayLike, c: npt.ArrayLike) -> PowerLaw | None:
    """The paper's procedure on problems with n samples and c correct ones: fit_points at paper_points up to the
    smallest n. None where the curve does not rise: there is no law to fit."""
    n = np.asarray(n, dtype=np.int64)
    largest = int(n.min()) if n.size else 0
    if largest < 3:
        return None
    ks = paper_points(largest)
    law = fit_points(ks, coverage_curve(n, c, ks).coverage)
    if law is None:
        return None
    check = log_spaced(largest, ERROR_POINTS)
    errors = np.abs(law.coverage(check) - coverage_curve(n, c, check).coverage)
    return PowerLaw(law.a, law.b, float(errors.mean()), float(errors.std()), largest)


def fit_points(ks: npt.ArrayLike, coverage: npt.ArrayLike) -> PowerLaw | None:
    """The law through given points of a curve, shapes (ks,); the errors are those at the same points.

    Least squares on log(coverage), the form "log c = a k^b" in which the paper states its model: on the curves read off
    its figures this gives the published a, b and errors, while least squares on coverage itself gives other ones for
    Gemma-2B (a = -2.82 instead of -2.45). Points of coverage 0 have no logarithm and are left out.
    """
    ks, coverage = np.asarray(ks, dtype=np.float64), np.asarray(coverage, dtype=np.float64)
    ks, coverage = ks[coverage > 0], coverage[coverage > 0]
    inside = coverage < 1
    if np.count_nonzero(inside) < 2 or np.ptp(coverage) < 1e-9:
        return None
    # A straight line through log(-log c) against log k starts close to the answer.
    slope, height = np.polyfit(np.log(ks[inside]), np.log(-np.log(coverage[inside])), 1)
    try:
        found, _ = curve_fit(lambda k, a, b: a * k**b, ks, np.log(coverage), p0=(-np.exp(height), slope), maxfev=10_000)
    except RuntimeError:  # no convergence
        return None
    a, b = (float(value) for value in found)
    errors = np.abs(power_law(ks, a, b) - coverage)
    return PowerLaw(a, b, float(errors.mean()), float(errors.std()), int(ks.max()))
