"""Measures the models on held-out views of test scenes, and the scenes' pictures against real ones. No Django."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from engine.scenes.metrics import depth_error, psnr, ssim
from engine.scenes.stages import SceneTensors, bounded, unbounded
from jobs.kinds.accelerators import device_here
from jobs.kinds.runner_parts import beating
from jobs.kinds.scenes.data import open_data
from jobs.kinds.scenes.models_here import load_models

if TYPE_CHECKING:
    from jobs.kinds.base import Context

_TITLES = {
    "psnr": ("PSNR", "dB", "high"),
    "ssim": ("SSIM", "", "high"),
    "depth": ("Depth error, relative", "", "low"),
}
_SSIM_WINDOW = 11


@torch.no_grad()
def evaluate(job: dict[str, Any], context: Context) -> None:
    """Rows of scores."""
    device = device_here()
    with beating(context):
        data = open_data(job["data"], context.data_dir, context)
        scenes = data.test.tensors(cameras=max(1, job["cameras"]))
        models = load_models(job["models"], job["cameras"], device)
    context.progress(5)
    _reconstructions(scenes, models, job["given"], device, context)
    context.progress(100)


def _reconstructions(scenes: SceneTensors, models: dict[str, Any], given: int, device: str, context: Context) -> None:
    """Held-out views from the auto-encoder's fields, and from those fields after the latents."""
    if not scenes.held_out:
        context.log("No view is held out, so reconstructions are not measured.", "warning")
        return
    found: dict[str, dict[str, list[float]]] = {"autoencoder": {}, "latents": {}}
    autoencoder, latents = models["autoencoder"], models["latents"]
    for number in range(len(scenes)):
        if context.cancelled:
            return
        here = _one(scenes, number).to(device)
        first = torch.zeros(1, dtype=torch.long, device=device)
        views = here.views(first, here.given(given)[None])
        asked = here.views(first, torch.tensor([here.held_out], device=device))
        field = autoencoder.encode(views.images, views.rays)
        again = unbounded(latents.decode(latents.encode(bounded(field)).latents).float())
        for subject, each in (("autoencoder", field), ("latents", again)):
            seen = autoencoder.render(each, asked.rays)
            _add(found[subject], "psnr", psnr(seen.image[0], asked.images[0]).tolist())
            if min(seen.image.shape[-2:]) >= _SSIM_WINDOW:
                _add(found[subject], "ssim", ssim(seen.image[0], asked.images[0]).tolist())
            known = asked.valid & (asked.depths < autoencoder.config.far)
            if known.any():
                _add(found[subject], "depth", [float(depth_error(seen.depth[0], asked.depths[0], known[0]))])
        context.progress(5 + 45 * (number + 1) // len(scenes))
    for subject, metrics in found.items():
        for metric, values in metrics.items():
            title, unit, better = _TITLES[metric]
            mean = sum(values) / len(values)
            details = {"title": title, "unit": unit, "better": better, "count": len(values)}
            context.row(
                {"is": "score", "subject": subject, "metric": metric, "value": round(mean, 6), "details": details}
            )


def _add(found: dict[str, list[float]], metric: str, values: list[float]) -> None:
    found.setdefault(metric, []).extend(values)


def _one(scenes: SceneTensors, number: int) -> SceneTensors:
    at = slice(number, number + 1)
    return SceneTensors(
        images=scenes.images[at],
        depths=scenes.depths[at],
        valid=scenes.valid[at],
        sky=scenes.sky[at],
        origins=scenes.origins[at],
        directions=scenes.directions[at],
        trajectories=scenes.trajectories[at],
        maps=None,
        held_out=scenes.held_out,
    )
