"""How good a trained scene model is: held-out views, distances of sets of pictures, speed."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks._scene_run import ABLATIONS, DEVICE, GIVEN, TANGENT, Run, autocast, folder_of, synchronise
from engine.scenes import metrics
from engine.scenes.autoencoder import Rays, SceneAutoencoder, Views
from engine.scenes.diffusion.hierarchy import StageSettings
from engine.scenes.evaluation.features import EffLite0, features_of
from engine.scenes.latents import LatentAutoencoder
from engine.scenes.perceptual import PerceptualLoss
from engine.scenes.stages import SceneTensors, bounded, decode_scene, unbounded
from engine.scenes.trajectory import cameras_of, rays_through


def picked(scenes: SceneTensors, count: int, seed: int = 0) -> Tensor:
    """Numbers of `count` random scenes."""
    order = torch.randperm(len(scenes), generator=torch.Generator().manual_seed(seed))
    return order[:count].to(scenes.images.device)


def anchor_views(scenes: SceneTensors) -> list[int]:
    """The views from a scene's first stand: they come from the anchor, which is the middle of every scene."""
    place = scenes.origins[0]
    return [view for view in range(len(place)) if torch.allclose(place[view], place[0], atol=1e-3)]


@torch.no_grad()
def reconstructed(
    model: SceneAutoencoder,
    latents: LatentAutoencoder | None,
    scenes: SceneTensors,
    number: Tensor,
    which: Sequence[int],
) -> tuple[Any, Views]:
    """What the model shows of views ``which`` of one scene, encoded from those that are not held out."""
    device = scenes.images.device
    given = scenes.views(number[None], scenes.given(GIVEN)[None])
    with autocast():
        field = model.encode(given.images, given.rays)
        if latents is not None:
            encoded = latents.encode(bounded(field)).latents
            field = unbounded(latents.decode(encoded).float())
        truth = scenes.views(number[None], torch.tensor([list(which)], device=device))
        return model.render(field, truth.rays), truth


def judge(
    model: SceneAutoencoder,
    latents: LatentAutoencoder | None,
    scenes: SceneTensors,
    count: int,
    perceptual: PerceptualLoss | None,
) -> dict[str, float]:
    """Means over held-out views."""
    sums: dict[str, list[float]] = {}
    config = model.config
    for number in picked(scenes, count):
        seen, truth = reconstructed(model, latents, scenes, number, scenes.held_out)
        image, real = seen.image[0].float(), truth.images[0]
        inside = model.buildable(truth)[0]
        plain = real.mean((2, 3), keepdim=True).expand_as(real)
        values = {
            "psnr": metrics.psnr(image, real).mean(),
            "ssim": metrics.ssim(image, real).mean(),
            "depth": metrics.depth_error(seen.depth[0], truth.depths[0].clamp(min=config.near), inside),
            "plain": metrics.psnr(plain, real).mean(),
            "inside": inside.sum() / truth.valid.sum(),
        }
        if perceptual is not None:
            values["perceptual"] = perceptual(image, real).mean()
        for name, value in values.items():
            if bool(value.isfinite()):
                sums.setdefault(name, []).append(float(value))
    return {name: float(np.mean(values)) for name, values in sums.items()}


@torch.no_grad()
def from_anchor(model: SceneAutoencoder, fields: Tensor, scenes: SceneTensors, numbers: Tensor) -> Tensor:
    """Pictures [B, 8, 3, h, w] of fields, from the cameras that stand in the middle of real scenes."""
    views = scenes.views(numbers, torch.tensor([anchor_views(scenes)], device=numbers.device).expand(len(numbers), -1))
    with autocast():
        return model.render(fields, views.rays).image


@torch.no_grad()
def generate(
    run: Run, name: str, count: int, seed: int = 0, batch: int = 32, steps: int = 25
) -> Iterator[tuple[Tensor, Tensor]]:
    """Fields and trajectories of `count` scenes, some at a time."""
    diffusion, latents = run.diffusion(name), run.latents()
    generator = torch.Generator(DEVICE).manual_seed(seed)
    for begin in range(0, count, batch):
        with autocast():
            drawn = diffusion.generate(
                min(batch, count - begin), settings=StageSettings(steps=steps), generator=generator
            )
            yield decode_scene(latents, drawn)


def evaluate(run: Run) -> bool:
    """Everything that there are weights for; what fails costs only itself, and every number is kept at once."""
    from benchmarks._scene_sheets import export, sheets

    model, latents = run.autoencoder(), run.latents() if run.has("latents") else None
    train, test = run.scenes("train"), run.scenes("test")
    drawn = [name for name in ABLATIONS if latents is not None and run.has(folder_of(name))]
    tasks: list[Callable[[], None]] = [
        lambda: sheets(run, model, latents, train, test, drawn),
        lambda: export(run, model, latents, test, drawn),
        lambda: reconstruction(run, model, latents, train, test),
        lambda: speed(run, model, latents, drawn),
        lambda: distances(run, model, latents, train, test, drawn),
    ]
    for task in tasks:
        begin = time.perf_counter()
        try:
            if run.left > 5:
                task()
        except Exception:
            traceback.print_exc()
        print(f"evaluate: {time.perf_counter() - begin:.1f} s", flush=True)
    return True


