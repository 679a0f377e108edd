"""Scores that need no reward model: how sure the sampling model itself was."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def mean_log_probability(token_log_probabilities: npt.ArrayLike) -> float:
    """The mean over a sample's tokens, shape (tokens,), of the log-probability of the token drawn; NaN without tokens.

    The mean, not the sum, which would favour short answers.
    """
    values = np.asarray(token_log_probabilities, dtype=np.float64)
    return float(values.mean()) if values.size else float("nan")


def self_certainty(log_probabilities: npt.ArrayLike) -> float:
    """Kang, Zhao and Song 2025 (arXiv 2502.18581): the mean over tokens of KL(uniform || the model's distribution).

    log_probabilities: shape (tokens, vocabulary), normalised; NaN without tokens. 0 for a uniform distribution, larger
    the surer the model. -infinity (a token masked out by top-p) would make it infinite: give the distribution before
    such masks.
    """
    values = np.asarray(log_probabilities, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"self_certainty needs shape (tokens, vocabulary), got {values.shape}")
    if not len(values):
        return float("nan")
    return float(-np.log(values.shape[1]) - values.mean())
