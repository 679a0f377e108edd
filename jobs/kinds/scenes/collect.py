"""The collect stage: read or make the scenes, say what is wrong with them and what training will need. No Django."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import torch

from engine.detection.data.types import DatasetError
from engine.scenes.autoencoder import SceneConfig
from engine.scenes.data import (
    MemoryEstimate,
    Scene,
    SceneDataError,
    estimate_diffusion,
    estimate_latents,
    estimate_memory,
    layout_of,
    packed_bytes,
    read_views,
)
from engine.scenes.diffusion.hierarchy import DiffusionConfig
from engine.scenes.latents import LatentConfig
from engine.scenes.trajectory import NUMBERS
from jobs.kinds.runner_parts import Hopeless, jpeg_text
from jobs.kinds.scenes.data import Data, load_source, open_data
from jobs.kinds.scenes.models_here import as_config
from jobs.kinds.scenes.places import scenes_folder

if TYPE_CHECKING:
    from jobs.kinds.base import Context

_SHOWN_VIEWS = 40  # pictures of a scene, on a set's page
_PICTURE = 160  # pixels
_GRID = (16, 64, 64)  # voxels in which a set's page places cameras
_FEWEST_ENCODED = 2
_LATENT_VIEWS = 2  # rendered from each scene by engine.scenes.stages.LatentStage


def collect(job: dict[str, Any], context: Context) -> None:
    """Read, check, pack; the data set's rows; scenes for its page."""
    try:
        data = open_data(job["data"], context.data_dir, context, lambda share: context.progress(int(80 * share)))
        _check(job, data)
    except Hopeless as error:
        context.row({"is": "refused", "reason": str(error), "set": {}})
        raise
    context.progress(80)
    facts = dict(data.facts)
    problems = facts.pop("problems")
    for sentence in facts["report"]:
        context.log(f"Data: {sentence}", "warning")
    memory = _memory(job, data)
    shown = min(job["show"], sum(facts["scenes"].values()))
    context.row(
        {
            "is": "data",
            "values": {"name": job["name"], "memory": memory, **facts},
            "set": {
                "format": facts["format"],
                "report": problems,
                "counts": {
                    "scenes": sum(facts["scenes"].values()),
                    **facts["scenes"],
                    "views": facts["pictures"],
                    "depth": facts["with_depth"],
                    "maps": facts["with_maps"],
                    "shown": shown,
                },
            },
        }
    )
    if job["train"]:
        _refuse_memory(job, data)
    _show(job, shown, context)
    context.progress(100)


def _check(job: dict[str, Any], data: Data) -> None:
    sentences = data.facts["report"]
    if job["strict"] and sentences:
        raise Hopeless(f"{sentences[0]}. Mend it, or do not stop at faults in the data.")
    views, held_out = data.views
    if views - held_out < _FEWEST_ENCODED:
        raise Hopeless(
            f"A scene has {views} usable pictures, {held_out} of them held out; at least {_FEWEST_ENCODED} from "
            "different places are encoded. Give more pictures of each scene."
        )


def _estimates(job: dict[str, Any], data: Data) -> dict[str, MemoryEstimate]:
    """Of a step of each stage, by its name in words."""
    batch, settings = job["batches"], data.train.settings
    scene = SceneConfig(**as_config(job["models"]["autoencoder"]))
    latent = LatentConfig(**as_config(job["models"]["latents"]))
    first, second, third = (batch[stage] for stage in ("autoencoder", "latents", "diffusion"))
    views, held_out = data.views
    held = packed_bytes(scenes=len(data.train), views=views, size=settings.size, stride=settings.stride)
    seen = min(first["given"] + first["asked"], views - held_out)
    return {
        "scene auto-encoder": estimate_memory(
            grid=settings.grid,
            channels=scene.channels,
            bins=scene.bins,
            scenes=first["batch"],
            views=seen,
            asked=min(first["asked"], seen),
            size=settings.size,
            stride=settings.stride,
            width=scene.width,
            data=held,
        ),
        "latent auto-encoder": estimate_latents(
            latent,
            scene,
            scenes=second["batch"],
            given=min(second["given"], views - held_out),
            asked=_LATENT_VIEWS,
            size=settings.size,
            data=held,
        ),
        "diffusion model": estimate_diffusion(
            DiffusionConfig(**as_config(job["models"]["diffusion"])),
            replace(latent.shapes, poses=third["cameras"] * NUMBERS),
            scenes=len(data.train),
            batch=third["batch"],
        ),
    }


def _memory(job: dict[str, Any], data: Data) -> dict[str, Any]:
    """Of the stage that needs most."""
    found = _estimates(job, data)
    stage = max(found, key=lambda name: found[name].total)
    return {"stage": stage, "total": found[stage].total, **asdict(found[stage]), "available": _available(job)}


def _available(job: dict[str, Any]) -> int:
    """Of the GPU that will train, else of this machine, whose CPU stands in."""
    if job["memory"] is not None:
        return int(job["memory"])
    if torch.cuda.is_available():
        return int(torch.cuda.get_device_properties(0).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _refuse_memory(job: dict[str, Any], data: Data) -> None:
    for stage, found in _estimates(job, data).items():
        try:
            found.refuse(_available(job))
        except SceneDataError as error:
            raise Hopeless(f"Training the {stage}: {error}") from None


# --- a set's page -----------------------------------------------------------------------------------------------------


def _show(job: dict[str, Any], count: int, context: Context) -> None:
    """The first scenes of a team's set: cameras, and pictures beside them."""
    if not count:
        return
    loaded = load_source(scenes_folder(context.data_dir), job["data"], context)
    chosen = [(split, scene) for split, scenes in loaded.splits.items() for scene in scenes][:count]
    for index, (split, scene) in enumerate(chosen):
        if context.cancelled:
            return
        try:
            context.row({"is": "set scene", "index": index, **_shown(split, scene)})
        except DatasetError as error:
            context.log(f"{scene.name} is not shown: {error}", "warning")
        context.progress(80 + 20 * index // len(chosen))


def _shown(split: str, scene: Scene) -> dict[str, Any]:
    layout = layout_of(scene, _GRID)
    step = -(-len(scene) // _SHOWN_VIEWS)
    numbers = list(range(0, len(scene), step))
    views = read_views(scene, layout, numbers, size=_PICTURE, stride=_PICTURE // 4)
    squared = scene.cameras[numbers].squared(_PICTURE)
    poses = squared.camera_to_world
    tangents = (_PICTURE / 2 / squared.intrinsics[:, 0, 0]).tolist()
    places = layout.to_voxels(squared.centres)
    cameras = [
        {
            "origin": _rounded(places[row]),
            "right": _rounded(poses[row, :3, 0]),
            "down": _rounded(poses[row, :3, 1]),
            "forward": _rounded(poses[row, :3, 2]),
            "tangent": round(tangents[row], 4),
        }
        for row in range(len(numbers))
    ]
    held_out = set(scene.held_out)
    return {
        "name": scene.name[-500:],
        "values": {
            "grid": list(_GRID),
            "voxel": layout.voxel,
            "cameras": cameras,
            "views": len(scene),
            "held_out": [row for row, number in enumerate(numbers) if number in held_out],
            "depth": scene.has_depth,
            "map": scene.plan is not None,
            "split": split,
        },
        "pictures": [
            [row, jpeg_text(views.images[row].movedim(0, -1).numpy(), _PICTURE)] for row in range(len(numbers))
        ],
    }


def _rounded(values: torch.Tensor) -> list[float]:
    return [round(each, 4) for each in values.tolist()]
