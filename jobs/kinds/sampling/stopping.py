"""Experiments that stop a problem when it is solved: which samples they need, and how far they are known.

Sample i of a problem is needed as long as no sample of a lower index is correct. So all samples up to the first
correct one are drawn and graded, whatever order they end in and however often a worker dies; some above it that were
on their way may be there too. The first correct index is a geometric draw, cut off at the number of samples, and all
that is estimated comes from it: n and c of a problem depend on each other here, and 1 - C(n-c, k) / C(n, k) is biased.
"""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import Min
from django.db.models.functions import Coalesce, Least

from jobs.kinds.sampling.models import Problem, Sample, Verdict
from jobs.kinds.sampling.plan import GRADE, work_of
from jobs.models import Experiment, Shard, ShardStatus


def stops_when_solved(experiment: Experiment) -> bool:
    return bool(experiment.spec.get("stop_when_solved"))


def is_needed(problem: Problem, index: int) -> bool:
    return problem.first_correct is None or index <= problem.first_correct


def note_first_correct(experiment: Experiment, samples: Collection[int]) -> None:
    """After verdicts were given to these samples (primary keys), in the same transaction."""
    correct = Sample.objects.filter(pk__in=samples, experiment=experiment, verdict=Verdict.CORRECT)
    for problem, first in correct.order_by().values_list("problem").annotate(first=Min("index")):
        known = Coalesce("first_correct", first)
        Problem.objects.filter(pk=problem).update(first_correct=Least(known, first))


def solved(shard: Shard) -> list[tuple[int, int | None]]:
    """(problem, lowest index of a correct sample) of the solved problems of a shard's block."""
    indices = {index for part in work_of(shard.payload).parts for index in part.problems}
    found = Problem.objects.filter(experiment_id=shard.experiment_id, index__in=indices, first_correct__isnull=False)
    return list(found.order_by("index").values_list("index", "first_correct"))


def settled(experiment: Experiment) -> int | None:
    """How many samples of every problem, counted from the first, are graded or not needed; None where all are drawn.

    A finished grade shard has graded every sample of its block that is needed, and blocks come in their samples' order.
    """
    if not stops_when_solved(experiment):
        return None
    unfinished = experiment.shards.filter(stage=GRADE).exclude(status=ShardStatus.DONE).order_by("index")
    payload = unfinished.values_list("payload", flat=True).first()
    return int(experiment.spec["samples"] if payload is None else payload["samples"][0])
