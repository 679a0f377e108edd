"""What selection works on, counted by the database: no row of a sample is loaded.

Two million samples become a few thousand groups: equal answers share their canonical form, and scores are rounded
before they are grouped. The groups are unfolded into arrays of one entry a sample, which is cheap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from django.db.models import Count, F, FloatField, Q, QuerySet, Value
from django.db.models.functions import Cast, NullIf, Round

from engine.coverage.bands import Floats
from engine.selection import NO_ANSWER, Answers
from jobs.kinds.sampling.models import Sample, Verdict
from jobs.models import Experiment

SCORE_DIGITS = 2  # decimals of a mean log-probability: samples that are closer count as tied
_SAMPLES, _CORRECT = Count("pk"), Count("pk", filter=Q(verdict=Verdict.CORRECT))


@dataclass(frozen=True, slots=True)
class Group:
    """Equal samples of a problem. ``key``: the class of their answer, or their score."""

    key: float
    samples: int
    correct: int


def answer_classes(experiment: Experiment) -> dict[int, Answers]:
    """Each problem's graded samples with the class of their answer, by problem index; classes are numbered from the
    most frequent on. One grouped query."""
    rows = _graded(experiment).values("problem__index", "canonical").annotate(samples=_SAMPLES, correct=_CORRECT)
    found: dict[int, list[Group]] = {}
    for row in rows.order_by("problem__index", "-samples", "canonical"):
        groups = found.setdefault(row["problem__index"], [])
        given = sum(group.key != NO_ANSWER for group in groups)
        groups.append(Group(given if row["canonical"] else NO_ANSWER, row["samples"], row["correct"]))
    unfolded = {index: _unfold(groups) for index, groups in found.items()}
    return {index: Answers(key.astype(np.int64), correct) for index, (key, correct) in unfolded.items()}


def scored_samples(experiment: Experiment) -> dict[int, Answers] | None:
    """Each problem's graded samples with their mean log-probability per token as score; None when it is not known for
    all of them. One grouped query."""
    mean = Cast(F("logprob"), FloatField()) / Cast(NullIf(F("tokens"), Value(0)), FloatField())
    grouped = _graded(experiment).annotate(score=Round(mean, SCORE_DIGITS)).values("problem__index", "score")
    unknown = Count("pk", filter=Q(logprob__isnull=True) | Q(tokens__isnull=True))
    found: dict[int, list[Group]] = {}
    for row in grouped.annotate(samples=_SAMPLES, correct=_CORRECT, unknown=unknown):
        if row["unknown"]:
            return None
        score = np.nan if row["score"] is None else row["score"]  # an empty answer has no tokens and no mean
        found.setdefault(row["problem__index"], []).append(Group(score, row["samples"], row["correct"]))
    scored = {index: _unfold(groups) for index, groups in found.items()}
    return {
        index: Answers(np.zeros(len(score), dtype=np.int64), correct, score)
        for index, (score, correct) in scored.items()
    }


def votes_of(problem: Answers) -> int:
    """How many samples gave the most frequent answer."""
    return int(np.bincount(problem.answer[problem.answer != NO_ANSWER], minlength=1).max())


def _graded(experiment: Experiment) -> QuerySet[Sample]:
    return Sample.objects.filter(experiment=experiment).exclude(verdict=Verdict.PENDING)


def _unfold(groups: Sequence[Group]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """(key, correct) of every sample."""
    samples = np.array([group.samples for group in groups])
    correct = np.concatenate([np.arange(group.samples) < group.correct for group in groups])
    return np.repeat(np.array([group.key for group in groups], dtype=np.float64), samples), correct
