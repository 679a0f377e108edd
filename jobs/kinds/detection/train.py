"""The train stage: one run, in a folder that survives the shard's attempts. No Django.

The engine takes up its own checkpoint. What an epoch came to is written to a journal beside it before it is reported:
whoever is killed reports the journal's epochs again, and rows that come twice change nothing.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from engine.detection import EpochStats, ModelConfig, NonFiniteLoss, StepStats, TrainConfig, TrainResult, train
from engine.detection.data import Dataset, DatasetError
from engine.detection.training import BEST, CHECKPOINT
from engine.training.checkpoint import CheckpointError, WeightsError, load_checkpoint
from jobs.kinds.accelerators import device_here, forget_memory, peak_memory
from jobs.kinds.detection.data import open_data
from jobs.kinds.runner_parts import Hopeless

if TYPE_CHECKING:
    from jobs.kinds.base import Context

JOURNAL = "epochs.jsonl"
_REPORT_SECONDS = 1.0
_KEEP_SECONDS = 600.0  # between copies of the checkpoint, for a worker on another machine to go on from
_STEPS_KEPT = 20  # of an epoch's losses


def train_run(job: dict[str, Any], context: Context) -> None:
    """Train a shard's run to the end of its budget, or go on where it was killed."""
    forget_memory()
    data = open_data(job["data"], context.data_dir, context)
    folder = Path(job["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    config, processes = _spread(TrainConfig(**job["train"] | {"val_angles": (0.0,)}), job.get("processes"))
    model = ModelConfig(**job["model"])
    _forget_other_batches(folder, config, context)
    hooks = RunHooks(job, folder, processes, context)
    hooks.repeat(_finished_epochs(folder))
    try:
        result = _train(model, config, data.train, data.val, folder, processes, hooks)
    except NonFiniteLoss as error:
        context.artifact(error.path, f"batch-not-finite-{job['slug']}.pt", "application/octet-stream")
        raise Hopeless(f"{job['label']}: {error}") from None
    except (DatasetError, WeightsError, CheckpointError) as error:
        raise Hopeless(str(error)) from None
    except torch.OutOfMemoryError:
        raise RuntimeError(
            f"The GPU has too little memory for a batch of {config.batch_size} images of {model.image_size} px: choose "
            "a smaller batch or image size."
        ) from None
    if result.stopped == "cancelled":
        return
    assert result.best is not None, "a run has at least one epoch"
    context.artifact(result.best, f"best-{job['slug']}.safetensors", "application/octet-stream")
    context.row({"is": "trained", "stopped": result.stopped, "epochs": result.epochs})


def _train(
    model: ModelConfig,
    config: TrainConfig,
    train_set: Dataset,
    val_set: Dataset,
    folder: Path,
    processes: int,
    hooks: RunHooks,
) -> TrainResult:
    if processes > 1:
        from jobs.kinds.detection.ranks import train_in_processes

        return train_in_processes(model, config, train_set, val_set, folder=folder, processes=processes, hooks=hooks)
    device = device_here()
    return train(model, config, train_set, val_set, folder=folder, device=device, hooks=hooks)


def _spread(config: TrainConfig, wanted: int | None) -> tuple[TrainConfig, int]:
    """One process for each GPU, as long as the batch can be shared evenly: the batch of a step stays what was asked
    for, whatever the hardware."""
    most = wanted or max(1, torch.cuda.device_count())
    processes = max(count for count in range(1, most + 1) if config.batch_size % count == 0)
    shared = asdict(config) | {"batch_size": config.batch_size // processes}
    return TrainConfig(**shared), processes


def _forget_other_batches(folder: Path, config: TrainConfig, context: Context) -> None:
    """A checkpoint of another number of GPUs cannot be gone on from: its images came in other batches."""
    path = folder / CHECKPOINT
    if not path.exists():
        return
    try:
        there = load_checkpoint(path)["identity"]["train"]["batch_size"]
    except (CheckpointError, KeyError) as error:
        reason = str(error)
    else:
        if there == config.batch_size:
            return
        reason = f"the checkpoint is of {there} images a process, here are {config.batch_size}"
    context.log(f"The run starts over: {reason}.", "warning")
    for name in (CHECKPOINT, BEST, JOURNAL):
        (folder / name).unlink(missing_ok=True)


def _finished_epochs(folder: Path) -> int:
    path = folder / CHECKPOINT
    return int(load_checkpoint(path)["epoch"]) if path.exists() else 0


class RunHooks:
    """Turns what training says into rows."""

    def __init__(self, job: dict[str, Any], folder: Path, processes: int, context: Context) -> None:
        self._job, self._folder, self._processes, self._context = job, folder, processes, context
        self._reported = self._kept = time.monotonic()
        self._sums: dict[str, float] = {}
        self._steps: list[list[float]] = []
        self._last: StepStats | None = None
        self.memory = peak_memory() if processes == 1 else None  # told by the processes otherwise

    def repeat(self, epochs: int) -> None:
        """Report the epochs that earlier attempts finished."""
        path = self._folder / JOURNAL
        lines = path.read_text().splitlines() if path.exists() else []
        for line in lines:
            try:
                row = json.loads(line)
            except ValueError:  # cut off in the middle: its epoch is not in the checkpoint either
                continue
            if row["epoch"] <= epochs:
                self._context.row(row)
        self._context.progress(epochs)

    def step(self, stats: StepStats) -> None:
        if self._last is None or stats.epoch != self._last.epoch:
            self._sums, self._steps = {}, []
        self._last = stats
        for name, value in stats.losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._steps.append([stats.step, round(stats.loss, 5)])
        self._context.alive()
        now = time.monotonic()
        if now - self._reported < _REPORT_SECONDS:
            return
        speed = stats.images_per_second * self._processes
        values = {
            "epoch": stats.epoch,
            "epochs": self._job["train"]["epochs"],
            "step": stats.step,
            "steps": stats.steps,
            "losses": _rounded(stats.losses),
            "loss": round(stats.loss, 5),
            "images_per_second": round(speed, 2),
            "processes": self._processes,
        }
        self._context.row({"is": "step", "values": values})
        self._context.metrics({"images_per_second": speed}, now - self._reported)
        self._reported = now

    def epoch(self, stats: EpochStats) -> None:
        assert self._last is not None, "an epoch has at least one step"
        steps = max(1, len(self._steps))
        if self._processes == 1:
            self.memory = peak_memory()
        values = {
            "loss": round(stats.loss, 5),
            "losses": _rounded({name: total / steps for name, total in self._sums.items()}),
            "images_per_second": round(self._last.images_per_second * self._processes, 2),
            "learning_rate": self._last.learning_rate,
            "memory": self.memory,
            "batch": self._job["train"]["batch_size"] // self._processes,
            **_mean_ap(stats),
            "best": stats.best,
            "gates": {name: [list(asdict(row).values()) for row in rows] for name, rows in stats.gates.items()},
            "steps": self._steps[:: -(-steps // _STEPS_KEPT)],
        }
        row = {"is": "epoch", "epoch": stats.epoch, "values": values}
        with (self._folder / JOURNAL).open("a") as journal:
            journal.write(f"\n{json.dumps(row)}\n")  # on a line of its own, whatever an attempt that died left
            journal.flush()
            os.fsync(journal.fileno())
        self._context.row(row)
        self._context.progress(stats.epoch)
        if time.monotonic() - self._kept > _KEEP_SECONDS and (self._folder / CHECKPOINT).exists():
            self._kept = time.monotonic()
            self._context.artifact(
                self._folder / CHECKPOINT, f"last-{self._job['slug']}.pt", "application/octet-stream"
            )

    def cancelled(self) -> bool:
        return self._context.cancelled


def _mean_ap(stats: EpochStats) -> dict[str, float | None]:
    """Over the validation angles."""
    found = [each.result.overall for each in stats.angles]
    means: dict[str, float | None] = {}
    for name in ("ap", "ap50", "ap75"):
        values = [value for each in found if (value := getattr(each, name)) is not None]
        means[name] = round(sum(values) / len(values), 5) if values else None
    return means


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 5) for name, value in values.items()}
