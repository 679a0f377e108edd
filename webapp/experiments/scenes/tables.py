"""The files that can be downloaded from a scene experiment, made in pieces while they are sent."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

from asgiref.sync import sync_to_async

from jobs.kinds.scenes.models import GeneratedScene, LossPoint, SceneRun, SceneScore
from jobs.models import Experiment

ROWS = 500  # read at a time


def _csv(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


async def losses_csv(experiment: Experiment) -> AsyncIterator[str]:
    """A row for each stage, step and part of the loss."""
    yield _csv([["stage", "step", "part", "loss"]])
    for run in await sync_to_async(lambda: list(SceneRun.objects.filter(experiment=experiment).order_by("pk")))():
        after = 0
        while rows := await sync_to_async(_losses_after)(run, after):
            after = rows[-1].step
            yield _csv([run.stage, row.step, part, value] for row in rows for part, value in row.values.items())


def _losses_after(run: SceneRun, after: int) -> list[LossPoint]:
    return list(LossPoint.objects.filter(run=run, step__gt=after).order_by("step")[:ROWS])


async def scores_csv(experiment: Experiment) -> AsyncIterator[str]:
    """A row for each measure and what was measured: samples, autoencoder or real."""
    yield _csv([["subject", "metric", "title", "value", "unit", "better", "count", "note"]])
    yield _csv(await sync_to_async(_scores)(experiment))


def _scores(experiment: Experiment) -> list[list[Any]]:
    found = SceneScore.objects.filter(experiment=experiment).order_by("pk")
    told = ("unit", "better", "count", "note")
    return [
        [
            row.subject,
            row.metric,
            row.details.get("title", row.metric),
            row.value,
            *(row.details.get(name) for name in told),
        ]
        for row in found
    ]


async def scenes_jsonl(experiment: Experiment) -> AsyncIterator[str]:
    """One JSON object a line: how a scene was drawn, and its cameras in voxels."""
    after = 0
    while rows := await sync_to_async(_scenes_after)(experiment, after):
        after = rows[-1].number
        yield "".join(json.dumps(_scene(row), ensure_ascii=False) + "\n" for row in rows)


def _scenes_after(experiment: Experiment, after: int) -> list[GeneratedScene]:
    found = GeneratedScene.objects.filter(experiment=experiment, number__gt=after).select_related("parent", "other")
    return list(found.order_by("number")[:ROWS])


def _scene(row: GeneratedScene) -> dict[str, Any]:
    return {
        "number": row.number,
        "operation": row.operation,
        "state": row.state,
        "seed": row.seed,
        "settings": row.settings,
        "parent": row.parent.number if row.parent else None,
        "other": row.other.number if row.other else None,
        "values": row.values,
        "folder": row.folder,
    }
