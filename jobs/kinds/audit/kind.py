"""The audit kind: one stage in which CPU workers grade the known answers of every problem several times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobs.kinds.audit import live
from jobs.kinds.audit.checks import load_problems
from jobs.kinds.audit.models import OUTCOMES, AuditedProblem, State
from jobs.kinds.audit.spec import AuditSpec
from jobs.kinds.base import Kind, Row, ShardPlan, StagePlan
from jobs.kinds.sampling.jobs import verifier_settings
from jobs.models import Experiment, Shard

AUDIT = "audit"
# So many workers can help; a shard is a handful of problems, because one may take minutes (a project's whole suite).
_WANTED_SHARDS, _LARGEST_SHARD = 16, 64
_LONGEST_REASON = 300
_BATCH = 1_000


class AuditKind(Kind):
    name = "audit"
    title = "Verifier audit"
    Spec = AuditSpec
    runner_module = "jobs.kinds.audit.run"

    def create_rows(self, experiment: Experiment, spec: AuditSpec) -> None:
        rows = (
            AuditedProblem(
                experiment=experiment,
                index=index,
                uid=problem.uid,
                question=problem.question,
                answer=problem.answer,
                checks=problem.checks,
            )
            for index, problem in enumerate(load_problems(spec, experiment.team))
        )
        AuditedProblem.objects.bulk_create(rows, batch_size=_BATCH)

    def plan(self, experiment: Experiment, spec: AuditSpec) -> list[StagePlan]:
        problems = AuditedProblem.objects.filter(experiment=experiment).count()
        size = min(_LARGEST_SHARD, max(1, problems // _WANTED_SHARDS))
        ends = [(first, min(problems, first + size)) for first in range(0, problems, size)]
        shards = [ShardPlan({"problems": [first, last]}, last - first) for first, last in ends]
        return [StagePlan(AUDIT, queue="cpu", unit="problems", shards=shards)]

    def prepare(self, shard: Shard) -> dict[str, Any]:
        spec = AuditSpec.model_validate(shard.experiment.spec)
        first, last = shard.payload["problems"]
        problems = AuditedProblem.objects.filter(
            experiment_id=shard.experiment_id, index__gte=first, index__lt=last
        ).order_by("index")
        missing = problems.filter(state=State.PENDING)
        return {
            "done": problems.count() - missing.count(),
            "verifier": spec.verifier,
            "repeats": spec.repeats,
            "settings": verifier_settings(spec.as_sampling()).as_job(),
            "problems": list(missing.values("index", "uid", "question", "answer", "checks")),
        }

    def record(self, shard: Shard, rows: Sequence[Row], seq: int) -> int:
        """Rows: {"problem": index, "state", "right" and "wrong": counts by outcome, "wrong_answers", "flaky", "reason",
        "seconds"}. A problem that has its verdicts keeps them."""
        found = {row["problem"]: row for row in reversed(rows)}
        pending = list(
            AuditedProblem.objects.filter(experiment_id=shard.experiment_id, index__in=found, state=State.PENDING)
        )
        for problem in pending:
            row = found[problem.index]
            problem.state = State(row["state"])
            for name in OUTCOMES:
                setattr(problem, f"right_{name}", row["right"].get(name, 0))
                setattr(problem, f"wrong_{name}", row["wrong"].get(name, 0))
            problem.wrong_answers, problem.flaky = row["wrong_answers"], row["flaky"]
            problem.reason, problem.seconds = row["reason"][:_LONGEST_REASON], row["seconds"]
            problem.seq = seq
        fields = [f"{known}_{name}" for known in ("right", "wrong") for name in OUTCOMES]
        more = ["state", "wrong_answers", "flaky", "reason", "seconds", "seq"]
        AuditedProblem.objects.bulk_update(pending, [*fields, *more], batch_size=200)
        return len(pending)

    def changes(self, experiment: Experiment, after: int) -> dict[str, Any]:
        return live.changes(experiment, after)

    def summary(self, experiment: Experiment) -> dict[str, Any]:
        return live.summary(experiment)
