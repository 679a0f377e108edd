"""Coverage: the share of problems solved by at least one of k samples."""

from engine.coverage.curve import Curve, coverage_curve, log_spaced
from engine.coverage.estimator import pass_at_k

__all__ = ["Curve", "coverage_curve", "log_spaced", "pass_at_k"]
