"""The detection kind's part of the compare page."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.models import Experiment
from webapp.experiments.compare.query import CompareQuery, Line
from webapp.experiments.kind_pages import Json, KindComparison


class DetectionComparison(KindComparison):
    def context(self, experiments: Sequence[Experiment], lines: Sequence[Line], query: CompareQuery) -> Json:
        return {"series": []}


COMPARISON = DetectionComparison()
