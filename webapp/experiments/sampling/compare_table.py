"""The key figures of several sampling experiments, each beside its difference to the first one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from webapp.experiments.sampling import curves

if TYPE_CHECKING:
    from webapp.experiments.sampling.compare import Run

Point = tuple[float, float, float]
POWERS = (10, 100, 1_000, 10_000)


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    note: str = ""  # the band
    delta: str = ""  # to the first experiment
    direction: str = ""  # "better", "worse" or neither
    is_best: bool = False


@dataclass(frozen=True, slots=True)
class Measure:
    """One row: how its values are read, written and compared."""

    title: str
    value: Callable[[Run], float | None]
    write: Callable[[float], str]
    write_delta: Callable[[float, float], str] | None = None  # (value, the first one's)
    more_is_better: bool = True
    note: Callable[[Run], str] | None = None
    missing: Callable[[Run], str] = lambda run: "–"


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    cells: list[Cell]


def side_by_side(runs: Sequence[Run]) -> list[Row]:
    return [_row(measure, runs) for measure in _measures(runs)]


def _measures(runs: Sequence[Run]) -> list[Measure]:
    reach = min((run.counters.reach for run in runs if run.counters.reach), default=0)
    ks = [k for k in (1, *POWERS) if k < reach] + ([reach] if reach else [])
    points = {run.experiment.pk: curves.at(run.counters, ks) for run in runs}
    return [
        Measure("Problems", lambda run: len(run.counters.uid), _count),
        Measure("Graded samples per problem", lambda run: run.counters.reach, _count),
        *(_coverage(k, [points[run.experiment.pk][place] for run in runs], runs) for place, k in enumerate(ks)),
        Measure("Problems solved", lambda run: float(run.counters.solved), _count),
        Measure(
            "Samples to solve half",
            lambda run: run.curve["half"],
            _count,
            lambda value, first: f"{value - first:+,.0f}",
            more_is_better=False,
            missing=lambda run: f"more than {run.counters.reach:,}" if run.counters.reach else "–",
        ),
    ]


def _coverage(k: int, points: Sequence[Point | None], runs: Sequence[Run]) -> Measure:
    """Coverage at k; ``points``: each run's value and band."""
    of = {run.experiment.pk: point for run, point in zip(runs, points, strict=True)}

    def value(run: Run) -> float | None:
        point = of[run.experiment.pk]
        return point[0] if point else None

    return Measure(
        "Pass at 1" if k == 1 else f"Coverage at {k:,}",
        value,
        lambda share: f"{share:.1%}",
        lambda share, first: f"{100 * (share - first):+.1f}",
        note=lambda run: _band(of[run.experiment.pk]),
    )


def _band(found: Point | None) -> str:
    return f"{100 * found[1]:.1f} to {found[2]:.1%}" if found else ""


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _row(measure: Measure, runs: Sequence[Run]) -> Row:
    values = [measure.value(run) for run in runs]
    known = [value for value in values if value is not None]
    compared = measure.write_delta is not None and len(known) > 1
    best = (max(known) if measure.more_is_better else min(known)) if compared and len(set(known)) > 1 else None
    return Row(
        measure.title, [_cell(measure, run, value, values[0], best) for run, value in zip(runs, values, strict=True)]
    )


def _cell(measure: Measure, run: Run, value: float | None, first: float | None, best: float | None) -> Cell:
    if value is None:
        return Cell(measure.missing(run))
    note = measure.note(run) if measure.note else ""
    cell = Cell(measure.write(value), note, is_best=value == best)
    if measure.write_delta is None or first is None or value == first:
        return cell
    better = (value > first) == measure.more_is_better
    delta = measure.write_delta(value, first).replace("-", "−")
    return Cell(cell.text, note, delta, "better" if better else "worse", cell.is_best)
