"""The sampling kind: generate samples on a GPU, grade them on CPUs, score them by a reward model, leave files."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import transaction

from engine.endpoint import is_hosted
from jobs.kinds.base import Kind, Row, SpecError, StagePlan
from jobs.kinds.sampling import importing, live, store
from jobs.kinds.sampling.checks import check_extra, check_import, check_scorer, check_total, load_problems
from jobs.kinds.sampling.export import export_folder
from jobs.kinds.sampling.jobs import make_job
from jobs.kinds.sampling.models import Problem
from jobs.kinds.sampling.plan import GENERATE, GRADE, IMPORT, SCORE, import_stages, stages, work_of
from jobs.kinds.sampling.spec import SamplingSpec
from jobs.kinds.sampling.stopping import note_first_correct, solved, stops_when_solved
from jobs.models import Experiment, Shard, next_seq


class SamplingKind(Kind):
    name = "sampling"
    title = "Repeated sampling"
    Spec = SamplingSpec
    runner_module = "jobs.kinds.sampling.run"

    def create_rows(self, experiment: Experiment, spec: SamplingSpec) -> None:
        """Copy the problems into the experiment. Raises SpecError when the set is missing or the whole too large."""
        if spec.imported is None:  # else the file brings them
            store.create_problems(experiment, load_problems(spec, experiment.team))

    def plan(self, experiment: Experiment, spec: SamplingSpec) -> list[StagePlan]:
        """Shards for the experiment's problems, so call create_rows first. Blocks planned earlier stay first.

        Raises SpecError when the samples became too many.
        """
        problems = Problem.objects.filter(experiment=experiment).count()
        check_scorer(experiment, spec)
        if spec.imported is not None:
            check_import(experiment, spec)
            graded_here = "verifier" in spec.model_fields_set
            return import_stages(problems, spec.samples, graded_here=graded_here, scorer=spec.scorer_name)
        check_total(problems, spec.samples)
        check_extra(problems, spec)
        payloads = Shard.objects.filter(experiment=experiment, stage=GENERATE).order_by("index")
        existing = [work_of(payload) for payload in payloads.values_list("payload", flat=True)]
        queue = "cpu" if is_hosted(spec.model) else "gpu"
        return stages(
            problems,
            spec.samples,
            [draw.targets for draw in spec.extra],
            existing,
            generate_queue=queue,
            growing=spec.stop_when_solved,
            scorer=spec.scorer_name,
        )

    def spec_changed(self, experiment: Experiment, spec: SamplingSpec) -> None:
        store.recount_extra(experiment, spec.samples)

    def prepare(self, shard: Shard) -> dict[str, Any]:
        return make_job(shard)

    def record(self, shard: Shard, rows: Sequence[Row], seq: int) -> int:
        if shard.stage == GENERATE:
            return store.record_samples(shard, rows)
        if shard.stage == IMPORT:
            return importing.record_parts(shard, rows, seq)
        if shard.stage == GRADE:
            new = store.record_verdicts(shard, rows, seq)
            if stops_when_solved(shard.experiment):
                note_first_correct(shard.experiment, [row["sample"] for row in rows])
            return new
        if shard.stage == SCORE:
            return store.record_scores(shard, rows)
        # The export's only row follows its files. They are kept in this transaction at the latest; then the drafts go.
        folder = export_folder(settings.DATA_DIR, shard.experiment.code)
        transaction.on_commit(lambda: shutil.rmtree(folder, ignore_errors=True))
        return 0

    def news(self, shard: Shard) -> dict[str, Any]:
        return {"solved": solved(shard)} if shard.stage == GENERATE and stops_when_solved(shard.experiment) else {}

    def reopen(self, experiment: Experiment) -> None:
        if stops_when_solved(experiment):
            raise SpecError(
                "verifier",
                "Drawing stopped where the verifier found a correct answer, so another verdict would leave gaps. "
                "Duplicate the experiment and choose the verifier there.",
            )
        store.forget_verdicts(experiment, next_seq(experiment.pk))

    def changes(self, experiment: Experiment, after: int) -> dict[str, Any]:
        return live.changes(experiment, after)

    def summary(self, experiment: Experiment) -> dict[str, Any]:
        return live.summary(experiment)
