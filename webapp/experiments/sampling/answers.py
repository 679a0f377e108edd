"""How often each answer was given and each score was reached, counted by the database: no sample is loaded.

Two million samples become a few thousand rows: answers that are equal share their canonical form, and scores are
rounded before they are grouped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from django.db.models import Count, F, FloatField, Q, QuerySet
from django.db.models.functions import Cast, Round

from jobs.kinds.sampling.models import Sample, Verdict
from jobs.models import Experiment

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_SAMPLES, _CORRECT = Count("pk"), Count("pk", filter=Q(verdict=Verdict.CORRECT))
SCORE_DIGITS = 2  # decimals of a mean log-probability: samples closer than that count as tied


@dataclass(frozen=True, slots=True)
class Classes:
    """Answers of one problem, the most frequent first; arrays over the different answers."""

    votes: Ints
    correct: Ints  # of the votes
    silent: int  # graded samples without an answer; they have no vote

    @property
    def is_right(self) -> npt.NDArray[np.bool_]:
        """Whether most samples with the answer were graded correct. (A verifier that reads more than the answer can
        grade samples of one answer differently.)"""
        return np.asarray(2 * self.correct > self.votes)


@dataclass(frozen=True, slots=True)
class Scores:
    """Mean log-probabilities per token of one problem's samples, ascending; arrays over the different values."""

    score: Floats
    samples: Ints
    correct: Ints


def answer_classes(experiment: Experiment) -> dict[int, Classes]:
    """By problem index. One grouped query."""
    rows = _graded(experiment).values("problem__index", "canonical").annotate(samples=_SAMPLES, correct=_CORRECT)
    found: dict[int, list[tuple[str, int, int]]] = {}
    for row in rows:
        found.setdefault(row["problem__index"], []).append((row["canonical"], row["samples"], row["correct"]))
    return {index: _classes(answers) for index, answers in found.items()}


def _classes(answers: list[tuple[str, int, int]]) -> Classes:
    given = sorted((answer for answer in answers if answer[0]), key=lambda answer: (-answer[1], answer[0]))
    silent = sum(votes for canonical, votes, _ in answers if not canonical)
    return Classes(
        np.array([votes for _, votes, _ in given], dtype=np.int64),
        np.array([correct for *_, correct in given], dtype=np.int64),
        silent,
    )


def logprob_scores(experiment: Experiment) -> dict[int, Scores]:
    """By problem index; empty when log-probabilities are not known. One grouped query."""
    mean = Cast(F("logprob"), FloatField()) / Cast(F("tokens"), FloatField())
    scored = _graded(experiment).filter(logprob__isnull=False, tokens__gt=0)
    grouped = scored.annotate(score=Round(mean, SCORE_DIGITS)).values("problem__index", "score")
    found: dict[int, list[tuple[float, int, int]]] = {}
    for row in grouped.annotate(samples=_SAMPLES, correct=_CORRECT):
        found.setdefault(row["problem__index"], []).append((row["score"], row["samples"], row["correct"]))
    return {index: _scores(sorted(values)) for index, values in found.items()}


def _scores(values: list[tuple[float, int, int]]) -> Scores:
    score, samples, correct = zip(*values, strict=True)
    return Scores(np.array(score), np.array(samples, dtype=np.int64), np.array(correct, dtype=np.int64))


def _graded(experiment: Experiment) -> QuerySet[Sample]:
    return Sample.objects.filter(experiment=experiment).exclude(verdict=Verdict.PENDING)
