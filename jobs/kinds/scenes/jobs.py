"""The jobs handed to runners: what to do and what of it is still missing. Needs the database, runs in the
supervisor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings

from jobs.kinds.data_sets import allowed_path
from jobs.kinds.scenes.checks import inception_file, started_from, taken_stages
from jobs.kinds.scenes.models import Collected, GeneratedScene, SceneRun, SceneSet
from jobs.kinds.scenes.places import experiment_folder, scenes_folder
from jobs.kinds.scenes.plan import AUTOENCODER, COLLECT, DIFFUSION, EVALUATE, LATENTS, SAMPLE
from jobs.kinds.scenes.sizes import batches, budget, key_of, keys, models, packing
from jobs.kinds.scenes.spec import BUILTIN, FREEDOOM, ROOMS, TRAINED, ScenesSpec
from jobs.kinds.scenes.store import run_of, set_of
from jobs.kinds.stored import bring_back, local_file
from jobs.live import alive_workers
from jobs.models import Artifact, Shard

_MANY_VIEWS = 10_000
_PRIOR_SCENES = 64
_SHOWN_SCENES = 40  # of a set, on its page


def make_job(shard: Shard) -> dict[str, Any]:
    makers = {COLLECT: _collect_job, SAMPLE: _sample_job, EVALUATE: _evaluate_job}
    makers |= dict.fromkeys(TRAINED, _train_job)
    return makers.get(shard.stage, _generate_job)(shard, ScenesSpec.model_validate(shard.experiment.spec))


def builtin_name(spec: ScenesSpec) -> str:
    """What a built-in set is called for short."""
    return BUILTIN[spec.data].partition(":")[0].partition(",")[0]


# --- data -------------------------------------------------------------------------------------------------------------


def _source(shard: Shard, spec: ScenesSpec) -> dict[str, Any]:
    """What jobs.kinds.scenes.data.open_data takes."""
    collected = Collected.objects.filter(experiment=shard.experiment_id).first()
    common = {
        "packing": packing(spec),
        "experiment": str(shard.experiment.code),
        "test_share": spec.test_share,
        "fingerprint": collected.values["fingerprint"] if collected and shard.stage != COLLECT else None,
    }
    if spec.data == ROOMS:
        return {"kind": "rooms", "scenes": spec.rooms, "size": spec.image_size, **common}
    if spec.data == FREEDOOM:
        return {"kind": "freedoom", "maps": spec.maps, "scenes": spec.scenes_per_map, **common}
    found = set_of(shard.experiment)
    if found is None:
        raise ValueError("the set was deleted")
    common |= {"key": str(found.code)}
    if found.source == SceneSet.Source.PATH:
        path = allowed_path(found.path, settings.SCENES_DIRS)  # the operator may have changed his mind
        return {"kind": "path", "path": str(path), **common}
    folder = scenes_folder(settings.DATA_DIR) / "sets" / str(found.code)
    return {"kind": "upload", "path": str(local_file(found.file, folder / "upload.zip", shard)), **common}


def _collect_job(shard: Shard, spec: ScenesSpec) -> dict[str, Any]:
    found = set_of(shard.experiment)
    return {
        "done": 0,
        "data": _source(shard, spec),
        "name": found.name if found else builtin_name(spec),
        "strict": spec.strict,
        "train": spec.train,
        "models": models(spec, has_maps=True),
        "batches": batches(spec, views=_MANY_VIEWS),  # how many there are is known once they are read
        "memory": _gpu_memory(),
        "show": _SHOWN_SCENES if found is not None and not found.scenes.exists() else 0,
    }


def _gpu_memory() -> int | None:
    """Bytes of the smallest GPU of the GPU workers that are there; None where there is none, or none is told."""
    told = [
        processor.get("memory_total")
        for worker in alive_workers().filter(queue="gpu")
        for processor in worker.processors
        if processor.get("is_gpu")
    ]
    return min((int(size) for size in told if size), default=None)


# --- stages that are trained ------------------------------------------------------------------------------------------


def _collected(shard: Shard) -> dict[str, Any]:
    values: dict[str, Any] = Collected.objects.get(experiment=shard.experiment_id).values
    return values


def _encodable(values: dict[str, Any]) -> int:
    """Pictures of a scene that may be encoded."""
    return int(values["views"]) - int(values["held_out"])


def _train_job(shard: Shard, spec: ScenesSpec) -> dict[str, Any]:
    values, stage = _collected(shard), shard.stage
    folder = experiment_folder(settings.DATA_DIR, shard.experiment.code) / stage
    before = list(TRAINED)[: list(TRAINED).index(stage)]
    key = _key(shard, spec, values)
    SceneRun.objects.filter(pk=run_of(shard).pk).update(key=key)
    reuse = _reusable(shard, spec, key)
    if reuse is None:
        bring_back(shard, folder / "last.pt", f"{stage}-last.pt")
    return {
        "done": 0,
        "data": _source(shard, spec),
        "folder": str(folder),
        "stage": stage,
        "title": TRAINED[stage],
        "key": key,
        "reuse": reuse,
        "models": _models(shard, spec, values, before),
        "model": models(spec, values["has_maps"])[stage],
        "budget": budget(spec, stage),
        "batch": batches(spec, _encodable(values))[stage],
        "cameras": _cameras(spec),
    }


def _cameras(spec: ScenesSpec) -> int:
    return spec.cameras if spec.draws_cameras else 0


def _key(shard: Shard, spec: ScenesSpec, values: dict[str, Any]) -> str:
    """Names the inputs of a stage. Those of a stage after one that was taken from elsewhere include that one's."""
    own = keys(spec, values["fingerprint"], _encodable(values), values["has_maps"])
    taken = taken_stages(spec)
    source = _source_runs(shard, spec)
    if shard.stage in taken:
        return source[shard.stage].key
    return key_of(own[shard.stage], source[taken[-1]].key) if taken else own[shard.stage]


