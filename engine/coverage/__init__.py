"""Coverage: the share of problems solved by at least one of k samples."""

from engine.coverage.compare import Comparison, ProblemDifferences, compare_curves
from engine.coverage.curve import Curve, bootstrap_curve, coverage_curve, log_spaced, sample_variance
from engine.coverage.estimator import pass_at_k

__all__ = [
    "Comparison",
    "Curve",
    "ProblemDifferences",
    "bootstrap_curve",
    "compare_curves",
    "coverage_curve",
    "log_spaced",
    "pass_at_k",
    "sample_variance",
]
