"""The jobs handed to runners: what to do and what of it is still missing. Needs the database, runs in the
supervisor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings

from engine.detection.rules import LabelRule
from jobs.kinds.data_sets import allowed_path, remove_after_commit
from jobs.kinds.detection.checks import planned_epochs, weights_file
from jobs.kinds.detection.data import detection_folder
from jobs.kinds.detection.models import AngleScore, DataSet, Prepared, Run, TriedDetections, TriedImage, TriedPicture
from jobs.kinds.detection.plan import EVALUATE, EXPORT, PREPARE, TRAIN
from jobs.kinds.detection.spec import BUILTIN, DOOM, SHAPES, DetectionSpec
from jobs.kinds.detection.store import data_set_of, run_of
from jobs.kinds.stored import bring_back, local_file
from jobs.models import Artifact, Experiment, Shard

_QUALITY_RULES = ("largest", "ellipse")  # measured always: they are what the choice is about
_MOST_PICTURES = 4_000  # of an experiment's predictions
_WORST, _RANDOM = 24, 12
_FEWEST_WORST, _FEWEST_RANDOM = 4, 2


def make_job(shard: Shard) -> dict[str, Any]:
    makers = {PREPARE: _prepare_job, TRAIN: _train_job, EVALUATE: _evaluate_job, EXPORT: _export_job}
    return makers.get(shard.stage, _try_job)(shard, DetectionSpec.model_validate(shard.experiment.spec))


def experiment_folder(experiment: Experiment) -> Path:
    """Checkpoints and drafts of an experiment on this worker."""
    return detection_folder(settings.DATA_DIR) / str(experiment.code)


# --- data -------------------------------------------------------------------------------------------------------------


def _source(shard: Shard, spec: DetectionSpec) -> dict[str, Any]:
    """What jobs.kinds.detection.data.open_data takes."""
    prepared = Prepared.objects.filter(experiment=shard.experiment_id).first()
    fingerprint = prepared.values["fingerprint"] if prepared else None
    if spec.data == SHAPES:
        return {"kind": "shapes", "images": spec.shapes, "size": spec.image_size}
    if spec.data == DOOM:
        return {"kind": "doom"}
    found = data_set_of(shard.experiment)
    if found is None:
        raise ValueError("the data set was deleted")
    common = {
        "key": str(found.code),
        "experiment": str(shard.experiment.code),
        "format": found.format,
        "val_share": spec.val_share,
        "fingerprint": fingerprint if shard.stage != PREPARE else None,
    }
    if found.source == DataSet.Source.PATH:
        path = allowed_path(found.path, settings.DETECTION_DIRS)  # the operator may have changed his mind
        return {"kind": "path", "path": str(path), **common}
    folder = detection_folder(settings.DATA_DIR) / "sets" / str(found.code)
    return {"kind": "upload", "path": str(local_file(found.file, folder / "upload.zip", shard)), **common}


def _prepare_job(shard: Shard, spec: DetectionSpec) -> dict[str, Any]:
    found = data_set_of(shard.experiment)
    measured = [rule for rule in spec.upright_rules if LabelRule.parse(rule).rotates]
    return {
        "done": 0,
        "data": _source(shard, spec),
        "name": found.name if found else builtin_name(spec),
        "train": spec.train,
        "strict": spec.strict,
        "rules": list(dict.fromkeys([*_QUALITY_RULES, *measured])),
        "angles": spec.angles,
        "show": found is not None and found.images.count() < found.counts.get("shown", 1),
    }


def builtin_name(spec: DetectionSpec) -> str:
    """What a built-in set is called for short."""
    return BUILTIN[spec.data].partition(":")[0]


# --- runs -------------------------------------------------------------------------------------------------------------


def slug(run: Run) -> str:
    """A run in the name of a file: ``03-ellipse-ru10-retinanet-seed0``."""
    ru = "" if run.delta is None else f"-ru{run.delta:g}"
    return f"{run.index:02d}-{run.rule.replace(':', '')}{ru}-{run.architecture}-seed{run.seed}"


def _model(experiment: Experiment, spec: DetectionSpec, run: Run) -> dict[str, Any]:
    """The fields of engine.detection.ModelConfig."""
    weights = weights_file(spec)
    return {
        "architecture": run.architecture,
        "classes": len(Prepared.objects.get(experiment=experiment).values["classes"]),
        "image_size": spec.image_size,
        "backbone": spec.backbone,
        "pretrained": spec.uses_weights,
        "weights": str(weights) if weights else None,
        "delta": run.delta,
        "finest_stride": spec.finest_stride,
        "detections_per_image": spec.max_detections,
    }


def _run_folder(experiment: Experiment, run: Run) -> Path:
    return experiment_folder(experiment) / f"run-{run.index}"


def _last(run: Run) -> str:
    """The kept checkpoint of a run that trains."""
    return f"last-{slug(run)}.pt"


def _train_job(shard: Shard, spec: DetectionSpec) -> dict[str, Any]:
    run = run_of(shard)
    folder = _run_folder(shard.experiment, run)
    bring_back(shard, folder / "last.pt", _last(run))
    return {
        "done": run.epochs,
        "data": _source(shard, spec),
        "folder": str(folder),
        "slug": slug(run),
        "label": run.label,
        "model": _model(shard.experiment, spec, run),
        "train": {
            "rule": run.rule,
            "epochs": planned_epochs(spec, data_set_of(shard.experiment)),
            "batch_size": spec.batch,
            "learning_rate": spec.learning_rate,
            "weight_decay": spec.weight_decay,
            "warmup_steps": spec.warmup,
            "ema_decay": spec.ema,
            "angle_std": spec.sigma,
            "flip": spec.flip,
            "precision": spec.precision,
            "patience": spec.patience,
            "val_max_detections": spec.max_detections,
            "seed": run.seed,
        },
    }


def _weights(shard: Shard, run: Run) -> str:
    """A run's best weights on this machine."""
    path = _run_folder(shard.experiment, run) / "best.safetensors"
    bring_back(shard, path, f"best-{slug(run)}.safetensors")
    return str(path)


