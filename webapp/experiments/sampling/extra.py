"""Drawing more where it helps: who would get how many samples, and what that is expected to bring. Model-based."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from engine.coverage import Allocation, allocate
from jobs import services
from jobs.kinds.sampling.checks import MAX_TOTAL_SAMPLES
from jobs.kinds.sampling.plan import samples_planned
from jobs.kinds.sampling.spec import MAX_SAMPLES, ExtraDraw, SamplingSpec
from jobs.models import ENDED, Experiment, Status
from webapp.experiments.sampling.costs import Costs, costs_of
from webapp.experiments.sampling.counters import Counters, load_counters
from webapp.experiments.sampling.measured import measure
from webapp.prices.table import prices_of

Unit = Literal["samples", "dollars", "gpu-hours"]
Floats = npt.NDArray[np.float64]
MOST_SPEND = 10_000_000.0  # in any unit; more than any experiment may hold or anybody means
_CANNOT = "Only an experiment that is running or finished can be drawn further; retry it first."


class CannotDraw(Exception):
    """Nothing can be drawn as asked; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What an extra draw would do. Everything after ``samples`` is a model-based estimate or priced by what was
    measured; None where no price is known.

    groups: (further samples, how many problems get so many), the largest first. newly_solved: expected number of
    problems that these samples solve for the first time, lo and hi its 95% prediction interval; evenly: the same if
    what they cost were spread over all problems.
    """

    number: int  # of this draw among the experiment's extra draws, from 1
    draw: ExtraDraw
    samples: int
    groups: Sequence[tuple[int, int]]
    unsolved: int
    newly_solved: float
    lo: float
    hi: float
    evenly: float
    tokens: float | None
    seconds: float | None  # of workers
    dollars: float | None
    is_capped: bool  # less than asked: every unsolved problem got as many samples as one may have

    @property
    def problems(self) -> int:
        return sum(problems for _, problems in self.groups)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known about an experiment before anybody asks for more."""

    counters: Counters
    costs: Costs
    device: str

    @property
    def units(self) -> list[Unit]:
        """In which a budget can be given: those whose price of a sample is known."""
        units: list[Unit] = ["samples"]
        if "gpu" in self.costs.lines:
            units.append("gpu-hours")
        if "dollars_each" in self.costs.lines:
            units.append("dollars")
        return units

    def usual_spend(self, experiment: Experiment) -> int:
        """Samples: as many as the unsolved problems were given by the Spec."""
        return max(1, (len(self.counters.uid) - self.counters.solved) * int(experiment.spec.get("samples", 1)))


def known_of(experiment: Experiment) -> Known:
    counters = load_counters([experiment])
    measured = measure([experiment], counters)[experiment.pk]
    return Known(counters[experiment.pk], costs_of(measured, prices_of(experiment.team)), measured.device)


def preview(experiment: Experiment, spend: float, unit: Unit, known: Known | None = None) -> Preview:
    """Spend ``spend`` ``unit`` on the problems where they are expected to solve most. Raises CannotDraw."""
    spec = _spec(experiment)
    known = known or known_of(experiment)
    counters = known.counters
    if not counters.all_n.any():
        raise CannotDraw("No sample is graded yet, so nothing tells where more would help.")
    unsolved = len(counters.uid) - counters.solved
    if not unsolved:
        raise CannotDraw("Every problem is solved already: more samples would solve nothing new.")
    if unit not in known.units:
        raise CannotDraw(f"What a sample costs in {unit} is not known here: {_why(known, unit)}. Give samples instead.")
    earlier = [draw.targets for draw in spec.extra]
    planned = np.array(samples_planned(len(counters.uid), spec.samples, earlier), dtype=np.int64)
    found = _allocate(counters, planned, spend, _prices(known, unit))
    if not found.samples.any():
        raise CannotDraw(_why_nothing(known, planned, spend, unit))
    if planned.sum() + found.samples.sum() > MAX_TOTAL_SAMPLES:
        raise CannotDraw(f"That is more than the {MAX_TOTAL_SAMPLES:,} samples an experiment may hold. Ask for less.")
    return _preview(spec, known, planned, found, spend, unit)


