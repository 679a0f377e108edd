"""The stages that are trained: each in a folder that survives the shard's attempts. No Django.

The engine takes up its own checkpoint. The points of the curves are written to a journal before they are told: whoever
is killed tells those up to the checkpoint again, and rows that come twice change nothing.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from engine.detection.data.types import DatasetError
from engine.scenes.stages import AutoencoderStage, DiffusionStage, LatentStage, SceneTensors, encode_scenes, turned
from engine.scenes.training import CHECKPOINT, WEIGHTS, NonFiniteLoss, Stage, StageBudget, StepStats, train_stage
from engine.training.checkpoint import CheckpointError, load_checkpoint
from jobs.kinds.accelerators import device_here, forget_memory, peak_memory
from jobs.kinds.runner_parts import Hopeless, beating
from jobs.kinds.scenes.data import Data, open_data
from jobs.kinds.scenes.models_here import fresh, load_models
from jobs.kinds.scenes.views import HeldOut

if TYPE_CHECKING:
    from jobs.kinds.base import Context

JOURNAL, KEY = "points.jsonl", "key"
_POINTS = 200  # of a run's curves, at most
_REPORT_SECONDS = 1.0
_SHOW_SECONDS = 5.0  # between pictures of held-out views
_KEEP_SECONDS = 600.0  # between copies of the checkpoint, for a worker on another machine to go on from
_TURNS = 4  # a scene turned by a right angle is as good a scene


def train(job: dict[str, Any], context: Context) -> None:
    """Train a stage to the end of its budget, go on where it was killed, or take what was trained before."""
    forget_memory()
    folder = Path(job["folder"])
    _forget_other_inputs(folder, job["key"], context)
    if job["reuse"] is not None:
        _take_over(job, folder, context)
        return
    begun = time.monotonic()
    if is_trained(folder):  # by an attempt that died before it could say so
        _tell_again(folder, job["budget"]["steps"], context)
    elif not _train(job, folder, context):
        return
    context.artifact(folder / WEIGHTS, f"{job['stage']}.safetensors", "application/octet-stream")
    context.row({"is": "trained", "seconds": round(time.monotonic() - begun, 1)})
    context.progress(job["budget"]["steps"])


def is_trained(folder: Path) -> bool:
    """Checkpoints go when the weights are kept."""
    return (folder / WEIGHTS).exists() and not (folder / CHECKPOINT).exists()


def _tell_again(folder: Path, done: int, context: Context) -> None:
    """The points that earlier attempts told, of the first ``done`` steps."""
    path = folder / JOURNAL
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except ValueError:  # cut off in the middle: its step is taken again
            continue
        if row["step"] <= done:
            context.row(row)
    context.progress(done)


def _forget_other_inputs(folder: Path, key: str, context: Context) -> None:
    """What lies there may be of other inputs: of data that has changed since."""
    if (folder / KEY).exists() and (folder / KEY).read_text() != key:
        context.log("The stage starts over: its inputs have changed.", "warning")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / KEY).write_text(key)


def _take_over(job: dict[str, Any], folder: Path, context: Context) -> None:
    reuse = job["reuse"]
    draft = folder / f"{WEIGHTS}.part"
    shutil.copyfile(reuse["weights"], draft)
    draft.replace(folder / WEIGHTS)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    context.artifact(folder / WEIGHTS, f"{job['stage']}.safetensors", "application/octet-stream")
    context.row({"is": "reused", "experiment": reuse["experiment"]})
    context.log(f"{job['title']}: trained before, in {reuse['name']}; nothing is trained anew.")
    context.progress(job["budget"]["steps"])


def _train(job: dict[str, Any], folder: Path, context: Context) -> bool:
    """False when it was cancelled."""
    data = open_data(job["data"], context.data_dir, context)
    device = device_here()
    try:
        with beating(context):
            stage, show = _stage(job, data, device, context)
        hooks = StageHooks(job, folder, context, show)
        checkpoint = folder / CHECKPOINT
        _tell_again(folder, int(load_checkpoint(checkpoint)["step"]) if checkpoint.exists() else 0, context)
        if not train_stage(stage, StageBudget(**job["budget"]), folder=folder, device=device, hooks=hooks):
            return False
    except NonFiniteLoss as error:
        context.artifact(error.path, f"nonfinite-{job['stage']}.pt", "application/octet-stream")
        context.row({"is": "not finite", "step": error.step})
        raise Hopeless(f"{job['title']}: {error}") from None
    except (DatasetError, CheckpointError) as error:
        raise Hopeless(str(error)) from None
    except torch.OutOfMemoryError:
        raise RuntimeError(
            f"The GPU has too little memory to train the {job['title'].lower()}: choose fewer scenes or pictures a "
            "step, smaller pictures or a smaller grid."
        ) from None
    hooks.end()
    (folder / CHECKPOINT).unlink()  # the weights are the result
    return True


def _stage(
    job: dict[str, Any], data: Data, device: str, context: Context
) -> tuple[Stage, Callable[[int], None] | None]:
    """What is trained, and what shows how it looks."""
    batch, seed = job["batch"], job["budget"]["seed"]
    before = load_models(job["models"], job["cameras"], device)
    model = fresh(job["stage"], job["model"], latents=before.get("latents"), cameras=job["cameras"], seed=seed).to(
        device
    )
    scenes = data.train.tensors(cameras=max(1, job["cameras"])).to(device)
    if job["stage"] == "autoencoder":
        held_out = HeldOut(model, data, device, given=batch["given"])
        first = AutoencoderStage(model, scenes, batch=batch["batch"], given=batch["given"], asked=batch["asked"])
        return first, lambda step: held_out.show(step, context)
    if job["stage"] == "latents":
        second = LatentStage(model, before["autoencoder"], scenes, batch=batch["batch"], given=batch["given"])
        return second, None
    latents, maps = _encoded(before, scenes, batch["given"], job["cameras"])
    uses_maps = job["model"]["map_channels"] > 0
    return DiffusionStage(model, latents, maps if uses_maps else None, batch=batch["batch"]), None


def _encoded(
    before: dict[str, Any], scenes: SceneTensors, given: int, cameras: int
) -> tuple[dict[Any, torch.Tensor], torch.Tensor | None]:
    """Latents of all scenes, each in its four turns, and their maps."""
    latents = encode_scenes(before["autoencoder"], before["latents"], scenes, given=given, turns=range(_TURNS))
    if not cameras:
        latents["g"] = latents["g"][:, : before["latents"].config.g]
    maps = None if scenes.maps is None else torch.cat([turned(scenes.maps, turn) for turn in range(_TURNS)])
    return latents, maps


class StageHooks:
    """Turns what training says into rows."""

    def __init__(self, job: dict[str, Any], folder: Path, context: Context, show: Callable[[int], None] | None) -> None:
        self._job, self._folder, self._context, self._show = job, folder, context, show
        self._steps = job["budget"]["steps"]
        self._stride = -(-self._steps // _POINTS)
        self._kept = time.monotonic()
        self._reported = self._shown = 0.0
        self._last: StepStats | None = None

    def step(self, stats: StepStats) -> None:
        self._last = stats
        if stats.step % self._stride == 0 or stats.step in (1, self._steps):
            self._point(stats)
        self._context.alive()
        now = time.monotonic()
        if now - self._reported >= _REPORT_SECONDS:
            self._tell(stats)
            if self._reported:
                speed = {"steps_per_second": stats.steps_per_second}
                self._context.metrics(speed, now - self._reported)
            self._reported = now

    def _point(self, stats: StepStats) -> None:
        row = {"is": "point", "step": stats.step, "values": _rounded({"loss": stats.loss, **stats.losses})}
        with (self._folder / JOURNAL).open("a") as journal:
            journal.write(f"\n{json.dumps(row)}\n")  # on a line of its own, whatever an attempt that died left
        self._context.row(row)

    def _tell(self, stats: StepStats) -> None:
        values = {
            "step": stats.step,
            "steps": stats.steps,
            "losses": _rounded(stats.losses),
            "loss": round(stats.loss, 6),
            "gradient_norm": round(stats.gradient_norm, 5),
            "learning_rate": stats.learning_rate,
            "steps_per_second": round(stats.steps_per_second, 3),
            "memory": peak_memory(),
        }
        self._context.row({"is": "step", "values": values})
        self._context.progress(stats.step)

    def checkpoint(self, step: int) -> None:
        now = time.monotonic()
        if self._show is not None and now - self._shown > _SHOW_SECONDS and step < self._steps:
            self._show(step)
            self._shown = time.monotonic()
        if now - self._kept > _KEEP_SECONDS:
            self._kept = now
            name = f"{self._job['stage']}-last.pt"
            self._context.artifact(self._folder / CHECKPOINT, name, "application/octet-stream")

    def cancelled(self) -> bool:
        return self._context.cancelled

    def end(self) -> None:
        """With the averaged weights in the model."""
        if self._last is not None:
            self._tell(self._last)
        if self._show is not None:
            self._show(self._steps)


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in values.items()}