def _evaluate_job(shard: Shard, spec: DetectionSpec) -> dict[str, Any]:
    run = run_of(shard)
    scored = set(AngleScore.objects.filter(run=run).values_list("angle", flat=True))
    cells = max(1, Run.objects.filter(experiment=shard.experiment_id).count() * len(spec.angles))
    pictures = min(_WORST + _RANDOM, _MOST_PICTURES // cells)
    drawn = max(_FEWEST_RANDOM, pictures // 3)
    return {
        "done": len(scored & set(spec.angles)),
        "data": _source(shard, spec),
        "model": _model(shard.experiment, spec, run),
        "weights": _weights(shard, run),
        "angles": [angle for angle in spec.angles if angle not in scored],
        "batch": min(spec.batch, 16),
        "max_detections": spec.max_detections,
        "worst": max(_FEWEST_WORST, pictures - drawn),
        "random": drawn,
    }


# --- files ------------------------------------------------------------------------------------------------------------


def best_runs(experiment: Experiment) -> list[Run]:
    """The best trained seed of each method by AP on the validation images, in order."""
    best: dict[tuple[str, str, float | None], Run] = {}
    for run in Run.objects.filter(experiment=experiment).exclude(stopped="").order_by("index"):
        key = (run.architecture, run.rule, run.delta)
        if key not in best or (run.best_ap or 0.0) > (best[key].best_ap or 0.0):
            best[key] = run
    return list(best.values())


def score_rows(experiment: Experiment) -> list[list[Any]]:
    """The table of scores, in the columns of jobs.kinds.detection.export.COLUMNS."""
    found = AngleScore.objects.filter(experiment=experiment).select_related("run").order_by("run__index", "angle")
    return [
        [
            score.run.index,
            score.run.architecture,
            score.run.rule,
            score.run.delta,
            score.run.seed,
            score.angle,
            score.ap,
            score.ap50,
            score.ap75,
            score.details["images"],
            score.details["objects"],
            score.details["exact"],
        ]
        for score in found
    ]


def _export_job(shard: Shard, spec: DetectionSpec) -> dict[str, Any]:
    return {
        "done": 0,
        "experiment": str(shard.experiment.code),
        "data": _source(shard, spec),
        "models": [
            {
                "slug": slug(run),
                "label": run.label,
                "model": _model(shard.experiment, spec, run),
                "weights": _weights(shard, run),
            }
            for run in best_runs(shard.experiment)
        ],
        "scores": score_rows(shard.experiment),
    }


def clear_drafts(experiment: Experiment) -> None:
    """Remove what only unfinished training needs: all checkpoints but those that a retried run goes on from."""
    runs = list(Run.objects.filter(experiment=experiment))
    trained = [run for run in runs if run.stopped]
    checkpoints = Artifact.objects.filter(experiment=experiment, name__in=[_last(run) for run in trained])
    stored = [str(each.file.name) for each in checkpoints]
    checkpoints.delete()
    folder = experiment_folder(experiment)
    remove_after_commit(*stored, folder=folder if trained == runs else folder / "files")
    for run in trained:
        remove_after_commit(folder=_run_folder(experiment, run))


# --- try an image -----------------------------------------------------------------------------------------------------


def _try_job(shard: Shard, spec: DetectionSpec) -> dict[str, Any]:
    tried = TriedImage.objects.get(experiment=shard.experiment_id, index=shard.payload["tried"])
    trained = [run for run in Run.objects.filter(experiment=shard.experiment_id).order_by("index") if run.stopped]
    known = set(TriedDetections.objects.filter(tried=tried).values_list("run__index", "angle"))
    return {
        "done": len(known),
        "path": str(local_file(tried.file, experiment_folder(shard.experiment) / f"tried-{tried.code}", shard)),
        "missing": [[run.index, angle] for run in trained for angle in tried.angles if (run.index, angle) not in known],
        "pictured": list(TriedPicture.objects.filter(tried=tried).values_list("angle", flat=True)),
        "models": {
            str(run.index): {"model": _model(shard.experiment, spec, run), "weights": _weights(shard, run)}
            for run in trained
        },
    }