def _source_runs(shard: Shard, spec: ScenesSpec) -> dict[str, SceneRun]:
    """The trained stages of the experiment that this one starts from. Raises SpecError where it was deleted."""
    source = started_from(spec, shard.experiment.team)
    return {run.stage: run for run in SceneRun.objects.filter(experiment=source)} if source else {}


def _reusable(shard: Shard, spec: ScenesSpec, key: str) -> dict[str, Any] | None:
    """Weights of this stage that were trained elsewhere in the team: of the experiment to start from, or of the same
    inputs."""
    done = SceneRun.objects.filter(stage=shard.stage, stopped__in=["finished", "reused"])
    if shard.stage in taken_stages(spec):
        candidates = done.filter(pk=_source_runs(shard, spec)[shard.stage].pk)
    else:
        candidates = done.filter(key=key, experiment__team=shard.experiment.team_id).exclude(
            experiment=shard.experiment_id
        )
    for run in candidates.select_related("experiment", "reused_from").order_by("pk"):
        kept = Artifact.objects.filter(experiment=run.experiment, name=f"{run.stage}.safetensors").first()
        if kept is not None:
            folder = experiment_folder(settings.DATA_DIR, shard.experiment.code)
            weights = local_file(str(kept.file.name), folder / f"taken-{run.stage}.safetensors", shard)
            origin = run.reused_from or run.experiment
            return {"weights": str(weights), "experiment": str(origin.code), "name": origin.name}
    if shard.stage in taken_stages(spec):
        raise ValueError("the experiment to start from has no such weights any more")
    return None


def _models(shard: Shard, spec: ScenesSpec, values: dict[str, Any], stages: list[str]) -> dict[str, Any]:
    """{stage: {"model": fields, "weights": path}} of trained stages on this machine."""
    folder = experiment_folder(settings.DATA_DIR, shard.experiment.code)
    fields = models(spec, values["has_maps"])
    found = {}
    for stage in stages:
        path = folder / stage / "averaged.safetensors"
        bring_back(shard, path, f"{stage}.safetensors")
        found[stage] = {"model": fields[stage], "weights": str(path)}
    return found


# --- scenes -----------------------------------------------------------------------------------------------------------


