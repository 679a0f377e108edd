"""What Brown et al. 2024 (arXiv 2407.21787v3) published, to lay over one's own curves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy.typing as npt

from engine.coverage.bands import Floats
from engine.coverage.powerlaw import power_law


@dataclass(frozen=True, slots=True)
class PublishedFit:
    """A fitted exp(a k^b) of the paper's Figure 5, read off the figure: two decimals."""

    model: str
    task: str
    a: float
    b: float
    error_mean: float
    error_sd: float

    def coverage(self, ks: npt.ArrayLike) -> Floats:
        return power_law(ks, self.a, self.b)


@dataclass(frozen=True, slots=True)
class PublishedPoint:
    """A coverage that the paper states in words."""

    model: str
    task: str
    k: int
    coverage: float


PUBLISHED_FITS = (
    PublishedFit("Llama-3-8B-Instruct", "MATH", -1.33, -0.43, 0.003, 0.0027),
    PublishedFit("Llama-3-70B-Instruct", "MATH", -0.75, -0.46, 0.0056, 0.0036),
    PublishedFit("Llama-3-8B-Instruct", "CodeContests", -3.88, -0.11, 0.002, 0.0015),
    PublishedFit("Llama-3-70B-Instruct", "CodeContests", -2.52, -0.11, 0.0056, 0.0027),
    PublishedFit("Pythia-70M", "MATH", -7.59, -0.18, 0.0052, 0.0071),
    PublishedFit("Pythia-12B", "MATH", -3.92, -0.35, 0.0189, 0.0118),
    PublishedFit("Gemma-2B", "MATH", -2.45, -0.38, 0.0218, 0.014),
    # A poor fit, as its error says: the real curve starts at about 0.2.
    PublishedFit("Llama-3-8B-Instruct", "MiniF2F", -1.33, -0.08, 0.0297, 0.0157),
)

PUBLISHED_POINTS = (
    PublishedPoint("Llama-3-8B-Instruct", "MATH", 100, 0.829),
    PublishedPoint("Llama-3-8B-Instruct", "MATH", 10_000, 0.9844),
    PublishedPoint("Gemma-2B", "CodeContests", 1, 0.0002),
    PublishedPoint("Gemma-2B", "CodeContests", 10_000, 0.071),
    PublishedPoint("Pythia-160M", "MATH", 1, 0.0027),
    PublishedPoint("Pythia-160M", "MATH", 10_000, 0.57),
    PublishedPoint("DeepSeek-Coder-V2-Instruct", "SWE-bench Lite", 1, 0.159),
    PublishedPoint("DeepSeek-Coder-V2-Instruct", "SWE-bench Lite", 5, 0.2962),
    PublishedPoint("DeepSeek-Coder-V2-Instruct", "SWE-bench Lite", 250, 0.56),
)
