"""Series over time of a running experiment, such as tokens per second: bounded however long it runs.

A worker reports means over the last second or so. A report is cut at the borders of the experiment's spans and added
to them: value x seconds, so that a span's integral over its length is the sum over the workers that took part. When an
experiment has more than MOST_SPANS, its spans become twice as wide and neighbours are added up; nothing is lost but
detail. Only time that reports tell about counts, so hours without a worker take no span.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jobs.models import Experiment, MetricSpan

MOST_SPANS = 512  # of an experiment
FIRST_WIDTH = 2  # seconds: more than the pause between two reports, so that every worker is in every span
RECENT_SECONDS = 10.0
_LONGEST_NAME = 40
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Report:
    """What one worker measured: means over the ``seconds`` that ended ``at`` (seconds since 1970)."""

    values: Mapping[str, float]
    seconds: float
    at: float

    def finite(self) -> dict[str, float]:
        """JSON and charts know no infinity."""
        return {name[:_LONGEST_NAME]: value for name, value in self.values.items() if math.isfinite(value)}


# --- writing ----------------------------------------------------------------------------------------------------------


def write(experiment_id: int, seq: int, reports: Iterable[Report]) -> None:
    """Add reports to the experiment's spans, stamped with ``seq``, inside the transaction that holds its row."""
    reports = [report for report in reports if report.seconds > 0 and report.finite()]
    if not reports:
        return
    spans = MetricSpan.objects.filter(experiment_id=experiment_id)
    width = spans.values_list("width", flat=True).first() or FIRST_WIDTH
    new = gather((piece for report in reports for piece in cut(report, width)), width)
    known = {span.start: span for span in spans.filter(start__in=[span.start for span in new])}
    for span in new:
        if span.start in known:
            add(known[span.start], span)
    fresh = [span for span in new if span.start not in known]
    _store(experiment_id, seq, fresh)
    for span in known.values():
        span.seq = seq
    MetricSpan.objects.bulk_update(known.values(), ["seq", "since", "until", "totals"])
    if fresh and spans.count() > MOST_SPANS:
        wider = widen(list(spans.order_by("start")))
        spans.delete()
        _store(experiment_id, seq, wider)


def _store(experiment_id: int, seq: int, spans: list[MetricSpan]) -> None:
    for span in spans:
        span.experiment_id, span.seq = experiment_id, seq
    MetricSpan.objects.bulk_create(spans)


def cut(report: Report, width: int) -> Iterator[MetricSpan]:
    """The report's part in each span that it touches."""
    since = report.at - report.seconds
    start = math.floor(since / width) * width
    while start < report.at:
        until = min(start + width, report.at)
        seconds = until - since
        if seconds > 0:
            totals = {name: [value * seconds, seconds] for name, value in report.finite().items()}
            yield MetricSpan(start=start, width=width, since=since, until=until, totals=totals)
            since = until
        start += width


def gather(pieces: Iterable[MetricSpan], width: int) -> list[MetricSpan]:
    """Spans of ``width`` in order of time, each the sum of the pieces that begin in it."""
    found: dict[int, MetricSpan] = {}
    for piece in pieces:
        start = piece.start // width * width
        if start in found:
            add(found[start], piece)
        else:
            totals = dict(piece.totals)
            found[start] = MetricSpan(start=start, width=width, since=piece.since, until=piece.until, totals=totals)
    return [found[start] for start in sorted(found)]


def add(span: MetricSpan, other: MetricSpan) -> None:
    """Let ``span`` tell about both."""
    span.since, span.until = min(span.since, other.since), max(span.until, other.until)
    for name, (integral, seconds) in other.totals.items():
        before = span.totals.get(name, [0.0, 0.0])
        span.totals[name] = [before[0] + integral, before[1] + seconds]


def widen(spans: list[MetricSpan]) -> list[MetricSpan]:
    """At most MOST_SPANS of the same content: as wide as needed, by doubling."""
    width = spans[0].width
    while len(spans) > MOST_SPANS:
        width *= 2
        spans = gather(spans, width)
    return spans


# --- reading ----------------------------------------------------------------------------------------------------------


def changes(experiment: Experiment, after: int) -> dict[str, Any]:
    """{"width": seconds, "series": {name: [[start in milliseconds since 1970, value], ...]}} of the spans that changed
    after ``after``. A value is the mean over the span, summed over workers. A width unlike the page's own means that
    every span is here and the page's are void; 0 stands for no span.
    """
    changed = experiment.metric_spans.filter(seq__gt=after, seq__lte=experiment.last_seq).order_by("start")
    series: dict[str, list[list[float]]] = {}
    width = 0
    for span in changed:
        width = span.width
        for name in span.totals:
            series.setdefault(name, []).append([span.start * 1000, _short(_value(span, name))])
    return {"width": width, "series": series}


def _value(span: MetricSpan, name: str) -> float:
    return float(span.totals[name][0] / (span.until - span.since))


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def recent_mean(experiment: Experiment, name: str) -> float | None:
    """Mean of about the last RECENT_SECONDS, summed over workers; None when nobody reported in that time."""
    integral = covered = 0.0
    most = math.ceil(RECENT_SECONDS / FIRST_WIDTH) + 1
    for span in experiment.metric_spans.filter(totals__has_key=name).order_by("-start")[:most]:
        if not covered and span.until < time.time() - RECENT_SECONDS:
            return None
        integral += span.totals[name][0]
        covered += span.until - span.since
        if covered >= RECENT_SECONDS:
            break
    return integral / covered if covered else None


@dataclass(frozen=True, slots=True)
class Means:
    """Of a value over everything that was reported."""

    all_workers: float  # at a time
    one_worker: float
    worker_seconds: float


def means(experiments: Iterable[Experiment | int], name: str) -> Means | None:
    """None when the value was never reported in these experiments."""
    integral = covered = worker_seconds = 0.0
    for span in MetricSpan.objects.filter(experiment__in=list(experiments), totals__has_key=name):
        integral += span.totals[name][0]
        worker_seconds += span.totals[name][1]
        covered += span.until - span.since
    return Means(integral / covered, integral / worker_seconds, worker_seconds) if covered else None