def _drawing_job(shard: Shard, spec: ScenesSpec, scenes: list[GeneratedScene]) -> dict[str, Any]:
    values = _collected(shard)
    folder = experiment_folder(settings.DATA_DIR, shard.experiment.code)
    return {
        "done": 0,
        "folder": str(folder / "drafts"),
        "models": _models(shard, spec, values, [AUTOENCODER, LATENTS, DIFFUSION]),
        "cameras": _cameras(spec),
        "cells": spec.image_size // spec.stride,
        "voxel_metres": values["voxel"],
        "tangent": values["tangent"],
        "scenes": [_scene(shard, scene, folder) for scene in scenes],
    }


def _scene(shard: Shard, scene: GeneratedScene, folder: Path) -> dict[str, Any]:
    def stored(name: str) -> str | None:
        return str(local_file(name, folder / "given" / Path(name).name, shard)) if name else None

    return {
        "number": scene.number,
        "folder": scene.folder,
        "operation": scene.operation,
        "settings": scene.settings,
        "seed": scene.seed,
        "map": stored(scene.map_file),
        "image": stored(scene.image_file),
        "parent": _latents(shard, scene.parent, folder) if scene.parent else None,
        "other": _latents(shard, scene.other, folder) if scene.other else None,
    }


def _latents(shard: Shard, scene: GeneratedScene, folder: Path) -> str:
    """A drawn scene's latents on this machine."""
    path = folder / "given" / f"{scene.folder}.safetensors"
    bring_back(shard, path, f"{scene.folder}/latents.safetensors")
    return str(path)


def _sample_job(shard: Shard, spec: ScenesSpec) -> dict[str, Any]:
    first, count = shard.payload["first"], shard.payload["count"]
    planned = GeneratedScene.objects.filter(
        experiment=shard.experiment_id, stage=SAMPLE, number__gte=first, number__lt=first + count
    ).order_by("number")
    missing = [scene for scene in planned if not scene.values.get("complete")]
    job = _drawing_job(shard, spec, missing)
    on_maps = spec.draw_on_maps and spec.use_map and _collected(shard)["has_maps"]
    return {**job, "done": count - len(missing), "data": _source(shard, spec) if on_maps else None}


def _generate_job(shard: Shard, spec: ScenesSpec) -> dict[str, Any]:
    scene = GeneratedScene.objects.select_related("parent", "other").get(
        experiment=shard.experiment_id, stage=shard.stage, shard=shard.index
    )
    job = {**_drawing_job(shard, spec, [scene]), "data": None}
    if scene.operation == GeneratedScene.Operation.IMPROVE:
        job["prior"] = _prior(shard, spec)
    return job


def _prior(shard: Shard, spec: ScenesSpec) -> dict[str, Any]:
    """What a picture prior learns from: the pictures, and the scenes of the model itself. It is trained once."""
    folder = experiment_folder(settings.DATA_DIR, shard.experiment.code)
    bring_back(shard, folder / "prior" / "averaged.safetensors", "prior.safetensors")
    drawn = GeneratedScene.objects.filter(
        experiment=shard.experiment_id, operation=GeneratedScene.Operation.NEW, state=GeneratedScene.State.DRAWN
    ).order_by("number")
    width = spec.denoiser_width
    return {
        "folder": str(folder / "prior"),
        "data": _source(shard, spec),
        "model": {"side": min(64, spec.image_size), "widths": [width, 2 * width, 4 * width]},
        "samples": [_latents(shard, scene, folder) for scene in drawn[:_PRIOR_SCENES]],
        "seed": spec.seed,
    }


def _evaluate_job(shard: Shard, spec: ScenesSpec) -> dict[str, Any]:
    values = _collected(shard)
    drawn = GeneratedScene.objects.filter(
        experiment=shard.experiment_id, stage=SAMPLE, state=GeneratedScene.State.DRAWN
    ).order_by("number")
    folder = experiment_folder(settings.DATA_DIR, shard.experiment.code)
    return {
        "done": 0,
        "data": _source(shard, spec),
        "models": _models(shard, spec, values, [AUTOENCODER, LATENTS, DIFFUSION]),
        "given": batches(spec, _encodable(values))[LATENTS]["given"],
        "cameras": _cameras(spec),
        "tangent": values["tangent"],
        "latents": [_latents(shard, scene, folder) for scene in drawn],
        "inception": str(inception) if (inception := inception_file(spec)) else None,
        "seed": spec.seed,
    }
