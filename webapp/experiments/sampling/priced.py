"""Coverage against cost over several experiments: the frontier, and a small model often against a big one once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.cost import (
    TABLE_1,
    Cost,
    CostCurve,
    SmallAgainstBig,
    cost_curve,
    frontier,
    relative_dollars,
    small_against_big,
)
from engine.coverage import Curve, log_spaced
from engine.serial import as_json
from webapp.experiments.compare.query import CompareQuery
from webapp.experiments.sampling.amounts import write_dollars, write_flops, write_seconds

if TYPE_CHECKING:
    from webapp.experiments.sampling.compare import Run

Json = dict[str, Any]
AXES: dict[str, tuple[str, Callable[[float], str]]] = {
    "flops_once": ("FLOPs, prompt computed once", write_flops),
    "flops_each": ("FLOPs, prompt computed per request", write_flops),
    "gpu": ("Worker time", write_seconds),  # "GPU time" where only GPUs worked: compare.py knows
    "dollars_once": ("US$, prompt charged once", write_dollars),
    "dollars_each": ("US$, prompt charged per request", write_dollars),
}
EVERY_K = 512  # up to here the crossing of two curves is looked for at every k, beyond on a log grid


def frontiers(runs: Sequence[Run]) -> Json:
    """By axis the points that none beats in coverage at a lower cost, {"x", "y"}; costs are of one problem. Axes that
    fewer than two runs have are left out."""
    found: Json = {}
    for axis in AXES:
        curves = [_priced(run, _as_curve(run.curve), run.costs.lines[axis]) for run in runs if _has(run, axis)]
        if len(curves) > 1:
            points = frontier(curves)
            found[axis] = {"x": as_json([each.cost for each in points]), "y": [each.coverage for each in points]}
    return found


def published_attempts() -> list[Json]:
    """Table 1 of Brown et al. 2024 as the page shows it: five tries of a cheap model beat one of a dear one."""
    return [
        {
            "model": row.model,
            "attempts": row.attempts,
            "solved": f"{row.solved:.1%}",
            "each": f"${row.dollars_per_attempt:.4g}",
            "dollars": f"${row.dollars:.4g}",
            "per_solved": f"${row.dollars_per_solved:.2f}",
            "relative": f"{relative:.1f} ×",
        }
        for row, relative in zip(TABLE_1, relative_dollars(TABLE_1), strict=True)
    ]


def _has(run: Run, axis: str) -> bool:
    return bool(run.counters.reach) and axis in run.costs.lines


def _as_curve(found: Json) -> Curve:
    k, coverage, lo, hi = (np.array(found[name]) for name in ("k", "coverage", "lo", "hi"))
    return Curve(k, coverage, lo, hi, np.zeros_like(k))


def _priced(run: Run, curve: Curve, cost: Cost) -> CostCurve:
    return cost_curve(run.experiment.name, curve, cost, problems=1)


# --- small against big ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DuelRow:
    """What both sides cost a problem."""

    title: str
    small: str
    big: str
    ratio: str


@dataclass(frozen=True, slots=True)
class Duel:
    """A small model with many samples against a big one with one."""

    small: Run
    big: Run
    choices: Sequence[Run]
    k: int  # the fewest samples with which the small one reaches the big one; where it does not, all it has
    reaches: bool
    small_coverage: str  # at k
    big_coverage: str  # at 1
    rows: Sequence[DuelRow]
    sentence: str


def duel_of(runs: Sequence[Run], query: CompareQuery, time: str = "Worker time") -> Duel | None:
    """The two runs the address names, else those whose sample costs least and most. None when fewer than two have a
    cost on one axis. ``time``: what the time of these runs' workers is called."""
    axis = max(AXES, key=lambda axis: _says_most(runs, axis))
    priced = sorted((run for run in runs if _has(run, axis)), key=lambda run: run.costs.lines[axis].per_sample)
    if len(priced) < 2:
        return None
    by_code = {run.experiment.code: run for run in priced}
    small = (by_code.get(query.duel[0]) if query.duel[0] else None) or priced[0]
    big = (by_code.get(query.duel[1]) if query.duel[1] else None) or priced[-1]
    if small is big:
        big = next(run for run in reversed(priced) if run is not small)
    return _weigh(small, big, priced, axis, time)


def _says_most(runs: Sequence[Run], axis: str) -> tuple[int, bool]:
    """How many runs have a cost on the axis, and whether those differ: by FLOPs two runs of one model do not."""
    costs = [run.costs.lines[axis].per_sample for run in runs if _has(run, axis)]
    return len(costs), len(costs) > 1 and max(costs) > 1.05 * min(costs)


def _weigh(small: Run, big: Run, choices: Sequence[Run], axis: str, time: str) -> Duel:
    ks = (
        np.arange(1, small.counters.reach + 1)
        if small.counters.reach <= EVERY_K
        else log_spaced(small.counters.reach, 400)
    )
    often, once = small.counters.curve(ks), _as_curve(big.curve)
    axes = [axis for axis in AXES if _has(small, axis) and _has(big, axis)]
    found = {
        axis: small_against_big(
            _priced(small, often, small.costs.lines[axis]), _priced(big, once, big.costs.lines[axis])
        )
        for axis in axes
    }
    first = found[axis]
    k = first.k or small.counters.reach
    coverage = float(np.interp(np.log(k), np.log(often.k), often.coverage))
    return Duel(
        small,
        big,
        choices,
        k,
        first.k is not None,
        f"{coverage:.1%}",
        f"{first.big_coverage:.1%}",
        _rows(small, found, k, time),
        _sentence(small, big, time if axis == "gpu" else AXES[axis][0], first, coverage),
    )


def _rows(small: Run, found: dict[str, SmallAgainstBig], k: int, time: str) -> list[DuelRow]:
    # Where dollars are hours times a rate, how the prompt is charged changes nothing: one row is enough.
    alike = "dollars_once" in found and _same(found["dollars_once"], found["dollars_each"])
    rows = []
    for axis, result in found.items():
        if alike and axis == "dollars_each":
            continue
        title, write = AXES[axis]
        line = small.costs.lines[axis]
        cost = line.fixed + k * line.per_sample
        title = "US$" if alike and axis == "dollars_once" else time if axis == "gpu" else title
        rows.append(DuelRow(title, write(cost), write(result.big_cost), f"{cost / result.big_cost:.3g} ×"))
    return rows


def _same(one: SmallAgainstBig, other: SmallAgainstBig) -> bool:
    return (one.big_cost, one.cost, one.k_at_equal_cost) == (other.big_cost, other.cost, other.k_at_equal_cost)


def _sentence(small: Run, big: Run, measure: str, first: SmallAgainstBig, coverage: float) -> str:
    a, b = small.experiment.name, big.experiment.name
    if first.k is None:
        return f"{a} does not reach one sample of {b} within its {small.counters.reach:,} samples: {coverage:.1%}."
    saving = first.saving or 0.0
    cheaper = f"{saving:.3g} times less" if saving >= 1 else f"{1 / saving:.3g} times more"
    samples = "one sample" if first.k == 1 else f"{first.k:,} samples"
    return f"With {samples} {a} reaches what {b} solves with one, for {cheaper} ({measure})."
