"""Writes a runner's rows. Called inside a transaction that holds the experiment's row lock.

Each row names what it is about and replaces what was there, so that a second attempt, or rows that come twice, change
nothing: a resumed run takes the same steps.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any

from jobs.kinds.base import Row
from jobs.kinds.detection.models import (
    AngleScore,
    DataSet,
    Epoch,
    LabelQuality,
    Picture,
    Prediction,
    Prepared,
    Run,
    SetImage,
    TriedDetections,
    TriedImage,
    TriedPicture,
)
from jobs.kinds.detection.plan import runs
from jobs.kinds.detection.spec import DetectionSpec
from jobs.models import Experiment, Shard


def create_runs(experiment: Experiment, spec: DetectionSpec) -> None:
    if not spec.train:
        return
    Run.objects.bulk_create(
        Run(
            experiment=experiment,
            index=index,
            architecture=plan.architecture,
            rule=plan.rule,
            delta=plan.delta,
            seed=plan.seed,
            label=plan.label,
        )
        for index, plan in enumerate(runs(spec))
    )


def run_of(shard: Shard) -> Run:
    return Run.objects.get(experiment_id=shard.experiment_id, index=shard.payload["run"])


def record(shard: Shard, rows: Sequence[Row], seq: int) -> int:
    """Write rows of any stage: {"is": kind, ...}. Progress is told by the runner, so no unit is counted here."""
    for row in rows:
        _WRITERS[row["is"]](shard, row, seq)
    return 0


# --- prepare ----------------------------------------------------------------------------------------------------------


def _data(shard: Shard, row: Row, seq: int) -> None:
    """{"is": "data", "values": as in Prepared, "set": changes to the DataSet's fields}."""
    Prepared.objects.update_or_create(experiment_id=shard.experiment_id, defaults={"values": row["values"], "seq": seq})
    found = data_set_of(shard.experiment)
    if found is not None:
        DataSet.objects.filter(pk=found.pk).update(status=DataSet.Status.READY, reason="", **row["set"])


def _refused(shard: Shard, row: Row, seq: int) -> None:
    """{"is": "refused", "reason"}: the data set cannot be used at all."""
    found = data_set_of(shard.experiment)
    if found is not None and found.status != DataSet.Status.READY:
        DataSet.objects.filter(pk=found.pk).update(status=DataSet.Status.REFUSED, reason=row["reason"])


def data_set_of(experiment: Experiment) -> DataSet | None:
    """The team's data set that an experiment is about; None for a built-in one or a deleted one."""
    code = DetectionSpec.model_validate(experiment.spec).set_code
    return DataSet.objects.filter(code=code, team_id=experiment.team_id).first() if code else None


def _set_image(shard: Shard, row: Row, seq: int) -> None:
    """{"is": "set image", "index", "split", "file", "width", "height", "objects", "labels", "jpeg"}."""
    found = data_set_of(shard.experiment)
    if found is not None:
        values = {name: row[name] for name in ("split", "file", "width", "height", "labels")}
        SetImage.objects.update_or_create(
            data_set=found,
            index=row["index"],
            defaults={**values, "objects_count": row["objects"], "jpeg": base64.b64decode(row["jpeg"])},
        )


def _quality(shard: Shard, row: Row, seq: int) -> None:
    """{"is": "quality", "rule", "angle", "share50", "share75", "mean_iou", "objects"}."""
    LabelQuality.objects.update_or_create(
        experiment_id=shard.experiment_id,
        rule=row["rule"],
        angle=row["angle"],
        defaults={
            **{name: row[name] for name in ("share50", "share75", "mean_iou")},
            "objects_count": row["objects"],
            "seq": seq,
        },
    )


# --- train ------------------------------------------------------------------------------------------------------------


def _step(shard: Shard, row: Row, seq: int) -> None:
    """{"is": "step", "values": as in Run.progress}."""
    Run.objects.filter(pk=run_of(shard).pk).update(progress=row["values"], seq=seq)


def _epoch(shard: Shard, row: Row, seq: int) -> None:
    """{"is": "epoch", "epoch", "values": as in Epoch}."""
    run = run_of(shard)
    Epoch.objects.update_or_create(
        run=run,
        epoch=row["epoch"],
        defaults={"experiment_id": shard.experiment_id, "values": row["values"], "seq": seq},
    )
    run.epochs = max(run.epochs, row["epoch"])
    if row["values"]["best"]:
        run.best_epoch, run.best_ap = row["epoch"], row["values"]["ap"]
    run.seq = seq
    run.save(update_fields=["epochs", "best_epoch", "best_ap", "seq"])


def _trained(shard: Shard, row: Row, seq: int) -> None:
    """{"is": "trained", "stopped", "epochs"}. Epochs after the end are of an earlier attempt on other hardware."""
    run = run_of(shard)
    Epoch.objects.filter(run=run, epoch__gt=row["epochs"]).delete()
    Run.objects.filter(pk=run.pk).update(stopped=row["stopped"], epochs=row["epochs"], seq=seq)


# --- evaluate ---------------------------------------------------------------------------------------------------------


def _score(shard: Shard, row: Row, seq: int) -> None:
    """{"is": "score", "angle", "ap", "ap50", "ap75", "details": as in AngleScore}."""
    AngleScore.objects.update_or_create(
        run=run_of(shard),
        angle=row["angle"],
        defaults={
            "experiment_id": shard.experiment_id,
            **{name: row[name] for name in ("ap", "ap50", "ap75", "details")},
            "seq": seq,
        },
    )


def _prediction(shard: Shard, row: Row, seq: int) -> None:
    """{"is": "prediction", "angle", "image", "file", "badness", "chosen", "values", "jpeg"}."""
    picture, _ = Picture.objects.get_or_create(
        experiment_id=shard.experiment_id,
        image=row["image"],
        angle=row["angle"],
        defaults={"jpeg": base64.b64decode(row["jpeg"])},
    )
    Prediction.objects.update_or_create(
        run=run_of(shard),
        angle=row["angle"],
        image=row["image"],
        defaults={
            "experiment_id": shard.experiment_id,
            "picture": picture,
            **{name: row[name] for name in ("file", "badness", "chosen", "values")},
            "seq": seq,
        },
    )


# --- try an image -----------------------------------------------------------------------------------------------------


def _tried(shard: Shard) -> TriedImage:
    return TriedImage.objects.get(experiment_id=shard.experiment_id, index=shard.payload["tried"])


def _tried_picture(shard: Shard, row: Row, seq: int) -> None:
    """{"is": "tried picture", "angle", "size", "jpeg"}."""
    tried = _tried(shard)
    TriedPicture.objects.update_or_create(
        tried=tried, angle=row["angle"], defaults={"jpeg": base64.b64decode(row["jpeg"])}
    )
    TriedImage.objects.filter(pk=tried.pk).update(size=row["size"], seq=seq)


def _tried_found(shard: Shard, row: Row, seq: int) -> None:
    """{"is": "tried", "run", "angle", "found"}."""
    tried = _tried(shard)
    run = Run.objects.get(experiment_id=shard.experiment_id, index=row["run"])
    TriedDetections.objects.update_or_create(tried=tried, run=run, angle=row["angle"], defaults={"found": row["found"]})
    TriedImage.objects.filter(pk=tried.pk).update(seq=seq)


def _nothing(shard: Shard, row: Row, seq: int) -> None:
    """{"is": "exported"}: what it means is the kind's business."""


_WRITERS: dict[str, Callable[[Shard, Any, int], None]] = {
    "data": _data,
    "refused": _refused,
    "set image": _set_image,
    "quality": _quality,
    "step": _step,
    "epoch": _epoch,
    "trained": _trained,
    "score": _score,
    "prediction": _prediction,
    "tried picture": _tried_picture,
    "tried": _tried_found,
    "exported": _nothing,
}
