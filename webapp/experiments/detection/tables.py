"""The files that can be downloaded from a detection experiment, made in pieces while they are sent."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

from asgiref.sync import sync_to_async

from jobs.kinds.detection.models import AngleScore, Epoch, LabelQuality, Prediction, Run
from jobs.models import Experiment

ROWS = 500  # read at a time


def _csv(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def cell(text: str) -> str:
    """Never a formula for a spreadsheet: names come from people's data sets."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


async def scores_csv(experiment: Experiment) -> AsyncIterator[str]:
    """A row for each run and test angle; average precisions in 0 to 1."""
    yield _csv([["architecture", "rule", "delta", "seed", "angle", "ap", "ap50", "ap75", "exact_truth"]])
    rows = await sync_to_async(_scores)(experiment)
    yield _csv(rows)


def _scores(experiment: Experiment) -> list[tuple[Any, ...]]:
    found = AngleScore.objects.filter(experiment=experiment).order_by("run__index", "angle")
    return list(
        found.values_list(
            "run__architecture", "run__rule", "run__delta", "run__seed", "angle", "ap", "ap50", "ap75", "details__exact"
        )
    )


async def epochs_csv(experiment: Experiment) -> AsyncIterator[str]:
    """A row for each run and epoch: losses, validation, speed."""
    columns = ("loss", "ap", "ap50", "ap75", "images_per_second", "learning_rate")
    yield _csv([["architecture", "rule", "delta", "seed", "epoch", *columns, "losses"]])
    for run in await sync_to_async(lambda: list(Run.objects.filter(experiment=experiment).order_by("index")))():
        after = 0
        while rows := await sync_to_async(_epochs_after)(run, after):
            after = rows[-1].epoch
            yield _csv(
                [
                    run.architecture,
                    run.rule,
                    run.delta,
                    run.seed,
                    row.epoch,
                    *(row.values.get(name) for name in columns),
                    json.dumps(row.values.get("losses", {})),
                ]
                for row in rows
            )


def _epochs_after(run: Run, after: int) -> list[Epoch]:
    return list(Epoch.objects.filter(run=run, epoch__gt=after).order_by("epoch")[:ROWS])


async def quality_csv(experiment: Experiment) -> AsyncIterator[str]:
    """How good each rule's labels are at each angle, held against the turned masks of the training images."""
    yield _csv([["rule", "angle", "share_iou_50", "share_iou_75", "mean_iou", "objects"]])
    yield _csv(await sync_to_async(_quality)(experiment))


def _quality(experiment: Experiment) -> list[tuple[Any, ...]]:
    found = LabelQuality.objects.filter(experiment=experiment).order_by("pk")
    return list(found.values_list("rule", "angle", "share50", "share75", "mean_iou", "objects_count"))


async def predictions_jsonl(experiment: Experiment) -> AsyncIterator[str]:
    """One JSON object a line: what a run found in an image at an angle, and what was there."""
    after = 0
    while rows := await sync_to_async(_predictions_after)(experiment, after):
        after = rows[-1].pk
        yield "".join(json.dumps(_prediction(row), ensure_ascii=False) + "\n" for row in rows)


def _predictions_after(experiment: Experiment, after: int) -> list[Prediction]:
    found = Prediction.objects.filter(experiment=experiment, pk__gt=after).select_related("run").order_by("pk")
    return list(found[:ROWS])


def _prediction(row: Prediction) -> dict[str, Any]:
    return {
        "architecture": row.run.architecture,
        "rule": row.run.rule,
        "delta": row.run.delta,
        "seed": row.run.seed,
        "angle": row.angle,
        "file": row.file,
        "badness": row.badness,
        "chosen": row.chosen,
        **row.values,
    }
