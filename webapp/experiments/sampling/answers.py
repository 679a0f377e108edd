"""What selection works on, counted by the database: no row of a sample is loaded.

Two million samples become a few thousand groups: equal answers share their canonical form, and scores are rounded
before they are grouped. The groups are unfolded into arrays of one entry a sample, which is cheap.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from django.db.models import Count, F, FloatField, Max, Min, Q, QuerySet, Value
from django.db.models.functions import Cast, NullIf, Round

from engine.selection import NO_ANSWER, Answers
from jobs.kinds.sampling.models import Sample, Score, Verdict
from jobs.kinds.sampling.rewards import current_scorer
from jobs.models import Experiment

LOGPROB_DIGITS = 2  # decimals of a mean log-probability: samples that are closer count as tied
EXACT_SAMPLES = 50_000
STEPS = 200  # of rewards, when there are more samples
_COUNTS: dict[str, Any] = {"samples": Count("pk"), "correct": Count("pk", filter=Q(verdict=Verdict.CORRECT))}


def answer_classes(experiment: Experiment) -> dict[int, Answers]:
    """Each problem's graded samples with the class of their answer, by problem index. One grouped query."""
    rows = _graded(experiment).values_list("problem__index", "canonical").annotate(**_COUNTS)
    return _by_problem((index, canonical, None, samples, correct) for index, canonical, samples, correct in rows)


def rewarded_samples(experiment: Experiment) -> dict[int, Answers] | None:
    """The same with their rewards as scores. A reward model that is still at work has scored some of the samples:
    they alone are there, and None says that it has scored none. Rewards of an imported file: None when not all graded
    samples have one. See _valued for the rounding."""
    if experiment.spec.get("scorer"):
        scores = Score.objects.filter(scorer=current_scorer(experiment)).exclude(sample__verdict=Verdict.PENDING)
        return _valued(scores, "value", "sample__")
    graded = _graded(experiment)
    return None if graded.filter(score__isnull=True).exists() else _valued(graded, "score")


def certain_samples(experiment: Experiment) -> dict[int, Answers] | None:
    """The same with the self-certainty of the model that drew them as scores; None when it is not known for all."""
    graded = _graded(experiment)
    unknown = graded.filter(self_certainty__isnull=True).exists()
    return None if unknown else _valued(graded, "self_certainty")


def _valued(rows: QuerySet[Any], value: str, sample: str = "") -> dict[int, Answers] | None:
    """Samples with the column ``value`` as score; ``sample``: the path from a row to its sample. None without rows.

    Values are exact up to EXACT_SAMPLES samples. Beyond, they are rounded to STEPS steps between the lowest and the
    highest, so that the database can group them.
    """
    known = rows.aggregate(all=Count("pk"), low=Min(value), high=Max(value))
    if not known["all"]:
        return None
    step = (known["high"] - known["low"]) / STEPS
    rounded: Any = F(value)
    if known["all"] > EXACT_SAMPLES and step > 0:
        rounded = Round(F(value) / Value(step)) * Value(step)
    correct = Count("pk", filter=Q(**{f"{sample}verdict": Verdict.CORRECT}))
    grouped = rows.annotate(rounded=rounded).values_list(f"{sample}problem__index", f"{sample}canonical", "rounded")
    return _by_problem(grouped.annotate(samples=Count("pk"), correct=correct))


def probable_samples(experiment: Experiment) -> dict[int, Answers] | None:
    """Each problem's graded samples with their mean log-probability per token as score and no answers; None when it is
    not known for all of them. One grouped query."""
    mean = Cast(F("logprob"), FloatField()) / Cast(NullIf(F("tokens"), Value(0)), FloatField())
    unknown = Count("pk", filter=Q(logprob__isnull=True) | Q(tokens__isnull=True))
    grouped = _graded(experiment).annotate(mean=Round(mean, LOGPROB_DIGITS)).values_list("problem__index", "mean")
    rows = list(grouped.annotate(**_COUNTS, unknown=unknown))
    if any(row[-1] for row in rows):
        return None
    # An answer without tokens has no mean.
    return _by_problem((index, "", np.nan if mean is None else mean, *counts) for index, mean, *counts, _ in rows)


Row = tuple[int, str, float | None, int, int]  # problem, canonical answer, score, samples, correct ones


def _by_problem(rows: Iterable[Any]) -> dict[int, Answers]:
    found: dict[int, list[Row]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(row)
    return {index: _unfold(groups) for index, groups in found.items()}


def _unfold(groups: Sequence[Row]) -> Answers:
    """One entry a sample. Classes are numbered in the order in which their answers come."""
    numbers = {answer: number for number, answer in enumerate(dict.fromkeys(row[1] for row in groups if row[1]))}
    samples = np.array([row[3] for row in groups])
    answer = np.repeat(np.array([numbers.get(row[1], NO_ANSWER) for row in groups], dtype=np.int64), samples)
    correct = np.concatenate([np.arange(row[3]) < row[4] for row in groups])
    if groups[0][2] is None:
        return Answers(answer, correct)
    return Answers(answer, correct, np.repeat(np.array([row[2] for row in groups], dtype=np.float64), samples))


def votes_of(problem: Answers) -> int:
    """How many samples gave the most frequent answer."""
    return int(np.bincount(problem.answer[problem.answer != NO_ANSWER], minlength=1).max())


def _graded(experiment: Experiment) -> QuerySet[Sample]:
    """Without extra draws, which would bias what is estimated as they bias coverage."""
    graded = Sample.objects.filter(experiment=experiment).exclude(verdict=Verdict.PENDING)
    return graded.filter(index__lt=experiment.spec["samples"]) if experiment.spec.get("extra") else graded
