"""Which reward a sample has: that of the reward model in the Spec, else the one that an imported file gave it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db.models import F, OuterRef, QuerySet, Subquery

from jobs.kinds.sampling.models import Sample, Score, Scorer
from jobs.kinds.sampling.spec import SamplingSpec
from jobs.models import Experiment


def current_scorer(experiment: Experiment) -> Scorer | None:
    """The reward model of the Spec; None without one, and until it has scored a sample."""
    if not experiment.spec.get("scorer"):
        return None
    name = SamplingSpec.model_validate(experiment.spec).scorer_name
    return Scorer.objects.filter(experiment=experiment, name=name).first()


def with_reward(samples: QuerySet[Sample], experiment: Experiment) -> QuerySet[Any]:
    """``samples`` of the experiment annotated with ``reward``, None where there is none."""
    if not experiment.spec.get("scorer"):
        return samples.annotate(reward=F("score"))
    scores = Score.objects.filter(scorer=current_scorer(experiment), sample=OuterRef("pk"))
    return samples.annotate(reward=Subquery(scores.values("value")[:1]))


def rewards_of(experiment: Experiment, samples: Collection[int]) -> dict[int, float]:
    """The rewards of these samples of the experiment, by primary key; without those that have none."""
    found = with_reward(Sample.objects.filter(pk__in=samples), experiment)
    return {pk: reward for pk, reward in found.values_list("pk", "reward") if reward is not None}
