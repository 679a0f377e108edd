"""Writes a runner's rows. Called inside a transaction that holds the experiment's row lock.

Each row names what it is about and replaces what was there, so that a second attempt, or rows that come twice, change
nothing: a resumed stage takes the same steps.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any

from jobs.kinds.base import Row
from jobs.kinds.scenes.models import (
    Collected,
    GeneratedScene,
    HeldOutView,
    LossPoint,
    SceneRun,
    SceneScore,
    SceneSet,
    SetPicture,
    SetScene,
)
from jobs.kinds.scenes.plan import SAMPLE, budgets, shard_of
from jobs.kinds.scenes.spec import ScenesSpec
from jobs.models import Experiment, Shard


def create_rows(experiment: Experiment, spec: ScenesSpec) -> None:
    """The stages to train and the scenes to draw."""
    if not spec.train:
        return
    SceneRun.objects.bulk_create(
        SceneRun(experiment=experiment, stage=stage, steps=steps) for stage, steps in budgets(spec).items()
    )
    GeneratedScene.objects.bulk_create(
        GeneratedScene(
            experiment=experiment,
            number=number,
            stage=SAMPLE,
            shard=shard_of(number),
            settings=spec.drawing(),
            seed=spec.seed + number - 1,
            created_by=experiment.owner,
        )
        for number in range(1, spec.scenes + 1)
    )


def record(shard: Shard, rows: Sequence[Row], seq: int) -> int:
    """Write rows of any stage: {"is": kind, ...}. Progress is told by the runner, so no unit is counted here."""
    for row in rows:
        _WRITERS[row["is"]](shard, row, seq)
    return 0


def set_of(experiment: Experiment) -> SceneSet | None:
    """The team's set that an experiment is about; None for a built-in one or a deleted one."""
    code = ScenesSpec.model_validate(experiment.spec).set_code
    return SceneSet.objects.filter(code=code, team_id=experiment.team_id).first() if code else None


def run_of(shard: Shard) -> SceneRun:
    return SceneRun.objects.get(experiment_id=shard.experiment_id, stage=shard.stage)


# --- collect ----------------------------------------------------------------------------------------------------------


def _data(shard: Shard, row: Row, seq: int) -> None:
    """{"is": "data", "values": as in Collected, "set": changes to the SceneSet's fields}."""
    Collected.objects.update_or_create(
        experiment_id=shard.experiment_id, defaults={"values": row["values"], "seq": seq}
    )
    found = set_of(shard.experiment)
    if found is not None:
        SceneSet.objects.filter(pk=found.pk).update(status=SceneSet.Status.READY, reason="", **row["set"])


def _refused(shard: Shard, row: Row, seq: int) -> None:
    """{"is": "refused", "reason", "set": changes to the SceneSet's fields}: the set cannot be used at all."""
    found = set_of(shard.experiment)
    if found is not None and found.status != SceneSet.Status.READY:
        SceneSet.objects.filter(pk=found.pk).update(status=SceneSet.Status.REFUSED, reason=row["reason"], **row["set"])


def _set_scene(shard: Shard, row: Row, seq: int) -> None:
    """{"is": "set scene", "index", "name", "values": as in SetScene, "pictures": [[view, JPEG in base64], ...]}."""
    found = set_of(shard.experiment)
    if found is None:
        return
    scene, _ = SetScene.objects.update_or_create(
        data_set=found, index=row["index"], defaults={"name": row["name"], "values": row["values"]}
    )
    for view, jpeg in row["pictures"]:
        SetPicture.objects.update_or_create(scene=scene, view=view, defaults={"jpeg": base64.b64decode(jpeg)})


# --- training ---------------------------------------------------------------------------------------------------------


def _step(shard: Shard, row: Row, seq: int) -> None:
    """{"is": "step", "values": as in SceneRun.progress}."""
    SceneRun.objects.filter(pk=run_of(shard).pk).update(progress=row["values"], seq=seq)


