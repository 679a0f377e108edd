"""What pages show of a scene experiment: small rows only. Pictures are asked for one by one, see
jobs.kinds.scenes.details; scenes are files."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Q

from jobs.kinds.scenes.models import Collected, GeneratedScene, HeldOutView, LossPoint, SceneRun, SceneScore
from jobs.models import Experiment

MOST_SCENES = 200  # in a snapshot, the newest
_RUN = ("stage", "steps", "progress", "seconds", "stopped")
_VIEW = ("index", "scene", "view", "step", "psnr", "depth_error")
_SCENE_VALUES = ("grid", "seconds", "memory", "downloads")
_SCORE = ("subject", "metric", "value", "details")


def changes(experiment: Experiment, after: int) -> dict[str, Any]:
    """The kind's part of the live state (jobs.live), all of it absolute and changed after ``after``:

    data          Collected.values, or None when unchanged
    runs          [{stage, steps, progress, seconds, stopped, reused_from: code or None}]
    losses        [{stage, step, values: {part: value}}]; a run has at most some 200 points
    views         [{index, scene, view, step, psnr, depth_error, has_depth}], held-out views
    scenes        [{number, code, folder, operation, settings, seed, parent, other, state, status, reason, values,
                  previews, created}]; a snapshot has the newest 200, all without their cameras. parent, other: numbers
                  or None
    scores        [{subject, metric, value, details}]
    counts        {"drawn", "scenes"}: of all scenes
    """
    since = {"experiment": experiment, "seq__gt": after}
    collected = Collected.objects.filter(experiment=experiment).first()
    runs = {
        run.pk: run
        for run in SceneRun.objects.filter(experiment=experiment).select_related("reused_from").order_by("pk")
    }
    counts = GeneratedScene.objects.filter(experiment=experiment).aggregate(
        scenes=Count("pk"), drawn=Count("pk", filter=Q(state=GeneratedScene.State.DRAWN))
    )
    return {
        "data": collected.values if collected and collected.seq > after else None,
        "runs": [
            {name: getattr(run, name) for name in _RUN}
            | {"reused_from": str(run.reused_from.code) if run.reused_from else None}
            for run in runs.values()
            if after == 0 or run.seq > after
        ],
        "losses": [
            {"stage": runs[point.run_id].stage, "step": point.step, "values": point.values}
            for point in LossPoint.objects.filter(**since).order_by("run", "step")
        ],
        "views": _views(experiment, after),
        "scenes": scenes(experiment, after),
        "scores": list(SceneScore.objects.filter(**since).order_by("pk").values(*_SCORE)),
        "counts": counts,
    }


def _views(experiment: Experiment, after: int) -> list[dict[str, Any]]:
    found = HeldOutView.objects.filter(experiment=experiment, seq__gt=after).order_by("index")
    named = found.annotate(depths=Count("input_depth")).values(*_VIEW, "depths")
    return [{**{name: row[name] for name in _VIEW}, "has_depth": bool(row["depths"])} for row in named]


def scenes(experiment: Experiment, after: int = 0, number: int | None = None) -> list[dict[str, Any]]:
    """As in `changes`; ``number``: that one alone. ``status`` and ``reason`` are those of the shard that draws it."""
    shards = {
        (shard.stage, shard.index): shard
        for shard in experiment.shards.filter(stage__in=["sample", "generate"]).defer("payload", "log_tail")
    }
    newest = GeneratedScene.objects.filter(experiment=experiment).select_related("parent", "other").order_by("-number")
    if number is not None:
        newest = newest.filter(number=number)
    told = []
    for scene in newest[:MOST_SCENES]:
        shard = shards.get((scene.stage, scene.shard))
        if scene.seq > after or (shard is not None and shard.seq > after) or not after:
            row = scene_state(scene, shard.status if shard else "waiting", shard.reason if shard else "")
            if number is None:  # cameras and flights of 200 scenes would be most of the page's first state
                row["values"] = {name: row["values"][name] for name in _SCENE_VALUES if name in row["values"]}
            told.append(row)
    return told[::-1]


def scene_state(scene: GeneratedScene, status: str, reason: str) -> dict[str, Any]:
    return {
        "number": scene.number,
        "code": str(scene.code),
        "folder": scene.folder,
        "operation": scene.operation,
        "settings": scene.settings,
        "seed": scene.seed,
        "parent": scene.parent.number if scene.parent else None,
        "other": scene.other.number if scene.other else None,
        "state": scene.state,
        "status": status,
        "reason": reason,
        "values": scene.values,
        "previews": scene.previews,
        "created": scene.created_at.isoformat(),
    }


def summary(experiment: Experiment) -> dict[str, Any]:
    """The list's figure: the kernel distance of the scenes' pictures, before that the PSNR of held-out views."""
    for metric, label, form in (("kid", "KID", "{:.4f}"), ("psnr", "PSNR", "{:.1f} dB")):
        subject = "samples" if metric == "kid" else "autoencoder"
        score = SceneScore.objects.filter(experiment=experiment, subject=subject, metric=metric).first()
        if score is not None and score.value is not None:
            return {"label": label, "value": score.value, "text": form.format(score.value), "spark": []}
    views = [view.psnr for view in HeldOutView.objects.filter(experiment=experiment).only("psnr")]
    if views:
        mean = sum(views) / len(views)
        return {"label": "PSNR so far", "value": mean, "text": f"{mean:.1f} dB", "spark": []}
    return {"label": "PSNR", "value": None, "text": "–", "spark": []}
