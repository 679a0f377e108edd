"""Measures the models on held-out views of test scenes, and the scenes' pictures against real ones. No Django."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from engine.scenes.evaluation import (
    Consistency,
    GenerationReport,
    ReconstructionReport,
    evaluate_generation,
    evaluate_reconstruction,
)
from engine.scenes.rig import Rig
from engine.scenes.stages import SceneTensors, decode_scene
from engine.training.checkpoint import WeightsError
from jobs.kinds.accelerators import device_here
from jobs.kinds.runner_parts import Hopeless, beating
from jobs.kinds.scenes.data import open_data
from jobs.kinds.scenes.models_here import load_models

if TYPE_CHECKING:
    from jobs.kinds.base import Context

_MOST_SCENES = {"cuda": 256, "cpu": 16}  # of each part that are looked at
_FRAMES = {"cuda": 16, "cpu": 4}  # of a scene, for distances of sets
_VIEWS = 8  # held out, of a scene
_SUBJECTS = {
    "nearest picture": "nearest",
    "auto-encoder": "autoencoder",
    "auto-encoder and latents": "latents",
    "real against real": "real",
    "generated": "samples",
}


@torch.no_grad()
def evaluate(job: dict[str, Any], context: Context) -> None:
    """Rows of scores, each with the rows it has to be read against."""
    device = device_here()
    with beating(context):
        data = open_data(job["data"], context.data_dir, context)
        models = load_models(job["models"], job["cameras"], device)
        context.progress(5)
        _reconstruction(job, data.test.tensors(cameras=1), models, device, context)
        context.progress(50)
        if not context.cancelled:
            _generation(job, data.train.tensors(cameras=1), models, device, context)
    context.progress(100)


def _reconstruction(
    job: dict[str, Any], scenes: SceneTensors, models: dict[str, Any], device: str, context: Context
) -> None:
    try:
        report = evaluate_reconstruction(
            models["autoencoder"],
            _some(scenes, device),
            latents=models["latents"],
            given=job["given"],
            most_views=_VIEWS,
        )
    except ValueError as error:
        context.log(f"Reconstructions are not measured: {error}.", "warning")
        return
    for row in _reconstruction_rows(report):
        context.row({"is": "score", **row})


def _reconstruction_rows(report: ReconstructionReport) -> Iterator[dict[str, Any]]:
    count = report.scenes * report.views
    for scores in report.rows:
        subject = _SUBJECTS[scores.name]
        yield _score(subject, "psnr", scores.psnr, "PSNR", "dB", "high", count, scores.name)
        yield _score(subject, "ssim", scores.ssim, "SSIM", "", "high", count, scores.name)
        yield _score(subject, "perceptual", scores.perceptual, "EffLite0 distance", "", "low", count, scores.name)
        if scores.st_lpips is not None:
            yield _score(subject, "st_lpips", scores.st_lpips, "ST-LPIPS", "", "low", count, scores.name)
        yield _score(subject, "depth", scores.depth, "Depth error, relative", "", "low", count, scores.name)
    yield from _consistency("autoencoder", report.consistency, "auto-encoder")


def _generation(
    job: dict[str, Any], scenes: SceneTensors, models: dict[str, Any], device: str, context: Context
) -> None:
    inception = Path(job["inception"]) if job["inception"] else None
    try:
        report = evaluate_generation(
            models["autoencoder"],
            _drawn(job, models, device),
            _some(scenes, device),
            given=job["given"],
            frames=_FRAMES[device],
            inception=inception,
            seed=job["seed"],
        )
    except WeightsError as error:
        raise Hopeless(str(error)) from None
    except ValueError as error:
        context.log(f"The scenes' pictures are not measured: {error}.", "warning")
        return
    for row in _generation_rows(report):
        context.row({"is": "score", **row})


def _drawn(job: dict[str, Any], models: dict[str, Any], device: str) -> Iterator[tuple[Tensor, Rig]]:
    grid = models["autoencoder"].config.grid
    for path in job["latents"]:
        fields, trajectories = decode_scene(models["latents"], load_file(path, device=device))  # type: ignore[arg-type]
        if trajectories.shape[1]:
            yield fields[0], Rig.of_trajectory(trajectories[0], grid, job["tangent"])
        else:
            yield fields[0], Rig.around(grid, job["tangent"])


def _generation_rows(report: GenerationReport) -> Iterator[dict[str, Any]]:
    for scores in report.rows:
        subject = _SUBJECTS[scores.name]
        spread = "" if math.isnan(scores.kid_spread) else f"spread {scores.kid_spread:.2g} over random halves"
        yield _score(subject, "kid", scores.kid, report.kid_name, "", "low", scores.images, scores.name, spread)
        yield _score(subject, "fd", scores.fd, report.fd_name, "", "low", scores.images, scores.name)
        if scores.fid is not None:
            yield _score(subject, "fid", scores.fid, "FID", "", "low", scores.images, scores.name)
    yield from _consistency("samples", report.consistency, "generated")


def _consistency(subject: str, found: Consistency, name: str) -> Iterator[dict[str, Any]]:
    yield _score(subject, "agreement", found.share, "Depth agrees along the flight", "", "high", found.points, name)
    yield _score(subject, "colour", found.colour, "Colour differs along the flight", "", "low", found.points, name)


def _score(
    subject: str, metric: str, value: float, title: str, unit: str, better: str, count: int, name: str, note: str = ""
) -> dict[str, Any]:
    details = {"title": title, "unit": unit, "better": better, "count": count, "subject": name, "note": note}
    finite = round(value, 6) if math.isfinite(value) else None
    return {"subject": subject, "metric": metric, "value": finite, "details": details}


def _some(scenes: SceneTensors, device: str) -> SceneTensors:
    """Evenly chosen, as many as are looked at."""
    most = min(len(scenes), _MOST_SCENES[device])
    return scenes.only([place * len(scenes) // most for place in range(most)]).to(device)
