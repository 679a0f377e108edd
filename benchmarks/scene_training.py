"""A scene model trained on Freedoom and measured: python -m benchmarks.scene_training all --work DIR --seconds 1000

Parts, each resumable and in this order: data (needs vizdoom and many cores), autoencoder, latents, diffusion (three of
them: g + c + f, c + f and c), evaluate, report. Each goes on from what lies in --work until it is done or --seconds are
over. Needs one GPU, and for the two distances on features --features with the EfficientNet-Lite0 weights; --vgg names
the weights of the perceptual loss.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks._report import Row, write_report
from engine.doom import Recipe, campaign_maps, split_maps
from engine.doom.maps import GameMap
from engine.scenes import metrics
from engine.scenes.autoencoder import Rays, SceneAutoencoder, SceneConfig, Views
from engine.scenes.data import PackSettings, collect_dataset, load_scenes, pack_scenes
from engine.scenes.diffusion.hierarchy import DiffusionConfig, Group, SceneDiffusion, StageSettings
from engine.scenes.latents import LatentAutoencoder, LatentConfig
from engine.scenes.perceptual import PerceptualLoss
from engine.scenes.stages import (
    AutoencoderStage,
    DiffusionStage,
    LatentStage,
    SceneTensors,
    bounded,
    decode_scene,
    encode_scenes,
    unbounded,
)
from engine.scenes.training import WEIGHTS, NoHooks, Stage, StageBudget, StepStats, train_stage
from engine.scenes.trajectory import cameras_of, rays_through
from engine.training.checkpoint import load_weights

BOX, CAMERAS = (1280.0, 1280.0, 320.0), 8
GIVEN = 32  # views that a scene is encoded from where it is measured: all that are not held out
ABLATIONS: dict[str, tuple[Group, ...]] = {"g + c + f": ("g", "c", "f"), "c + f": ("c", "f"), "c": ("c",)}
TANGENT = 0.625  # of half the angle of view: 100 of 160 pixels at 90 degrees, see engine.scenes.cameras.square_box
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@dataclasses.dataclass(frozen=True)
class Size:
    """All sizes of a run. The default is the one that is reported; `tiny` proves the code on a CPU."""

    maps: int = 68
    scenes: int = 40  # of each map
    grid: tuple[int, int, int] = (32, 128, 128)
    pixels: int = 128
    channels: int = 16
    bins: int = 128
    far: float = 96.0
    samples: int = 96
    width: int = 128
    voxel_width: int = 32
    latent_width: int = 128
    codebook: int = 1024
    c_widths: tuple[int, ...] = (192, 384, 384)
    f_widths: tuple[int, ...] = (96, 192, 256, 384)
    autoencoder_batch: tuple[int, int, int] = (8, 12, 6)  # scenes, given, asked
    latent_batch: tuple[int, int, int] = (16, 16, 3)
    diffusion_batch: int = 64
    judged: int = 128  # scenes whose pictures are compared
    drawn: int = 384  # scenes that are generated for each ablation
    autoencoder_rate: float = 6e-4
    latent_rate: float = 4e-4
    diffusion_rate: float = 3e-4

    @property
    def scene_config(self) -> SceneConfig:
        return SceneConfig(
            grid=self.grid, channels=self.channels, bins=self.bins, near=4.0, far=self.far, samples=self.samples,
            width=self.width, voxel_width=self.voxel_width, perceptual_weight=0.2,
        )  # fmt: skip

    @property
    def latent_config(self) -> LatentConfig:
        return LatentConfig(channels=self.channels + 1, grid=self.grid, width=self.latent_width, codebook=self.codebook)

    def diffusion_config(self, groups: tuple[Group, ...]) -> DiffusionConfig:
        return DiffusionConfig(
            process="cosine", prediction="v", weighting="uniform",
            c_widths=self.c_widths, f_widths=self.f_widths, groups=groups,
        )  # fmt: skip


SIZES = {
    "full": Size(),
    "smoke": Size(maps=20, scenes=4, judged=8, drawn=16),
    "tiny": Size(
        maps=3, scenes=2, grid=(8, 32, 32), pixels=32, channels=4, bins=16, far=24.0, samples=24, width=16,
        voxel_width=8, latent_width=16, codebook=32, c_widths=(16, 16), f_widths=(16, 16),
        autoencoder_batch=(1, 4, 2), latent_batch=(1, 4, 1), diffusion_batch=2, judged=2, drawn=2,
    ),
}  # fmt: skip


class Run:
    """The folder of a run and what lies in it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.work: Path = options.work
        self.size = SIZES[options.size]
        self.features: Path | None = options.features
        self.vgg: Path | None = options.vgg
        self.workers: int = options.workers
        self.deadline = time.perf_counter() + options.seconds
        self.plan: dict[str, float] = json.loads(options.plan)
        self.profile: bool = options.profile
        self.work.mkdir(parents=True, exist_ok=True)

    @property
    def left(self) -> float:
        left: float = self.deadline - time.perf_counter()
        return left

    def note(self, name: str, **values: Any) -> None:
        """Keep numbers of a part, beside those that are kept already."""
        path = self.work / "results.json"
        kept = json.loads(path.read_text()) if path.exists() else {}
        kept.setdefault(name, {}).update(values)
        path.write_text(json.dumps(kept, indent=1))
        print(name, values, flush=True)

    def noted(self) -> dict[str, Any]:
        path = self.work / "results.json"
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return found

    def maps(self) -> list[GameMap]:
        """All, or some of both splits."""
        every = campaign_maps()
        train, test = split_maps(every)
        if self.size.maps >= len(every):
            return list(every)
        few = max(1, self.size.maps // 5)
        step = len(train) // (self.size.maps - few)
        return [*train[::step][: self.size.maps - few], *test[:few]]

    def scenes(self, part: str) -> SceneTensors:
        """The scenes of "train" or "test" on the device."""
        files = sorted((self.work / "scenes" / part).glob("*.pt"))
        loaded = [torch.load(file, weights_only=True) for file in files]
        fields = [field.name for field in dataclasses.fields(SceneTensors) if field.name != "held_out"]
        held_out = range(loaded[0]["shown"], loaded[0]["images"].shape[1])
        return SceneTensors(
            **{name: torch.cat([each[name].to(DEVICE) for each in loaded]) for name in fields},
            held_out=tuple(held_out),
        )

    def autoencoder(self) -> SceneAutoencoder:
        model = SceneAutoencoder(self.size.scene_config)
        load_weights(self.work / "autoencoder" / WEIGHTS, model)
        return model.to(DEVICE).eval().requires_grad_(False)

    def latents(self) -> LatentAutoencoder:
        model = LatentAutoencoder(self.size.latent_config)
        load_weights(self.work / "latents" / WEIGHTS, model)
        return model.to(DEVICE).eval().requires_grad_(False)

    def diffusion(self, name: str) -> SceneDiffusion:
        shapes = dataclasses.replace(self.size.latent_config.shapes, poses=6 * CAMERAS)
        model = SceneDiffusion(self.size.diffusion_config(ABLATIONS[name]), shapes)
        load_weights(self.work / folder_of(name) / WEIGHTS, model)
        return model.to(DEVICE).eval().requires_grad_(False)

    def perceptual(self) -> PerceptualLoss | None:
        if self.vgg is None:
            return None
        loss = PerceptualLoss()
        loss.load(self.vgg)
        return loss.to(DEVICE)


def folder_of(ablation: str) -> str:
    return "diffusion-" + ablation.replace(" + ", "")


# Data


def collect_map(work: Path, size: Size, game_map: GameMap) -> int:
    """Play one map, pack its scenes and keep them as tensors. Returns their number."""
    torch.set_num_threads(1)
    is_train = bool(split_maps([game_map])[0])
    target = work / "scenes" / ("train" if is_train else "test") / f"{game_map}.pt"
    if target.exists():
        return 0
    target.parent.mkdir(parents=True, exist_ok=True)
    place = work / "pictures" / str(game_map)
    recipe = Recipe(scenes=size.scenes, box=BOX, below=80.0, cell=BOX[0] / size.grid[2])
    collect_dataset(place / "doom", [game_map], recipe, processes=1)
    train, test = load_scenes(place / "doom").train_test()
    scenes = [*train, *test]
    packed = pack_scenes(scenes, PackSettings(size.grid, size.pixels, 4), place / "packed").tensors(CAMERAS)
    parts = {field.name: getattr(packed, field.name) for field in dataclasses.fields(packed)}
    shown = parts["images"].shape[1] - len(parts.pop("held_out"))
    # A place in fp32, a mean of four corners: nothing here needs more than that.
    torch.save({**parts, "shown": shown}, target.with_suffix(".part"))
    target.with_suffix(".part").rename(target)
    shutil.rmtree(place)
    return len(packed)


def collect(run: Run) -> bool:
    done = run.work / "scenes" / "done"
    if done.exists():
        return True
    begin, count, failed = time.perf_counter(), 0, []
    with ProcessPoolExecutor(run.workers, mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(collect_map, run.work, run.size, each): each for each in run.maps()}
        for future in as_completed(waiting):
            try:
                count += future.result()
            except Exception as error:  # a map that fails costs its map
                failed.append(f"{waiting[future]}: {str(error)[:200]}")
    run.note("data", scenes=count, seconds=time.perf_counter() - begin, workers=run.workers, failed=failed)
    done.touch()
    return True


# Training


class Watch(NoHooks):
    """Prints losses now and then, and says stop when the time is over."""

    def __init__(self, name: str, run: Run, every: int) -> None:
        self._name, self._run, self._every = name, run, every
        self._sums: dict[str, float] = {}
        self.seconds_per_step = 0.0

    def step(self, stats: StepStats) -> None:
        self.seconds_per_step = 1 / stats.steps_per_second
        for name, value in stats.losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        if stats.step % self._every == 0:
            means = " ".join(f"{name} {value / self._every:.4f}" for name, value in self._sums.items())
            print(
                f"{self._name} {stats.step}/{stats.steps}: {means} norm {stats.gradient_norm:.2f} "
                f"{1e3 * self.seconds_per_step:.1f} ms",
                flush=True,
            )
            with (self._run.work / "losses.jsonl").open("a") as file:
                line = {"stage": self._name, "step": stats.step}
                file.write(json.dumps(line | {k: v / self._every for k, v in self._sums.items()}) + "\n")
            self._sums.clear()

    def cancelled(self) -> bool:
        return self._run.left < 8


def fit(run: Run, name: str, make: Any, rate: float, ema: float = 0.999) -> bool:
    """Train a stage for the seconds that the plan gives it: steps are counted from a short trial, and then kept."""
    folder = run.work / name
    if (folder / WEIGHTS).exists():
        return True
    folder.mkdir(exist_ok=True)
    stage: Stage = make()
    parameters = sum(each.numel() for each in stage.model.parameters())
    planned = folder / "steps.json"
    if not planned.exists():
        start = {key: value.clone() for key, value in stage.model.state_dict().items()}
        trial = run.work / "trial"
        times = []
        for steps in (6, 18):  # the first compiles and warms up
            shutil.rmtree(trial, ignore_errors=True)
            stage.model.load_state_dict(start)
            synchronise()
            begin = time.perf_counter()
            train_stage(stage, StageBudget(steps=steps, learning_rate=rate), folder=trial, device=DEVICE)
            synchronise()
            times.append(time.perf_counter() - begin)
        if run.profile:
            profiled(stage, trial, name)
        stage.model.load_state_dict(start)
        shutil.rmtree(trial)
        each = times[1] / 18
        planned.write_text(json.dumps({"steps": max(32, int(run.plan[name] / each)), "seconds": each}))
    steps = json.loads(planned.read_text())["steps"]
    budget = StageBudget(
        steps=steps,
        learning_rate=rate,
        warmup_steps=min(300, steps // 10),
        ema_decay=ema,
        checkpoint_every=max(50, steps // 12),
    )
    if DEVICE == "cuda":
        torch.cuda.reset_peak_memory_stats()
    watch = Watch(name, run, max(1, steps // 25))
    begin = time.perf_counter()
    finished = train_stage(stage, budget, folder=folder, device=DEVICE, hooks=watch)
    run.note(
        name,
        steps=steps,
        milliseconds=1e3 * watch.seconds_per_step,
        seconds=run.noted().get(name, {}).get("seconds", 0.0) + time.perf_counter() - begin,
        parameters=parameters,
        memory_gib=torch.cuda.max_memory_allocated() / 2**30 if DEVICE == "cuda" else 0.0,
        finished=finished,
    )
    return finished


def profiled(stage: Stage, folder: Path, name: str) -> None:
    """What the steps of a stage spend their time on."""
    shutil.rmtree(folder, ignore_errors=True)
    with torch.profiler.profile() as profiler:
        train_stage(stage, StageBudget(steps=4), folder=folder, device=DEVICE)
        synchronise()
    events = [each for each in profiler.key_averages() if each.device_type == torch.autograd.DeviceType.CPU]
    by = "self_device_time_total" if DEVICE == "cuda" else "self_cpu_time_total"
    for each in sorted(events, key=lambda each: -getattr(each, by))[:22]:
        milliseconds, count = getattr(each, by) / 4e3, each.count / 4
        print(f"{name} profile: {milliseconds:8.2f} ms {count:6.0f} x {each.key[:80]}", flush=True)


def synchronise() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def train_autoencoder(run: Run) -> bool:
    def make() -> Stage:
        torch.manual_seed(0)
        model = SceneAutoencoder(run.size.scene_config).to(DEVICE)
        batch, given, asked = run.size.autoencoder_batch
        return AutoencoderStage(
            model, run.scenes("train"), batch=batch, given=given, asked=asked, perceptual=run.perceptual()
        )

    return fit(run, "autoencoder", make, run.size.autoencoder_rate)


def train_latents(run: Run) -> bool:
    def make() -> Stage:
        torch.manual_seed(1)
        model = LatentAutoencoder(run.size.latent_config).to(DEVICE)
        batch, given, asked = run.size.latent_batch
        return LatentStage(
            model, run.autoencoder(), run.scenes("train"), batch=batch, given=given, asked=asked,
            perceptual=run.perceptual(),
        )  # fmt: skip

    return fit(run, "latents", make, run.size.latent_rate)


def train_diffusion(run: Run) -> bool:
    stored = run.work / "latents.pt"
    if not stored.exists():
        begin = time.perf_counter()
        scenes, models = run.scenes("train"), (run.autoencoder(), run.latents())
        with autocast():
            turns = [encode_scenes(*models, scenes, given=GIVEN, turns=turn) for turn in range(4)]
        joined = {group: torch.cat([each[group] for each in turns]).cpu() for group in turns[0]}
        torch.save(joined, stored)
        run.note("encoding", seconds=time.perf_counter() - begin, scenes=4 * len(scenes))
        del scenes, models, turns
    latents: dict[Group, Tensor] = {
        group: each.to(DEVICE) for group, each in torch.load(stored, weights_only=True).items()
    }
    shapes = dataclasses.replace(run.size.latent_config.shapes, poses=6 * CAMERAS)

    def make(groups: tuple[Group, ...]) -> Stage:
        torch.manual_seed(2)
        model = SceneDiffusion(run.size.diffusion_config(groups), shapes).to(DEVICE)
        return DiffusionStage(model, latents, batch=run.size.diffusion_batch)

    return all(
        fit(run, folder_of(name), lambda groups=groups: make(groups), run.size.diffusion_rate)
        for name, groups in ABLATIONS.items()
    )


def autocast() -> torch.autocast:
    return torch.autocast(DEVICE, torch.bfloat16, enabled=DEVICE == "cuda")


# Evaluation


class Features(nn.Module):
    """The 1,280 pooled features of EfficientNet-Lite0: pictures [N, 3, H, W] in [0, 1] -> [N, 1280]."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        from engine.detection.efficientnet import EfficientNetLite0

        self.trunk = EfficientNetLite0()
        self.trunk.load_imagenet(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.head = nn.Conv2d(320, 1280, 1, bias=False)
        self.norm = nn.BatchNorm2d(1280, eps=1e-3)
        self.head.weight.data.copy_(state["_conv_head.weight"])
        self.norm.load_state_dict({key[5:]: value for key, value in state.items() if key.startswith("_bn1.")})
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        from engine.detection.efficientnet import MEAN, STD

        found = []
        for part in torch.split(images, 128):
            large = F.interpolate(part.to(DEVICE).float(), (224, 224), mode="bilinear", antialias=True)
            last = self.trunk((large - MEAN) / STD)["32"]
            found.append(F.relu6(self.norm(self.head(last))).mean((2, 3)))
        return torch.cat(found)


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
    run: Run, name: str, count: int, seed: int = 0, batch: int = 16, steps: int = 25
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
    model, latents, perceptual = run.autoencoder(), run.latents(), run.perceptual()
    train, test = run.scenes("train"), run.scenes("test")
    kept = run.noted().get("reconstruction", {})
    for split, scenes in (("train maps", train), ("test maps", test)):
        for name, second in (("auto-encoder", None), ("both auto-encoders", latents)):
            case = f"{name}, {split}"
            if case not in kept:
                run.note("reconstruction", **{case: judge(model, second, scenes, run.size.judged, perceptual)})
    speed(run, model)
    sheets(run, model, latents, train, test)
    if run.features is None:
        return True
    features = Features(run.features).to(DEVICE)
    views = anchor_views(train)
    real = {}
    for split, scenes, count in (("train", train, 2 * run.size.drawn), ("test", test, run.size.drawn)):
        chosen = picked(scenes, count, seed=1)
        real[split] = features(scenes.images[chosen][:, views].flatten(0, 1).float() / 255)
    half = len(real["train"]) // 2
    first, second = real["train"][:half], real["train"][half:]
    rows = {"real pictures of the same maps": second, "real pictures of test maps": real["test"]}
    for name, with_latents in (("auto-encoder", None), ("both auto-encoders", latents)):
        images = [
            reconstructed(model, with_latents, train, number, views)[0].image[0].cpu()
            for number in picked(train, run.size.drawn, seed=2)
        ]
        rows[f"{name}, of train maps"] = features(torch.cat(images))
    for name in ABLATIONS:
        if not (run.work / folder_of(name) / WEIGHTS).exists():
            continue
        images, begin = [], 0
        numbers = picked(train, run.size.drawn, seed=3)
        for fields, _ in generate(run, name, len(numbers)):
            images.append(from_anchor(model, fields, train, numbers[begin : begin + len(fields)]).flatten(0, 1).cpu())
            begin += len(fields)
        rows[f"generated, {name}"] = features(torch.cat(images))
    for name, found in rows.items():
        run.note(
            "distances",
            **{
                name: {
                    "kid": float(metrics.kid(first, found)),
                    "fd": float(metrics.frechet(first, found)),
                    "n": len(found),
                }
            },
        )
    return True


def speed(run: Run, model: SceneAutoencoder) -> None:
    """Time to generate a scene, and frames a second of walking through it."""
    name = next(iter(ABLATIONS))
    if not (run.work / folder_of(name) / WEIGHTS).exists():
        return
    diffusion, latents = run.diffusion(name), run.latents()
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


# Pictures


def to_picture(image: Tensor) -> Tensor:
    """[3, h, w] in [0, 1], made brighter: Freedoom is dark. [h, w, 3] uint8."""
    return (image.float().clamp(0, 1).pow(0.7) * 255).byte().movedim(0, -1).cpu()


def to_depth(depth: Tensor, known: Tensor, far: float, pixels: int) -> Tensor:
    """Near is bright."""
    shade = (1 - depth / far).clamp(0, 1) * known
    large = F.interpolate(shade[None, None].float(), (pixels, pixels), mode="nearest")[0]
    return (large.expand(3, -1, -1) * 255).byte().movedim(0, -1).cpu()


def save_sheet(path: Path, rows: Sequence[Sequence[Tensor]]) -> None:
    sheet = torch.cat([torch.cat(list(row), dim=1) for row in rows], dim=0)
    Image.fromarray(sheet.numpy()).save(path, quality=92)


def from_above(field: Tensor, model: SceneAutoencoder, pixels: int) -> Tensor:
    """A scene seen straight from above, without the part of it that is above the middle: ceilings hide what matters."""
    z, y, x = model.config.grid
    device = field.device
    open_ = field.clone()
    open_[:, z // 3 :, :, :, 0] = 0
    cells = 2 * pixels // 4
    along = (torch.arange(cells, device=device) + 0.5) / cells
    origins = torch.stack([(along * x).expand(cells, cells), ((1 - along) * y)[:, None].expand(cells, cells)], dim=-1)
    height = torch.full((cells, cells, 1), float(z + model.config.near), device=device)
    origins = torch.cat([origins, height], -1)
    down = torch.tensor([0.0, 0.0, -1.0], device=device).expand_as(origins)
    with torch.no_grad(), autocast():
        seen = model.render(open_, Rays(origins[None, None], down[None, None]))
    return seen.image[0, 0]


def sheets(
    run: Run, model: SceneAutoencoder, latents: LatentAutoencoder, train: SceneTensors, test: SceneTensors
) -> None:
    pixels, far = run.size.pixels, run.size.far
    folder = run.work / "sheets"
    folder.mkdir(exist_ok=True)
    for split, scenes in (("train", train), ("test", test)):
        rows = []
        for number in picked(scenes, 8, seed=4):
            which = list(scenes.held_out)[:3]
            seen, truth = reconstructed(model, None, scenes, number, which)
            again, _ = reconstructed(model, latents, scenes, number, which)
            row = []
            for view in range(len(which)):
                row += [to_picture(truth.images[0, view]), to_picture(seen.image[0, view])]
                row += [to_picture(again.image[0, view])]
                row += [to_depth(truth.depths[0, view], truth.valid[0, view], far, pixels)]
                row += [to_depth(seen.depth[0, view], seen.accumulation[0, view], far, pixels)]
            rows.append(row)
        save_sheet(folder / f"reconstruction-{split}.jpg", rows)
    for name in ABLATIONS:
        if not (run.work / folder_of(name) / WEIGHTS).exists():
            continue
        numbers = picked(train, 8, seed=3)
        fields, trajectories = next(generate(run, name, len(numbers), seed=5))
        images = from_anchor(model, fields, train, numbers)
        rows = []
        for scene in range(len(fields)):
            above = F.interpolate(from_above(fields[scene : scene + 1], model, pixels)[None], (pixels, pixels))[0]
            row = [to_picture(above), *(to_picture(each) for each in images[scene])]
            if trajectories.shape[1]:
                axes = cameras_of(trajectories[scene : scene + 1], run.size.grid)
                rays = Rays(*rays_through(*axes, pixels // 4, TANGENT))
                with torch.no_grad(), autocast():
                    own = model.render(fields[scene : scene + 1], rays)
                row += [to_picture(own.image[0, view]) for view in range(1, CAMERAS, 2)]
            rows.append(row)
        save_sheet(folder / f"generated-{name.replace(' + ', '')}.jpg", rows)


def report(run: Run) -> bool:
    found = run.noted()
    rows = []
    for stage in ("autoencoder", "latents", *map(folder_of, ABLATIONS)):
        if stage in found:
            kept = found[stage]
            rows += [
                Row(f"training, {stage}", "steps", "", kept["steps"]),
                Row(f"training, {stage}", "a step", "ms", kept["milliseconds"]),
                Row(f"training, {stage}", "all steps", "s", kept["seconds"]),
                Row(f"training, {stage}", "peak GPU memory", "GiB", kept["memory_gib"]),
            ]
    for case, values in found.get("reconstruction", {}).items():
        goal = None if "both" in case else ">= 22" if "train" in case else ">= 20"
        peers = {"one colour a picture": values["plain"]}
        rows.append(Row(f"held-out views, {case}", "PSNR", "dB", values["psnr"], peers=peers, goal=goal))
        rows.append(Row(f"held-out views, {case}", "SSIM", "", values["ssim"]))
        rows.append(Row(f"held-out views, {case}", "depth, abs rel", "%", 100 * values["depth"]))
        if "perceptual" in values:
            rows.append(Row(f"held-out views, {case}", "perceptual distance", "", values["perceptual"]))
    for case, values in found.get("distances", {}).items():
        rows.append(Row(case, "KID-EffLite0 x 1000", "", 1e3 * values["kid"]))
        rows.append(Row(case, "FD-EffLite0", "", values["fd"]))
    for metric, value in found.get("speed", {}).items():
        unit = "s" if metric.endswith(", s") else "frames/s"
        rows.append(Row("generated scene", metric.removesuffix(", s").replace("frames/s ", ""), unit, value))
    data = found.get("data", {})
    write_report(
        "scene-training",
        "A scene model trained on Freedoom",
        rows,
        packages=["torch", "triton"],
        notes=(
            f"{data.get('scenes', 0)} scenes of 40 views, collected and packed in {data.get('seconds', 0):.0f} s by "
            f"{data.get('workers', 0)} processes; test maps were never trained on; held-out views were never encoded. "
            f"Box {BOX[0]:.0f} x {BOX[1]:.0f} x {BOX[2]:.0f} units, grid {run.size.grid}, pictures of "
            f"{run.size.pixels} px, {GIVEN} given views. Distances are to pictures of train maps taken from the middle "
            "of a scene, all from the same cameras; they are of EfficientNet-Lite0 features and no FID. The perceptual "
            "distance is the one that was trained on. PSNR of one colour a picture says how dark Freedoom is."
        ),
    )
    return True


PARTS = {
    "data": collect,
    "autoencoder": train_autoencoder,
    "latents": train_latents,
    "diffusion": train_diffusion,
    "evaluate": evaluate,
    "report": report,
}
PLAN = {"autoencoder": 300, "latents": 170, "diffusion-gcf": 170, "diffusion-cf": 110, "diffusion-c": 50}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=[*PARTS, "all"])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=1e9, help="after which it stops, to be called again")
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--features", type=Path)
    parser.add_argument("--vgg", type=Path)
    parser.add_argument("--profile", action="store_true", help="say what a step's time goes into")
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--plan", default=json.dumps(PLAN), help="seconds of training for each stage")
    options = parser.parse_args()
    run = Run(options)
    if DEVICE == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    for part in PARTS if options.part == "all" else [options.part]:
        begin = time.perf_counter()
        if not PARTS[part](run):
            print(f"{part}: the time is over; call again to go on", flush=True)
            return
        print(f"{part}: done, {time.perf_counter() - begin:.1f} s", flush=True)


if __name__ == "__main__":
    main()