def _point(shard: Shard, row: Row, seq: int) -> None:
    """{"is": "point", "step", "values"}."""
    LossPoint.objects.update_or_create(
        run=run_of(shard),
        step=row["step"],
        defaults={"experiment_id": shard.experiment_id, "values": row["values"], "seq": seq},
    )


def _trained(shard: Shard, row: Row, seq: int) -> None:
    """{"is": "trained", "seconds"}."""
    SceneRun.objects.filter(pk=run_of(shard).pk).update(
        stopped="finished", seconds=row["seconds"], reused_from=None, seq=seq
    )


def _reused(shard: Shard, row: Row, seq: int) -> None:
    """{"is": "reused", "experiment": code of where it was trained}."""
    source = Experiment.objects.filter(code=row["experiment"], team_id=shard.experiment.team_id).first()
    SceneRun.objects.filter(pk=run_of(shard).pk).update(stopped="reused", reused_from=source, seq=seq)


def _not_finite(shard: Shard, row: Row, seq: int) -> None:
    """{"is": "not finite", "step"}."""
    run = run_of(shard)
    SceneRun.objects.filter(pk=run.pk).update(
        stopped="not finite", progress={**run.progress, "not_finite_step": row["step"]}, seq=seq
    )


def _view(shard: Shard, row: Row, seq: int) -> None:
    """{"is": "view", "index", "scene", "view", "step", "psnr", "depth_error", "input", "input_depth" or None,
    "picture", "depth"} with JPEGs in base64."""
    jpegs = {
        name: base64.b64decode(row[name]) if row[name] is not None else None
        for name in ("input", "input_depth", "picture", "depth")
    }
    named = {name: row[name] for name in ("scene", "view", "step", "psnr", "depth_error")}
    HeldOutView.objects.update_or_create(
        experiment_id=shard.experiment_id, index=row["index"], defaults={**named, **jpegs, "seq": seq}
    )


# --- scenes -----------------------------------------------------------------------------------------------------------


def _scene(shard: Shard, row: Row) -> GeneratedScene:
    return GeneratedScene.objects.get(experiment_id=shard.experiment_id, number=row["number"])


def _drawing(shard: Shard, row: Row, seq: int) -> None:
    """{"is": "drawing", "number"}: begun; previews of an earlier attempt are void."""
    GeneratedScene.objects.filter(pk=_scene(shard, row).pk).exclude(state=GeneratedScene.State.DRAWN).update(
        state=GeneratedScene.State.DRAWING, previews=[], seq=seq
    )


def _preview(shard: Shard, row: Row, seq: int) -> None:
    """{"is": "preview", "number", "label", "name": of the artifact}."""
    scene = _scene(shard, row)
    others = [each for each in scene.previews if each["name"] != row["name"]]
    previews = sorted([*others, {"label": row["label"], "name": row["name"]}], key=lambda each: str(each["name"]))
    GeneratedScene.objects.filter(pk=scene.pk).update(previews=previews, seq=seq)


def _drawn(shard: Shard, row: Row, seq: int) -> None:
    """{"is": "drawn", "number", "values": as in GeneratedScene}. Comes again with the downloads."""
    GeneratedScene.objects.filter(pk=_scene(shard, row).pk).update(
        state=GeneratedScene.State.DRAWN, values=row["values"], seq=seq
    )


def _score(shard: Shard, row: Row, seq: int) -> None:
    """{"is": "score", "subject", "metric", "value", "details"}."""
    SceneScore.objects.update_or_create(
        experiment_id=shard.experiment_id,
        subject=row["subject"],
        metric=row["metric"],
        defaults={"value": row["value"], "details": row["details"], "seq": seq},
    )


_WRITERS: dict[str, Callable[[Shard, Any, int], None]] = {
    "data": _data,
    "refused": _refused,
    "set scene": _set_scene,
    "step": _step,
    "point": _point,
    "trained": _trained,
    "reused": _reused,
    "not finite": _not_finite,
    "view": _view,
    "drawing": _drawing,
    "preview": _preview,
    "drawn": _drawn,
    "score": _score,
}
