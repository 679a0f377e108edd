"""Two sampling experiments on the problems they share: the paired difference, and where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from django.core.cache import cache
from django.db.models.functions import Left
from django.urls import reverse

from engine.coverage import compare_curves
from engine.serial import as_json
from jobs.kinds.sampling.models import Problem
from webapp.experiments.compare.query import CompareQuery
from webapp.experiments.sampling.curves import KEPT_SECONDS, Json, cache_key

if TYPE_CHECKING:
    from webapp.experiments.sampling.compare import Run

MOST_ROWS = 20  # problems in the table
EXCERPT = 160  # characters of a question; problems with the same id and excerpt are taken to be the same


@dataclass(frozen=True, slots=True)
class Difference:
    """One problem that both experiments tried."""

    question: str
    first: str  # "12 of 64"
    second: str
    points: str  # share of correct samples, first minus second, in points
    interval: str
    direction: str  # "better" when the first solves it more often
    is_clear: bool  # whether the interval leaves out 0
    first_url: str
    second_url: str


@dataclass(frozen=True, slots=True)
class Pair:
    """What the page shows of two experiments. ``problem`` says why nothing can be shown."""

    first: Run
    second: Run
    choices: Sequence[Run]
    problem: str = ""
    matched: int = 0
    left_out: int = 0  # problems that only one of them has
    series: Json | None = None
    sentence: str = ""
    rows: Sequence[Difference] = ()


def pair_of(runs: Sequence[Run], query: CompareQuery) -> Pair | None:
    """The two runs the address names, else the first two that have samples; None with fewer than two runs."""
    if len(runs) < 2:
        return None
    by_code = {run.experiment.code: run for run in runs}
    usable = [run for run in runs if run.counters.reach] + [run for run in runs if not run.counters.reach]
    first = by_code.get(query.pair[0]) if query.pair[0] else None
    second = by_code.get(query.pair[1]) if query.pair[1] else None
    first = first or next(run for run in usable if run is not second)
    if second is None or second is first:
        second = next(run for run in usable if run is not first)
    return _compare(first, second, runs)


def _compare(first: Run, second: Run, runs: Sequence[Run]) -> Pair:
    if first.counters.stops or second.counters.stops:
        why = "One of the two stops a problem when it is solved, so shares of correct samples do not compare."
        return Pair(first, second, runs, why)
    questions = _questions(first, second)
    mine, theirs = (_places(run) for run in (first, second))
    same = [uid for uid in first.counters.uid if uid in theirs and questions[0].get(uid) == questions[1].get(uid)]
    places = [(mine[uid], theirs[uid]) for uid in same]
    both = [pair for pair in places if first.counters.n[pair[0]] and second.counters.n[pair[1]]]
    left_out = len(mine) + len(theirs) - 2 * len(both)
    if not both:
        why = "have no problem in common" if not same else "have no problem that both have graded samples of"
        return Pair(first, second, runs, f"The two {why}.")
    found = _cached(first, second, both)
    return Pair(
        first,
        second,
        runs,
        matched=len(both),
        left_out=left_out,
        series=found["series"],
        sentence=_sentence(first, second, found),
        rows=[_row(first, second, both[at], row, questions[0]) for at, row in found["problems"]],
    )


def _places(run: Run) -> dict[str, int]:
    return {uid: place for place, uid in enumerate(run.counters.uid)}


def _questions(first: Run, second: Run) -> tuple[dict[str, str], dict[str, str]]:
    """The beginning of each question by problem id."""
    wanted = (first.experiment.pk, second.experiment.pk)
    rows = Problem.objects.filter(experiment__in=wanted).annotate(begin=Left("question", EXCERPT))
    found: dict[int, dict[str, str]] = {pk: {} for pk in wanted}
    for experiment_id, uid, begin in rows.values_list("experiment_id", "uid", "begin"):
        found[experiment_id][uid] = begin
    return found[wanted[0]], found[wanted[1]]


def _cached(first: Run, second: Run, both: Sequence[tuple[int, int]]) -> Json:
    key = f"{cache_key('pair', first.experiment)}:{second.experiment.pk}:{second.experiment.last_seq}:{len(both)}"
    found: Json | None = cache.get(key)
    if found is None:
        found = _compute(first, second, both)
        cache.set(key, found, KEPT_SECONDS)
    return found


def _compute(first: Run, second: Run, both: Sequence[tuple[int, int]]) -> Json:
    mine, theirs = (np.array(side) for side in zip(*both, strict=True))
    a, b = first.counters, second.counters
    result = compare_curves(a.n[mine], a.c[mine], b.n[theirs], b.c[theirs])
    each = result.per_problem
    order = sorted(range(len(both)), key=lambda at: (-abs(each.difference[at]), at))[:MOST_ROWS]
    columns = ("difference", "lo", "hi")
    return {
        "series": {
            "k": result.k.tolist(),
            **{name: as_json(getattr(result, name)) for name in columns},
            "p": as_json(result.p_value),
            "p_overall": result.p_overall,
            "first": str(first.experiment.code),
            "second": str(second.experiment.code),
            "problems": len(both),
        },
        "problems": [
            (at, {name: float(getattr(each, name)[at]) for name in columns})
            for at in order
            if abs(each.difference[at]) > 0
        ],
    }


def _sentence(first: Run, second: Run, found: Json) -> str:
    """What the comparison says, for readers who do not read the figure."""
    series = found["series"]
    if not series["k"]:
        return "Some problem has no graded sample in one of them, so there is no difference of curves yet."
    p = series["p_overall"]
    if p >= 0.05:
        return f"No difference that chance would not make as well (p = {p:.2f}, sign flips over all k)."
    value, k = series["difference"][-1], series["k"][-1]
    leader = first if value > 0 else second
    return (
        f"The curves differ (p = {p:.2g}, sign flips over all k). At k = {k:,} {leader.experiment.name} solves "
        f"{100 * abs(value):.1f} points more."
    )


def _row(first: Run, second: Run, place: tuple[int, int], row: Json, questions: dict[str, str]) -> Difference:
    a, b = first.counters, second.counters
    mine, theirs = place
    value, lo, hi = row["difference"], row["lo"], row["hi"]

    def samples(run: Run, at: int) -> str:
        address = reverse("experiment-tab", args=[run.experiment.code, "samples"])
        return f"{address}?problem={run.counters.index[at]}"

    return Difference(
        question=questions[a.uid[mine]],
        first=f"{a.c[mine]:,} of {a.n[mine]:,}",
        second=f"{b.c[theirs]:,} of {b.n[theirs]:,}",
        points=f"{100 * value:+.1f}".replace("-", "−"),
        interval=f"{100 * lo:+.0f} to {100 * hi:+.0f}".replace("-", "−"),
        direction="better" if value > 0 else "worse",
        is_clear=lo > 0 or hi < 0,
        first_url=samples(first, mine),
        second_url=samples(second, theirs),
    )
