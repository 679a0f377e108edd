"""Coverage against what it costs: one model's curve, several models' frontier, small-and-often against big-and-once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.cost.costs import Cost, Unit
from engine.coverage.bands import Floats, Ints
from engine.coverage.curve import Curve


@dataclass(frozen=True, slots=True)
class CostCurve:
    """A coverage curve with a cost axis; arrays of shape (ks,). cost: of k samples on all problems together.

    cost_per_solved: cost over expected number of solved problems (cost-of-pass, Erol et al., arXiv 2504.13359).
    """

    label: str
    unit: Unit
    k: Ints
    cost: Floats
    coverage: Floats
    lo: Floats
    hi: Floats
    problems: int
    model_based: bool

    @property
    def cost_per_solved(self) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.cost / (self.coverage * self.problems)


@dataclass(frozen=True, slots=True)
class FrontierPoint:
    """No other point of any curve is at least as good in coverage and cost and better in one."""

    label: str
    k: int
    cost: float
    coverage: float


@dataclass(frozen=True, slots=True)
class SmallAgainstBig:
    """A small model sampled often against a big one sampled once.

    k: the fewest samples of the small model whose coverage reaches the big one's at one sample, and cost, saving (big
    cost / small cost) there; None where the small curve ends below. coverage_at_equal_cost, k_at_equal_cost: what the
    small model reaches for the price of the big one's single sample; None where not even one sample fits.
    """

    small: str
    big: str
    unit: Unit
    big_cost: float
    big_coverage: float
    k: int | None
    cost: float | None
    saving: float | None
    k_at_equal_cost: int | None
    coverage_at_equal_cost: float | None


def cost_curve(label: str, curve: Curve, cost: Cost, problems: int) -> CostCurve:
    """``curve`` over ``problems`` problems with its cost axis."""
    total = np.asarray(problems * (cost.fixed + cost.per_sample * curve.k), dtype=np.float64)
    return CostCurve(label, cost.unit, curve.k, total, curve.coverage, curve.lo, curve.hi, problems, curve.model_based)


def frontier(curves: Sequence[CostCurve]) -> list[FrontierPoint]:
    """The Pareto frontier over all points of all curves, cheapest first; equal points appear once.

    Raises ValueError when the curves do not share one unit and one number of problems.
    """
    _check_comparable(curves)
    points = sorted(
        (
            FrontierPoint(curve.label, int(k), float(cost), float(coverage))
            for curve in curves
            for k, cost, coverage in zip(curve.k, curve.cost, curve.coverage, strict=True)
            if not np.isnan(coverage)
        ),
        key=lambda point: (point.cost, -point.coverage),
    )
    best: list[FrontierPoint] = []
    for point in points:
        if not best or point.coverage > best[-1].coverage:
            best.append(point)
    return best


def small_against_big(small: CostCurve, big: CostCurve) -> SmallAgainstBig:
    """Compare ``small`` at many samples with ``big`` at its first point (one sample).

    Between the ks of the small curve coverage is interpolated in log k, so give it a fine grid of ks. Raises
    ValueError when the curves do not share one unit and one number of problems, or ``big`` does not start at k = 1.
    """
    _check_comparable([small, big])
    if not big.k.size or big.k[0] != 1 or not small.k.size or small.k[0] != 1:
        raise ValueError("small_against_big needs both curves from k = 1 on")
    big_cost, big_coverage = float(big.cost[0]), float(big.coverage[0])
    per_sample, fixed = _line(small)
    reached = np.flatnonzero(small.coverage >= big_coverage)
    k: int | None = None
    if reached.size:
        k = _first_reaching(small, int(reached[0]), big_coverage)
    affordable = int((big_cost - fixed) / per_sample * (1 + 1e-12)) if big_cost >= fixed else 0
    affordable = min(affordable, int(small.k[-1]))
    cost = fixed + per_sample * k if k else None
    return SmallAgainstBig(
        small.label,
        big.label,
        small.unit,
        big_cost,
        big_coverage,
        k,
        cost,
        big_cost / cost if cost else None,
        affordable or None,
        float(np.interp(np.log(affordable), np.log(small.k), small.coverage)) if affordable else None,
    )


def _first_reaching(curve: CostCurve, index: int, coverage: float) -> int:
    """The smallest whole k, between the grid's index - 1 and index, whose interpolated coverage is high enough."""
    if index == 0:
        return int(curve.k[0])
    (low, high), (below, above) = curve.k[index - 1 : index + 1], curve.coverage[index - 1 : index + 1]
    share = (coverage - below) / (above - below)
    exact = low * (high / low) ** share
    return int(min(high, np.ceil(exact - 1e-9)))


def _line(curve: CostCurve) -> tuple[float, float]:
    """(per sample, fixed) of the cost on all problems, from two points of its straight line."""
    if curve.k.size == 1:
        return float(curve.cost[0] / curve.k[0]), 0.0
    slope = float((curve.cost[-1] - curve.cost[0]) / (curve.k[-1] - curve.k[0]))
    return slope, float(curve.cost[0] - slope * curve.k[0])


def _check_comparable(curves: Sequence[CostCurve]) -> None:
    if len({(curve.unit, curve.problems) for curve in curves}) > 1:
        raise ValueError("curves can be compared by cost only in one unit and on the same number of problems")
