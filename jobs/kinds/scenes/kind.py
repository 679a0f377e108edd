"""The scenes kind: collect posed pictures, train the three stages of NeuralField-LDM, draw scenes, measure them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobs.kinds.base import Kind, Row, StagePlan
from jobs.kinds.scenes import live, store
from jobs.kinds.scenes.checks import check_spec
from jobs.kinds.scenes.jobs import make_job
from jobs.kinds.scenes.models import GeneratedScene
from jobs.kinds.scenes.plan import GENERATE, stages
from jobs.kinds.scenes.spec import ScenesSpec
from jobs.models import Experiment, Shard


class ScenesKind(Kind):
    name = "scenes"
    title = "Scenes"
    Spec = ScenesSpec
    runner_module = "jobs.kinds.scenes.run"

    def create_rows(self, experiment: Experiment, spec: ScenesSpec) -> None:
        """The trained stages and the planned scenes. Raises SpecError for what check_spec finds."""
        for error in check_spec(spec, experiment.team):
            raise error
        store.create_rows(experiment, spec)

    def plan(self, experiment: Experiment, spec: ScenesSpec) -> list[StagePlan]:
        return stages(spec, GeneratedScene.objects.filter(experiment=experiment, stage=GENERATE).count())

    def prepare(self, shard: Shard) -> dict[str, Any]:
        return make_job(shard)

    def record(self, shard: Shard, rows: Sequence[Row], seq: int) -> int:
        return store.record(shard, rows, seq)

    def changes(self, experiment: Experiment, after: int) -> dict[str, Any]:
        return live.changes(experiment, after)

    def summary(self, experiment: Experiment) -> dict[str, Any]:
        return live.summary(experiment)
