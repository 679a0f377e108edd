"""The detection kind: read the data, train a detector for each method and seed, test them at angles, leave files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobs.kinds.base import Kind, Row, StagePlan
from jobs.kinds.detection import live, store
from jobs.kinds.detection.checks import check_spec, data_set, planned_epochs
from jobs.kinds.detection.jobs import clear_drafts, make_job
from jobs.kinds.detection.models import TriedImage
from jobs.kinds.detection.plan import stages
from jobs.kinds.detection.spec import DetectionSpec
from jobs.models import Experiment, Shard


class DetectionKind(Kind):
    name = "detection"
    title = "Detection"
    Spec = DetectionSpec
    runner_module = "jobs.kinds.detection.run"

    def create_rows(self, experiment: Experiment, spec: DetectionSpec) -> None:
        """The runs. Raises SpecError for what check_spec finds."""
        for error in check_spec(spec, experiment.team):
            raise error
        store.create_runs(experiment, spec)

    def plan(self, experiment: Experiment, spec: DetectionSpec) -> list[StagePlan]:
        tried = TriedImage.objects.filter(experiment=experiment).order_by("index").values_list("angles", flat=True)
        return stages(spec, planned_epochs(spec, data_set(spec, experiment.team)), list(tried))

    def prepare(self, shard: Shard) -> dict[str, Any]:
        return make_job(shard)

    def record(self, shard: Shard, rows: Sequence[Row], seq: int) -> int:
        new = store.record(shard, rows, seq)
        if any(row["is"] == "exported" for row in rows):
            # The row follows its files, which are kept in this transaction at the latest; then the drafts go.
            clear_drafts(shard.experiment)
        return new

    def changes(self, experiment: Experiment, after: int) -> dict[str, Any]:
        return live.changes(experiment, after)

    def summary(self, experiment: Experiment) -> dict[str, Any]:
        return live.summary(experiment)
