"""A run of benchmarks.scene_training: sizes, the folder it lives in, and a stage fitted into its time."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.doom import campaign_maps, split_maps
from engine.doom.maps import GameMap
from engine.scenes.autoencoder import SceneAutoencoder, SceneConfig
from engine.scenes.diffusion.hierarchy import DiffusionConfig, Group, SceneDiffusion
from engine.scenes.latents import LatentAutoencoder, LatentConfig
from engine.scenes.perceptual import PerceptualLoss
from engine.scenes.stages import SceneTensors
from engine.scenes.training import (
    CHECKPOINT,
    WEIGHTS,
    NoHooks,
    NonFiniteLoss,
    Stage,
    StageBudget,
    StepStats,
    train_stage,
)
from engine.training.checkpoint import load_checkpoint, load_weights, save_weights

BOX, CAMERAS = (1280.0, 1280.0, 320.0), 8
GIVEN = 32  # views that a scene is encoded from where it is measured: all that are not held out
ABLATIONS: dict[str, tuple[Group, ...]] = {"g + c + f": ("g", "c", "f"), "c + f": ("c", "f"), "c": ("c",)}
TANGENT = 0.625  # of half the angle of view: 100 of 160 pixels at 90 degrees, see engine.scenes.cameras.square_box
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@dataclasses.dataclass(frozen=True)
class Size:
    """All sizes of a run. The default is the one that is reported; `tiny` proves the code on a CPU."""

    maps: int = 68
    scenes: int = 30  # of each map
    grid: tuple[int, int, int] = (20, 80, 80)  # voxels of 16 units
    pixels: int = 128
    channels: int = 15  # 16 with what the lift adds
    bins: int = 64
    near: float = 2.5
    far: float = 60.0
    samples: int = 80
    width: int = 128
    voxel_width: int = 48
    latent_width: int = 128
    codebook: int = 1024
    c_widths: tuple[int, ...] = (128, 256, 256)
    f_widths: tuple[int, ...] = (64, 96, 128, 160)
    autoencoder_batch: tuple[int, int, int] = (8, 12, 6)  # scenes, given, asked
    latent_batch: tuple[int, int] = (16, 3)  # scenes, asked
    diffusion_batch: int = 64
    judged: int = 128  # scenes whose pictures are compared
    drawn: int = 256  # scenes that are generated for each ablation
    autoencoder_rate: float = 6e-4
    latent_rate: float = 4e-4
    diffusion_rate: float = 3e-4

    @property
    def scene_config(self) -> SceneConfig:
        return SceneConfig(
            grid=self.grid, channels=self.channels, bins=self.bins, near=self.near, far=self.far, samples=self.samples,
            width=self.width, voxel_width=self.voxel_width, perceptual_weight=0.2,
        )  # fmt: skip

    @property
    def latent_config(self) -> LatentConfig:
        return LatentConfig(channels=self.channels + 1, grid=self.grid, width=self.latent_width, codebook=self.codebook)

    def diffusion_config(self, groups: tuple[Group, ...]) -> DiffusionConfig:
        return DiffusionConfig(
            process="cosine", prediction="v", weighting="uniform",
            g_width=384,
            c_widths=self.c_widths, f_widths=self.f_widths, groups=groups,
        )  # fmt: skip


SIZES = {
    "full": Size(),
    "smoke": Size(maps=20, scenes=4, judged=8, drawn=16),
    "tiny": Size(
        maps=3, scenes=2, grid=(8, 32, 32), pixels=32, channels=3, bins=16, far=24.0, samples=24, width=16,
        voxel_width=8, latent_width=16, codebook=32, c_widths=(16, 16), f_widths=(16, 16),
        autoencoder_batch=(1, 4, 2), latent_batch=(1, 1), diffusion_batch=2, judged=2, drawn=2,
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
        self.only: str | None = options.only
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
        files = [each for each in (self.work / "scenes" / "done").read_text().split() if each.startswith(part)]
        loaded = [torch.load(self.work / "scenes" / file, weights_only=True) for file in files]
        fields = [field.name for field in dataclasses.fields(SceneTensors) if field.name != "held_out"]
        held_out = range(loaded[0]["shown"], loaded[0]["images"].shape[1])
        return SceneTensors(
            **{name: torch.cat([each[name].to(DEVICE) for each in loaded]) for name in fields},
            held_out=tuple(held_out),
        )

    def has(self, stage: str) -> bool:
        """Whether there is anything to judge of a stage, finished or not."""
        return any((self.work / stage / name).exists() for name in (WEIGHTS, CHECKPOINT))

    def load(self, stage: str, model: nn.Module) -> None:
        """A stage's averaged weights; of the last checkpoint where the time was over before the end."""
        if (self.work / stage / WEIGHTS).exists():
            load_weights(self.work / stage / WEIGHTS, model)
        else:
            model.load_state_dict(load_checkpoint(self.work / stage / CHECKPOINT)["averaged"])

    def compiles(self, stage: str) -> bool:
        """Whether `warm` found that torch.compile works for a stage, and is faster."""
        path = self.work / f"compiled-{stage}.json"
        if not path.exists():
            return False
        found = json.loads(path.read_text())
        return bool(found["compiled"] < 1.2 * found["eager"])  # measured while others used the machine

    def autoencoder(self) -> SceneAutoencoder:
        model = SceneAutoencoder(self.size.scene_config)
        self.load("autoencoder", model)
        return model.to(DEVICE).eval().requires_grad_(False)

    def latents(self) -> LatentAutoencoder:
        model = LatentAutoencoder(self.size.latent_config)
        self.load("latents", model)
        return model.to(DEVICE).eval().requires_grad_(False)

    def diffusion(self, name: str) -> SceneDiffusion:
        shapes = dataclasses.replace(self.size.latent_config.shapes, poses=6 * CAMERAS)
        model = SceneDiffusion(self.size.diffusion_config(ABLATIONS[name]), shapes)
        self.load(folder_of(name), model)
        return model.to(DEVICE).eval().requires_grad_(False)

    def perceptual(self) -> PerceptualLoss | None:
        if self.vgg is None:
            return None
        loss = PerceptualLoss()
        loss.load(self.vgg)
        return loss.to(DEVICE)