def draw_where_it_helps(experiment: Experiment, spend: float, unit: Unit, number: int | None = None) -> Preview:
    """Do what ``preview`` shows, as things stand now. ``number``: the preview's, so that a request sent twice draws
    once. Raises CannotDraw and services.Refused."""
    planned = preview(experiment, spend, unit)
    services.draw_extra(experiment=experiment, draw=planned.draw, number=number)
    return planned


def _spec(experiment: Experiment) -> SamplingSpec:
    if experiment.spec.get("imported"):
        raise CannotDraw("Imported results cannot be drawn further: no model is behind them.")
    if experiment.status in ENDED and experiment.status != Status.FINISHED:
        raise CannotDraw(_CANNOT)
    spec = SamplingSpec.model_validate(experiment.spec)
    if spec.stop_when_solved:
        raise CannotDraw("Problems stop when they are solved here, so Draw more goes to the unsolved ones alone.")
    return spec


def _allocate(counters: Counters, planned: npt.NDArray[np.int64], spend: float, prices: Floats) -> Allocation:
    n, c = counters.all_n, counters.all_c
    pending = np.maximum(planned - n, 0)  # drawn anyway, whatever is asked for now
    most = np.maximum(MAX_SAMPLES - planned, 0)
    found = allocate(n, c, spend, cost=prices, pending=pending, most=most)
    if found is None:
        raise CannotDraw("No law can be fitted to so few problems, so nothing tells where more would help.")
    return found


def _prices(known: Known, unit: Unit) -> Floats:
    """What a sample of each problem costs, in the unit. Answers of some problems are longer than those of others."""
    counters = known.counters
    if unit == "samples":
        return np.ones(len(counters.uid))
    drawn = np.maximum(counters.drawn, 1)
    mean = counters.tokens.sum() / max(1, counters.drawn.sum())
    length = np.where(counters.tokens > 0, counters.tokens / drawn / mean, 1.0) if mean else np.ones(len(drawn))
    if unit == "gpu-hours":
        return np.asarray(known.costs.lines["gpu"].per_sample / 3600 * length)
    once, each = known.costs.lines["dollars_once"], known.costs.lines["dollars_each"]
    return np.asarray(each.per_sample - once.per_sample + once.per_sample * length)


def _preview(
    spec: SamplingSpec, known: Known, planned: npt.NDArray[np.int64], found: Allocation, spend: float, unit: Unit
) -> Preview:
    counters, more = known.counters, found.samples
    groups = Counter(int(each) for each in more if each)
    drawn = np.maximum(counters.drawn, 1)
    tokens = float(more @ (counters.tokens / drawn)) if counters.tokens.any() else None
    seconds, dollars = (
        float(more @ _prices(known, each)) if each in known.units else None for each in ("gpu-hours", "dollars")
    )
    return Preview(
        number=len(spec.extra) + 1,
        draw=ExtraDraw.of({int(at): int(planned[at] + more[at]) for at in np.flatnonzero(more)}),
        samples=int(more.sum()),
        groups=sorted(groups.items(), reverse=True),
        unsolved=len(counters.uid) - counters.solved,
        newly_solved=found.newly_solved,
        lo=found.lo,
        hi=found.hi,
        evenly=found.evenly,
        tokens=tokens,
        seconds=None if seconds is None else 3600 * seconds,
        dollars=dollars,
        is_capped=spend - found.cost > float(_prices(known, unit).max()),
    )


def _why(known: Known, unit: Unit) -> str:
    return known.costs.why.get("gpu" if unit == "gpu-hours" else "dollars", "it was not measured")


def _why_nothing(known: Known, planned: npt.NDArray[np.int64], spend: float, unit: Unit) -> str:
    open_problems = (known.counters.all_c == 0) & (planned < MAX_SAMPLES)
    if not open_problems.any():
        return f"Every unsolved problem has the {MAX_SAMPLES:,} samples that one may have."
    least = float(_prices(known, unit)[open_problems].min())
    return f"{spend:g} {unit} do not pay for one sample, which takes about {least:.2g}."
