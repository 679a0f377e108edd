"""Coverage: the share of problems solved by at least one of k samples. docs/coverage.md says what each number means.

Results are frozen dataclasses of numbers and arrays; engine.serial.as_json turns any of them into plain JSON values.
"""

from engine.coverage.allocation import Allocation, allocate
from engine.coverage.betabinomial import BetaBinomial, fit_beta_binomial
from engine.coverage.compare import Comparison, ProblemDifferences, compare_curves
from engine.coverage.curve import Curve, bootstrap_curve, coverage_curve, log_spaced, sample_variance
from engine.coverage.estimator import pass_at_k
from engine.coverage.firstsuccess import FirstSuccess, first_success, first_success_curve
from engine.coverage.forecast import Backtest, Forecast, Gains, backtest, expected_gains, forecast, model_curve
from engine.coverage.powerlaw import PowerLaw, fit_points, fit_power_law, paper_points
from engine.coverage.published import PUBLISHED_FITS, PUBLISHED_POINTS, PublishedFit, PublishedPoint

__all__ = [
    "PUBLISHED_FITS",
    "PUBLISHED_POINTS",
    "Allocation",
    "Backtest",
    "BetaBinomial",
    "Comparison",
    "Curve",
    "FirstSuccess",
    "Forecast",
    "Gains",
    "PowerLaw",
    "ProblemDifferences",
    "PublishedFit",
    "PublishedPoint",
    "allocate",
    "backtest",
    "bootstrap_curve",
    "compare_curves",
    "coverage_curve",
    "expected_gains",
    "first_success",
    "first_success_curve",
    "fit_beta_binomial",
    "fit_points",
    "fit_power_law",
    "forecast",
    "log_spaced",
    "model_curve",
    "paper_points",
    "pass_at_k",
    "sample_variance",
]
