"""Curves of "Large Language Monkeys" to lay over one's own: fits of its Fig. 5, points of its figures and text.

Points "figure" were read off the paper's figures and are approximate; points "text" stand in its text.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from engine.coverage import PUBLISHED_FITS, PublishedFit

# The paper's names of its tasks -> ours.
_TASKS = {"MATH": "math", "CodeContests": "code-contests", "MiniF2F": "minif2f-lean"}
# The paper's curves end here; SWE-bench Lite's ends at 250.
_LARGEST_K = 10_000
_POINTS_OF_A_FIT = 41


@dataclass(frozen=True, slots=True)
class PublishedCurve:
    """``values`` (fractions of problems) at ``k`` samples each, of equal length.

    kind: coverage (solved by at least one sample) or majority (solved by the majority vote). basis: "figure" and "text"
    are points, "fit" is the paper's law exp(a k^b), whose a and b are given.
    """

    task: str
    model: str
    kind: Literal["coverage", "majority"]
    basis: Literal["figure", "text", "fit"]
    k: tuple[int, ...]
    values: tuple[float, ...]
    source: str
    a: float | None = None
    b: float | None = None

    @property
    def label(self) -> str:
        what = {"fit": "fit", "figure": "read off a figure", "text": "as stated"}[self.basis]
        vote = " majority vote" if self.kind == "majority" else ""
        return f"{self.model}{vote}, Brown et al. 2024 ({what})"


def published_curves(task: str) -> list[PublishedCurve]:
    """The paper's curves for a task of ``engine.tasks`` by name; empty for a task that the paper does not have."""
    return [curve for curve in _all() if curve.task == task]


@cache
def _all() -> tuple[PublishedCurve, ...]:
    data: dict[str, Any] = json.loads((Path(__file__).parent / "published.json").read_text())
    source = data["source"]
    points = [
        PublishedCurve(task, model, kind, basis, tuple(k for k, _ in pairs), tuple(value for _, value in pairs), source)
        for task, model, kind, basis, pairs in data["points"]
    ]
    return (*points, *(_fit(source, fit) for fit in PUBLISHED_FITS))


def _fit(source: str, fit: PublishedFit) -> PublishedCurve:
    """The law on a log-spaced grid from 1 to 10,000."""
    exponents = (math.log(_LARGEST_K) * i / (_POINTS_OF_A_FIT - 1) for i in range(_POINTS_OF_A_FIT))
    k = tuple(sorted({round(math.exp(exponent)) for exponent in exponents}))
    values = tuple(fit.coverage(k).tolist())
    return PublishedCurve(_TASKS[fit.task], fit.model, "coverage", "fit", k, values, source, fit.a, fit.b)