def reconstruction(
    run: Run, model: SceneAutoencoder, latents: LatentAutoencoder | None, train: SceneTensors, test: SceneTensors
) -> None:
    perceptual = run.perceptual()
    for name, second in (("auto-encoder", None), ("both auto-encoders", latents)):
        for split, scenes in (("train maps", train), ("test maps", test)):
            case = f"{name}, {split}"
            known = second is not None or name == "auto-encoder"
            if known and run.left > 5 and case not in run.noted().get("reconstruction", {}):
                run.note("reconstruction", **{case: judge(model, second, scenes, run.size.judged, perceptual)})


def distances(
    run: Run,
    model: SceneAutoencoder,
    latents: LatentAutoencoder | None,
    train: SceneTensors,
    test: SceneTensors,
    drawn: Sequence[str],
) -> None:
    """Of pictures of train maps to others, all from the middle of a scene: real, reconstructed and generated ones."""
    if run.features is None:
        return
    network, views, count = EffLite0(run.features).to(DEVICE), anchor_views(train), run.size.drawn

    def real(scenes: SceneTensors, chosen: Tensor) -> Iterator[Tensor]:
        for part in torch.split(chosen, 16):
            yield scenes.images[part][:, views].flatten(0, 1).float() / 255

    def again(second: LatentAutoencoder | None) -> Iterator[Tensor]:
        for number in picked(train, count, seed=2):
            yield reconstructed(model, second, train, number, views)[0].image[0].float()

    def generated(name: str) -> Iterator[Tensor]:
        begin, numbers = 0, picked(train, count, seed=3)
        for fields, _ in generate(run, name, len(numbers)):
            yield from_anchor(model, fields, train, numbers[begin : begin + len(fields)]).flatten(0, 1).float()
            begin += len(fields)

    chosen = picked(train, 2 * count, seed=1)
    half = len(chosen) // 2
    cases = {f"generated, {name}": generated(name) for name in drawn}
    cases["real pictures of the same maps"] = real(train, chosen[half:])
    cases["real pictures of test maps"] = real(test, picked(test, count, seed=1))
    cases["auto-encoder, of train maps"] = again(None)
    if latents is not None:
        cases["both auto-encoders, of train maps"] = again(latents)
    known = features_of(network, real(train, chosen[:half])).to(DEVICE)
    for case, images in cases.items():
        if run.left < 5:
            return
        found = features_of(network, images).to(DEVICE)
        run.note(
            "distances",
            **{
                case: {
                    "kid": float(metrics.kid(known, found)),
                    "fd": float(metrics.frechet(known, found)),
                    "n": len(found),
                }
            },
        )


def speed(run: Run, model: SceneAutoencoder, latents: LatentAutoencoder | None, drawn: Sequence[str]) -> None:
    """Time to generate a scene, and frames a second of walking through it."""
    if latents is None or not drawn or drawn[0] != next(iter(ABLATIONS)):
        return
    diffusion = run.diffusion(drawn[0])
    found: dict[str, float] = {}

    def timed(call: Any, repeats: int = 5) -> float:
        call()
        times = []
        for _ in range(repeats):
            synchronise()
            begin = time.perf_counter()
            call()
            synchronise()
            times.append(time.perf_counter() - begin)
        return float(np.median(times))

    def draw(count: int) -> tuple[Tensor, Tensor]:
        with torch.no_grad(), autocast():
            return decode_scene(latents, diffusion.generate(count, settings=StageSettings(steps=25)))

    found["one scene, s"] = timed(lambda: draw(1))
    found["of 16 at once, s"] = timed(lambda: draw(16), 2) / 16
    field, trajectory = draw(1)
    origins, right, down, forward = (each[:, :1] for each in cameras_of(trajectory, run.size.grid))
    for pixels in (run.size.pixels, 2 * run.size.pixels):
        rays = Rays(*rays_through(origins, right, down, forward, pixels // 4, TANGENT))
        many = Rays(*(each.expand(-1, 16, -1, -1, -1) for each in rays))

        def show(rays: Rays) -> None:
            with torch.no_grad(), autocast():
                model.render(field, rays)

        found[f"{pixels} px, frames/s one by one"] = 1 / timed(lambda rays=rays: show(rays), 20)
        found[f"{pixels} px, frames/s 16 at once"] = 16 / timed(lambda many=many: show(many), 10)
    run.note("speed", **found)