def folder_of(ablation: str) -> str:
    return "diffusion-" + ablation.replace(" + ", "")


def autocast() -> torch.autocast:
    return torch.autocast(DEVICE, torch.bfloat16, enabled=DEVICE == "cuda")


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


def fit(run: Run, name: str, make: Callable[[], Stage], rate: float, share: float = 1.0) -> bool:
    """Train a stage for the seconds that the plan gives it, or ``share`` of what is left where that is less: steps
    are counted from a short trial, and then kept."""
    folder = run.work / name
    if (folder / WEIGHTS).exists():
        return True
    folder.mkdir(exist_ok=True)
    stage = make()
    parameters = sum(each.numel() for each in stage.model.parameters())
    planned = folder / "steps.json"
    if not planned.exists():
        start = {key: value.clone() for key, value in stage.model.state_dict().items()}
        each = timed_steps(run, stage, 6, 24, rate)
        if run.profile:
            profiled(stage, run.work / "trial", name)
        stage.model.load_state_dict(start)
        seconds = min(run.plan[name], share * (run.left - 14))
        planned.write_text(json.dumps({"steps": max(32, int(seconds / each)), "seconds": each}))
    steps = json.loads(planned.read_text())["steps"]
    budget = StageBudget(
        steps=steps,
        learning_rate=rate,
        warmup_steps=min(300, max(1, steps // 10)),
        checkpoint_every=max(50, steps // 12),
    )
    if DEVICE == "cuda":
        torch.cuda.reset_peak_memory_stats()
    watch = Watch(name, run, max(1, steps // 25))
    begin = time.perf_counter()
    try:
        finished = train_stage(stage, budget, folder=folder, device=DEVICE, hooks=watch)
    except NonFiniteLoss as error:  # what was learnt until then is judged
        print(name, error, flush=True)
        if not (folder / CHECKPOINT).exists():
            raise
        run.load(name, stage.model)
        save_weights(folder / WEIGHTS, stage.model, {"stopped": str(error)})
        finished = True
    run.note(
        name,
        steps=steps,
        compiled=run.compiles(name),
        milliseconds=1e3 * watch.seconds_per_step,
        seconds=run.noted().get(name, {}).get("seconds", 0.0) + time.perf_counter() - begin,
        parameters=parameters,
        memory_gib=torch.cuda.max_memory_allocated() / 2**30 if DEVICE == "cuda" else 0.0,
        finished=finished,
    )
    return finished


def timed_steps(run: Run, stage: Stage, warm_up: int, steps: int, rate: float = 1e-4) -> float:
    """Seconds of a step, after some that compile and choose kernels."""
    folder = run.work / f"trial-{time.monotonic_ns()}"
    seconds = 0.0
    for count in (warm_up, steps):
        shutil.rmtree(folder, ignore_errors=True)
        synchronise()
        begin = time.perf_counter()
        budget = StageBudget(steps=count, learning_rate=rate, checkpoint_every=count + 1)
        train_stage(stage, budget, folder=folder, device=DEVICE)
        synchronise()
        seconds = (time.perf_counter() - begin) / count
    shutil.rmtree(folder)
    return seconds


def compile_parts(parts: Iterable[nn.Module | None]) -> None:
    """Batches have one size in training, so shapes are fixed."""
    for part in parts:
        if part is not None:
            part.compile(dynamic=False)


def profiled(stage: Stage, folder: Path, name: str) -> None:
    """What the steps of a stage spend their time on."""
    shutil.rmtree(folder, ignore_errors=True)
    with torch.profiler.profile() as profiler:
        train_stage(stage, StageBudget(steps=4), folder=folder, device=DEVICE)
        synchronise()
    events = [each for each in profiler.key_averages() if each.device_type.name == "CPU"]
    by = "self_device_time_total" if DEVICE == "cuda" else "self_cpu_time_total"
    for each in sorted(events, key=lambda each: -getattr(each, by))[:22]:
        milliseconds, count = getattr(each, by) / 4e3, each.count / 4
        print(f"{name} profile: {milliseconds:8.2f} ms {count:6.0f} x {each.key[:80]}", flush=True)


def synchronise() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()
