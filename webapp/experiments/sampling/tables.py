"""The files that can be downloaded from a sampling experiment, made in pieces while they are sent."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.db.models import F

from jobs import metrics
from jobs.kinds.sampling.models import Problem, Sample
from jobs.kinds.sampling.rewards import with_reward
from jobs.kinds.sampling.speed import ENGINE_METRICS
from jobs.kinds.sampling.stopping import stops_when_solved
from jobs.models import Experiment
from webapp.experiments.sampling.counters import load_counters

ROWS = 1_000  # read at a time
SAMPLE_FIELDS = (
    "pk", "problem_uid", "problem_index", "index", "seed", "text", "answer", "canonical", "verdict", "reason",
    "tokens", "logprob", "self_certainty", "reward", "finish", "grade_seconds",
)  # fmt: skip


async def samples_jsonl(experiment: Experiment) -> AsyncIterator[str]:
    """One JSON object a line, in the order the samples were drawn."""
    after = 0
    while rows := await sync_to_async(_samples_after)(experiment, after):
        after = rows[-1]["pk"]
        yield "".join(_line(row) for row in rows)


def _line(row: dict[str, Any]) -> str:
    names = {name: "score" if name == "reward" else name for name in SAMPLE_FIELDS if name != "pk"}
    return json.dumps({called: row[name] for name, called in names.items()}, ensure_ascii=False) + "\n"


def _samples_after(experiment: Experiment, after: int) -> list[dict[str, Any]]:
    samples = with_reward(Sample.objects.filter(experiment=experiment, pk__gt=after), experiment).order_by("pk")
    named = samples.annotate(problem_uid=F("problem__uid"), problem_index=F("problem__index"), text=F("body__text"))
    return list(named.values(*SAMPLE_FIELDS)[:ROWS])


async def problems_csv(experiment: Experiment) -> AsyncIterator[str]:
    """Per problem: n graded samples, c correct ones, their share, how many the grader could not judge, and how many of
    n and c came from extra draws.

    Where drawing stopped at the first correct sample the share would be biased: its index stands there instead."""
    stops = stops_when_solved(experiment)
    share = "first_correct" if stops else "share_correct"
    yield _csv([["index", "uid", "answer", "n", "c", "errors", share, "extra_n", "extra_c"]])
    after = -1
    while rows := await sync_to_async(_problems_after)(experiment, after):
        after = rows[-1].index
        yield _csv(
            [
                *(row.index, cell(row.uid), cell(row.answer), row.n, row.c, row.errors),
                *(_last_column(row, stops=stops), row.extra_n, row.extra_c),
            ]
            for row in rows
        )


def _last_column(row: Problem, *, stops: bool) -> object:
    if stops:
        return "" if row.first_correct is None else row.first_correct
    return row.c / row.n if row.n else ""


def _problems_after(experiment: Experiment, after: int) -> Sequence[Problem]:
    return list(Problem.objects.filter(experiment=experiment, index__gt=after).order_by("index")[:ROWS])


async def coverage_csv(experiment: Experiment) -> AsyncIterator[str]:
    """Every k of the curve: the unbiased estimate of coverage and its 95% band, as fractions."""
    yield _csv([["k", "coverage", "low", "high"]])
    yield _csv(await sync_to_async(_curve_rows)(experiment))


def _curve_rows(experiment: Experiment) -> list[list[float]]:
    counters = load_counters([experiment])[experiment.pk]
    if not counters.reach:
        return []
    curve = counters.curve(range(1, counters.reach + 1))
    return [list(row) for row in zip(curve.k, curve.coverage, curve.lo, curve.hi, strict=True)]


async def engine_csv(experiment: Experiment) -> AsyncIterator[str]:
    """What was measured in each span of time, summed over workers; kv_* and path_tokens are tokens."""
    yield _csv([["start", "seconds", *ENGINE_METRICS]])
    yield _csv(await sync_to_async(_engine_rows)(experiment))


def _engine_rows(experiment: Experiment) -> list[list[object]]:
    found = metrics.changes(experiment, after=0)
    series = {name: dict(points) for name, points in found["series"].items()}
    starts = sorted({start for points in series.values() for start in points})
    return [
        [
            datetime.fromtimestamp(start / 1000, UTC).isoformat(),
            found["width"],
            *(series.get(name, {}).get(start, "") for name in ENGINE_METRICS),
        ]
        for start in starts
    ]


def cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula; plain numbers stay as they are."""
    try:
        float(text)
    except ValueError:
        return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
    return text


def _csv(rows: Iterable[Sequence[object]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()
