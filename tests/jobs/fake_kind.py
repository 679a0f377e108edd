"""A small kind of experiment for the job tests: stages work (pairwise check) and wrap; a unit of work is a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django.db.models import Count
from pydantic import BaseModel

from jobs.kinds.base import Kind, Row, ShardPlan, StagePlan
from jobs.kinds.sampling.models import Problem
from jobs.models import Experiment, Shard


class FakeSpec(BaseModel):
    shards: int = 2
    units: int = 3
    samples: int = 1  # raising it adds ``shards`` shards for each
    verifier: str = "strict"
    behaviour: str = "work"  # see tests.jobs.fake_run
    check: bool = True  # with the later stages
    regardless: bool = False  # the last one also when others failed


class FakeKind(Kind):
    """Rows are kept as Problems, whose unique index makes a second recording a no-op."""

    name: ClassVar[str] = "fake"
    title: ClassVar[str] = "Fake"
    Spec = FakeSpec
    runner_module: ClassVar[str] = "tests.jobs.fake_run"

    def plan(self, experiment: Experiment, spec: FakeSpec) -> list[StagePlan]:
        count = spec.shards * spec.samples
        work = [ShardPlan({"first": i * spec.units, "behaviour": spec.behaviour}, spec.units) for i in range(count)]
        stages = [StagePlan("work", "gpu", "numbers", shards=work)]
        if spec.check:
            stages.append(StagePlan("grade", "cpu", "numbers", pairwise=True, shards=[ShardPlan({}, 1)] * count))
            stages.append(StagePlan("wrap", "cpu", "files", regardless=spec.regardless, shards=[ShardPlan({}, 1)]))
        return stages

    def create_rows(self, experiment: Experiment, spec: FakeSpec) -> None:
        pass

    def prepare(self, shard: Shard) -> dict[str, Any]:
        if shard.stage != "work":
            return {"units": [], "done": 0, "behaviour": "work"}
        first = shard.payload["first"]
        units = range(first, first + shard.total)
        there = set(Problem.objects.filter(experiment=shard.experiment).values_list("index", flat=True))
        missing = [unit for unit in units if unit not in there]
        behaviour = shard.payload["behaviour"]
        return {"units": missing, "done": shard.total - len(missing), "behaviour": behaviour, "attempt": shard.attempt}

    def record(self, shard: Shard, rows: Sequence[Row], seq: int) -> int:
        before = Problem.objects.filter(experiment=shard.experiment).count()
        Problem.objects.bulk_create(
            (
                Problem(
                    experiment=shard.experiment, index=row["unit"], uid=row["text"], question="", answer="", seq=seq
                )
                for row in rows
            ),
            ignore_conflicts=True,
        )
        return Problem.objects.filter(experiment=shard.experiment).count() - before

    def news(self, shard: Shard) -> dict[str, Any]:
        """How many of the experiment's units are recorded."""
        return {"recorded": Problem.objects.filter(experiment=shard.experiment).count()}

    def changes(self, experiment: Experiment, after: int) -> dict[str, Any]:
        units = Problem.objects.filter(experiment=experiment, seq__gt=after).order_by("index")
        return {"units": list(units.values_list("index", flat=True))}

    def reopen(self, experiment: Experiment) -> None:
        pass  # no verdicts are kept

    def summary(self, experiment: Experiment) -> dict[str, Any]:
        return {"value": Problem.objects.filter(experiment=experiment).aggregate(n=Count("id"))["n"]}
