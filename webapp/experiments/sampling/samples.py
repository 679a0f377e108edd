"""Queries of the sample browser. Each reads a bounded number of rows however many samples there are.

Lists go on from the last row seen (keyset paging): skipping a million rows costs as much as reading them. Counts of
matches stop at ``MOST_COUNTED``. Texts have no index, so a search reads them in windows and says how far it came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, FloatField, Q, QuerySet, Value
from django.db.models.functions import Cast, Coalesce, Greatest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from jobs.kinds.sampling.models import Problem, Sample, Verdict
from jobs.models import Experiment
from webapp.experiments.sampling.filters import Filters

SAMPLES_SHOWN = 50
PROBLEMS_SHOWN = 100
MOST_COUNTED = 1_000
WINDOW = 8_000  # texts read by one step of a search
MOST_WINDOWS = 2  # steps of one request
STRIP = 256  # samples in the strip above a text
COMMON_ANSWERS = 5


@dataclass(frozen=True, slots=True)
class Found:
    """Matching samples, and where to go on. ``searched``: texts read, when the search stopped before the end."""

    samples: Sequence[Sample]
    next_after: int | None = None
    searched: int | None = None


def find_samples(experiment: Experiment, filters: Filters, *, limit: int = SAMPLES_SHOWN) -> Found:
    """The samples that match, after ``filters.after``, in the order they were drawn or by index in one problem."""
    key = "pk" if filters.problem is None else "index"
    matching = _matching(experiment, filters)
    if filters.q:
        return _search(matching, filters, key, limit)
    rows = list(matching.filter(**{_after(key): filters.after}).order_by(key)[: limit + 1])
    more = len(rows) > limit
    return Found(rows[:limit], _next(rows[limit - 1], key) if more else None)


def _matching(experiment: Experiment, filters: Filters) -> QuerySet[Sample]:
    """Everything but the text. With a problem chosen its index is used, otherwise that of the verdicts."""
    samples = Sample.objects.filter(experiment=experiment)
    if filters.problem is not None:
        # Looked up first: with the key in hand every database walks the index (experiment, problem, index).
        problem = Problem.objects.filter(experiment=experiment, index=filters.problem).first()
        samples = samples.filter(problem=problem) if problem else samples.none()
    if filters.verdict and filters.problem is not None:
        # As an expression the verdict cannot choose the index: without statistics SQLite would take the verdicts' one
        # and walk all of the experiment's samples that have this one.
        samples = samples.alias(judged=Coalesce("verdict", Value(""))).filter(judged=filters.verdict)
    elif filters.verdict:
        samples = samples.filter(verdict=filters.verdict)
    return samples.select_related("problem")


def _after(key: str) -> str:
    # Sample indices start at 0 and ids at 1: "index >= after" and "pk > after" both begin at the start for 0.
    return "index__gte" if key == "index" else "pk__gt"


def _next(last: Sample, key: str) -> int:
    return last.index + 1 if key == "index" else last.pk


def _search(matching: QuerySet[Sample], filters: Filters, key: str, limit: int) -> Found:
    """Read windows of texts until enough match, the samples end, or this request has read its share."""
    hits: list[Sample] = []
    after, searched = filters.after, 0
    for _ in range(MOST_WINDOWS):
        rest = matching.filter(**{_after(key): after}).order_by(key)
        window = list(rest.values_list(key, flat=True)[:WINDOW])
        if not window:
            return Found(hits)
        texts = rest.filter(**{f"{key}__lte": window[-1]}, body__text__icontains=filters.q)
        hits += texts[: limit + 1 - len(hits)]
        if len(hits) > limit:
            return Found(hits[:limit], _next(hits[limit - 1], key))
        if len(window) < WINDOW:
            return Found(hits)
        searched += len(window)
        after = window[-1] + 1 if key == "index" else window[-1]
    return Found(hits, after, searched)


def count_capped(experiment: Experiment, filters: Filters) -> int:
    """How many samples match apart from the text; ``MOST_COUNTED + 1`` stands for "more than that"."""
    return _matching(experiment, filters)[: MOST_COUNTED + 1].count()


def list_problems(experiment: Experiment, filters: Filters) -> tuple[list[Problem], int]:
    """One page of problems and the number of pages. Their rows are few beside the samples: skipping them is cheap."""
    problems = Problem.objects.filter(experiment=experiment).annotate(
        rate=Cast(F("c"), FloatField()) / Greatest(Cast(F("n"), FloatField()), 1.0)
    )
    order = {"index": ["index"], "rare": ["rate", "index"], "often": ["-rate", "index"]}[filters.order]
    pages = max(1, -(-problems.count() // PROBLEMS_SHOWN))
    page = min(filters.page, pages)
    start = (page - 1) * PROBLEMS_SHOWN
    return list(problems.order_by(*order)[start : start + PROBLEMS_SHOWN]), pages


def get_sample(experiment: Experiment, place: tuple[int, int]) -> Sample | None:
    problem, index = place
    samples = Sample.objects.filter(experiment=experiment, problem__experiment=experiment, problem__index=problem)
    return samples.filter(index=index).select_related("problem", "body").first()


def first_sample(problem: Problem) -> Sample | None:
    samples = Sample.objects.filter(experiment_id=problem.experiment_id, problem=problem)
    return samples.order_by("index").select_related("problem", "body").first()


def beside(sample: Sample) -> tuple[Sample | None, Sample | None]:
    """The samples of the same problem before and after this one."""
    same = Sample.objects.filter(experiment_id=sample.experiment_id, problem_id=sample.problem_id)
    same = same.select_related("problem")
    before = same.filter(index__lt=sample.index).order_by("-index").first()
    return before, same.filter(index__gt=sample.index).order_by("index").first()


COLUMNS = 32
PITCH = 15  # px from one square to the next
EDGE = 2  # px around the strip, for the outline of the current square


@dataclass(frozen=True, slots=True)
class Square:
    """One sample in the strip, at ``x``, ``y`` px."""

    index: int
    verdict: str  # "" when it is not drawn yet
    x: int
    y: int
    current: bool


@dataclass(frozen=True, slots=True)
class Strip:
    """Up to ``STRIP`` neighbouring samples of a problem: ``first`` to ``last`` of ``planned``."""

    squares: list[Square]
    first: int
    planned: int
    counts: dict[str, int]  # per verdict; "" counts samples that are not drawn yet

    @property
    def drawing(self) -> SafeString:
        """The squares as SVG. Made here, because as many template loops would take most of the page's time."""
        shape = '<rect x="{}" y="{}" width="12" height="12" rx="3" data-index="{}" data-verdict="{}"{}>{}</rect>'
        title = "<title>Sample {}: {}</title>"
        return format_html_join(
            "",
            shape,
            (
                (
                    *(each.x, each.y, each.index, each.verdict),
                    mark_safe(' class="current"') if each.current else "",
                    format_html(title, each.index, each.verdict or "not drawn yet"),
                )
                for each in self.squares
            ),
        )

    @property
    def last(self) -> int:
        return self.first + len(self.squares) - 1

    @property
    def width(self) -> int:
        return COLUMNS * PITCH + EDGE

    @property
    def height(self) -> int:
        return -(-len(self.squares) // COLUMNS) * PITCH + EDGE

    @property
    def missing(self) -> int:
        return self.counts[""]

    @property
    def failed(self) -> int:
        return self.counts[Verdict.ERROR] + self.counts[Verdict.TIMEOUT]


def strip_around(sample: Sample, planned: int) -> Strip:
    """The stretch of ``STRIP`` sample indices that holds ``sample``."""
    first = sample.index // STRIP * STRIP
    same = Sample.objects.filter(experiment_id=sample.experiment_id, problem_id=sample.problem_id)
    drawn = dict(same.filter(index__gte=first, index__lt=first + STRIP).values_list("index", "verdict"))
    end = max(min(planned, first + STRIP), max(drawn, default=first) + 1)
    squares = [
        Square(
            index, drawn.get(index, ""), i % COLUMNS * PITCH + EDGE, i // COLUMNS * PITCH + EDGE, index == sample.index
        )
        for i, index in enumerate(range(first, end))
    ]
    counts = dict.fromkeys([*Verdict.values, ""], 0)
    for square in squares:
        counts[square.verdict] += 1
    return Strip(squares, first, planned, counts)


def common_answers(sample: Sample) -> list[dict[str, Any]]:
    """The most frequent answers to the sample's problem: [{"canonical", "votes", "correct"}], most votes first."""
    same = Sample.objects.filter(experiment_id=sample.experiment_id, problem_id=sample.problem_id)
    correct = Count("pk", filter=Q(verdict=Verdict.CORRECT))
    groups = same.exclude(canonical="").values("canonical").annotate(votes=Count("pk"), correct=correct)
    rows = groups.order_by("-votes", "canonical")[:COMMON_ANSWERS]
    return [row | {"correct": row["correct"] > 0} for row in rows]
