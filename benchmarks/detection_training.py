"""Training steps of the detectors against torchvision's own loop: python -m benchmarks.detection_training

Same network (ResNet-50 with a feature pyramid, all layers trained), batch 16, 512 px, bf16 autocast, 20 boxes in each
image, one GPU, same run. Needs a GPU; --data names a folder with a COCO data set for the share of time in which the
GPU is busy while images are decoded. Each detector has a process of its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks._machine import measure_machine, median_seconds
from benchmarks._report import Row, write_report
from engine.detection import ModelConfig, StepStats, TrainConfig, build_model, train
from engine.detection.batch import Batch
from engine.detection.data import Dataset, Record, load_dataset
from engine.detection.data.types import Instance
from engine.detection.loader import Loader
from engine.detection.models import Architecture
from engine.detection.step import TrainStep, room_for
from engine.detection.targets import Targets
from engine.detection.training_types import EpochStats

SIZE, BATCH, BOXES, CLASSES = 512, 16, 20, 90
ARCHITECTURES: tuple[Architecture, ...] = ("retinanet", "fcos", "faster_rcnn")
STEPS, WARM_UP = 45, 15
# as torchvision's own models have them
_PYRAMID = {
    "retinanet": {"finest_stride": 8},
    "fcos": {"finest_stride": 8},
    "faster_rcnn": {"finest_stride": 4, "anchor_scale": 8.0, "rois_per_image": 512},
}


def model_config(architecture: Architecture, delta: float | None = None) -> ModelConfig:
    return ModelConfig(
        architecture, CLASSES, SIZE, backbone="resnet50", pretrained=False, delta=delta, **_PYRAMID[architecture]
    )


def random_batch(seed: int) -> Batch:
    """On the host, as a loader gives it."""
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(BATCH * BOXES, 2, generator=generator) * SIZE * 0.7
    sides = 16 + torch.rand(BATCH * BOXES, 2, generator=generator) * SIZE * 0.3
    return Batch(
        images=torch.randint(0, 256, (BATCH, 3, SIZE, SIZE), dtype=torch.uint8, generator=generator),
        boxes=torch.cat((low, (low + sides).clamp(max=SIZE - 1)), 1),
        labels=torch.randint(1, CLASSES + 1, (BATCH * BOXES,), generator=generator),
        crowd=torch.zeros(BATCH * BOXES, dtype=torch.bool),
        owner=torch.arange(BATCH).repeat_interleave(BOXES),
        outlines=None,
        angles=torch.zeros(BATCH),
        names=tuple(f"random-{index}" for index in range(BATCH)),
    )


class RandomImages:
    """Takes the place of a loader: a few batches in page-locked memory, again and again."""

    def __init__(self) -> None:
        self._batches = [random_batch(seed).pin() for seed in range(4)]

    def batches(self, indices: Sequence[Sequence[int]]) -> Iterator[Batch]:
        for number, _ in enumerate(indices):
            yield self._batches[number % len(self._batches)]


class Clock:
    """Hooks that note when steps end. Reading a step's losses waits for it, so the differences are its time."""

    def __init__(self) -> None:
        self.ends: list[float] = [time.perf_counter()]

    def step(self, stats: StepStats) -> None:
        self.ends.append(time.perf_counter())

    def epoch(self, stats: EpochStats) -> None: ...

    def cancelled(self) -> bool:
        return len(self.ends) > STEPS

    @property
    def rate(self) -> float:
        return BATCH * (len(self.ends) - 1 - WARM_UP) / (self.ends[-1] - self.ends[WARM_UP])


def ours(architecture: Architecture, delta: float | None) -> dict[str, float]:
    """The whole step of `train`: copy to the GPU, mirroring, rotation, labels, losses, clipping, AdamW, average."""
    clock, loader = Clock(), RandomImages()
    things = (Instance((0.0, 0.0, 9.0, 9.0), 1),) * BOXES  # only counted: boxes come from the batches
    nothing = tuple(Record(f"{index}", SIZE, SIZE, things) for index in range(2 * STEPS * BATCH))
    dataset = Dataset(Path(), tuple(f"{k}" for k in range(CLASSES)), nothing)
    with tempfile.TemporaryDirectory() as folder:
        train(
            model_config(architecture, delta),
            TrainConfig(rule="ellipse", epochs=1, batch_size=BATCH, precision="bf16"),
            dataset,
            dataset,
            folder=Path(folder),
            device="cuda",
            hooks=clock,
            loaders=(loader, loader),  # type: ignore[arg-type]
        )
    return {
        "rate": clock.rate,
        "start": clock.ends[3] - clock.ends[0],  # with the first step as it is, and the capture
        "memory": torch.cuda.max_memory_allocated() / 2**30,
    }


def reference(architecture: Architecture) -> dict[str, float]:
    """torchvision's loop (references/detection/engine.py) around its own models, images and targets on the GPU."""
    from torchvision.models import detection

    make = {
        "retinanet": detection.retinanet_resnet50_fpn,
        "fcos": detection.fcos_resnet50_fpn,
        "faster_rcnn": detection.fasterrcnn_resnet50_fpn,
    }[architecture]
    model = make(weights=None, weights_backbone=None, trainable_backbone_layers=5, min_size=SIZE, max_size=SIZE)
    model.cuda().train()
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
    inputs = []
    for seed in range(4):
        batch = random_batch(seed)
        parts = zip(batch.boxes.split(BOXES), batch.labels.split(BOXES), strict=True)  # type: ignore[no-untyped-call]
        inputs.append(
            (
                [image.cuda().float() / 255 for image in batch.images],
                [{"boxes": boxes.cuda(), "labels": labels.cuda()} for boxes, labels in parts],
            )
        )
    torch.cuda.reset_peak_memory_stats()
    for step in range(STEPS):
        if step == WARM_UP:
            torch.cuda.synchronize()
            start = time.perf_counter()
        images, targets = inputs[step % len(inputs)]
        with torch.autocast("cuda", torch.bfloat16):
            losses = model(images, targets)
            total = sum(losses.values())
        if not torch.isfinite(total).item():  # as the loop does in each step
            raise RuntimeError(f"the reference's loss is not a number at step {step}")
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
    torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    return {
        "rate": BATCH * (STEPS - WARM_UP) / seconds,
        "memory": torch.cuda.max_memory_allocated() / 2**30,
    }


def captured(architecture: Architecture) -> dict[str, float]:
    """The captured step on one fixed batch that is on the GPU."""
    step, images, targets = _on_gpu(architecture, capture=True)
    return {"rate": BATCH / median_seconds(lambda: step(images, targets), runs=20, warm_up=5)}


def floor(architecture: Architecture) -> dict[str, float]:
    """The operations of forward and backward at the measured matrix rate."""
    step, images, targets = _on_gpu(architecture, capture=False)
    with FlopCounterMode(display=False) as counter:
        step(images, targets)
    return {"operations": BATCH * measure_machine().matrix_rate / counter.get_total_flops()}


def _on_gpu(architecture: Architecture, *, capture: bool) -> tuple[TrainStep, Tensor, Targets]:
    model = build_model(model_config(architecture)).cuda().to(memory_format=torch.channels_last).train()
    batch = random_batch(0)
    room = room_for(batch.most_objects())
    batch = batch.to("cuda")
    step = TrainStep(model, torch.device("cuda"), bf16=True, capture=capture)
    return step, batch.images.contiguous(memory_format=torch.channels_last), batch.targets(room=room)


def busy(architecture: Architecture, data: Path, cached: bool) -> dict[str, float]:
    """The share of time in which a kernel or copy runs: its seconds a step from a profile of 16 steps, over the time of
    a step in the 30 before, which no profile slows down. Each image is decoded for its step, unless `cached`."""
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    timed, profiled = 30, 16
    train_set, _ = load_dataset(data).train_val()
    images = [index % len(train_set) for index in range(BATCH * (WARM_UP + timed + profiled + 4))]
    profiler = profile(activities=[ProfilerActivity.CUDA])

    class Window(Clock):
        def step(self, stats: StepStats) -> None:
            super().step(stats)
            if stats.step == WARM_UP + timed:
                profiler.start()
            if stats.step == WARM_UP + timed + profiled:
                profiler.stop()

        def cancelled(self) -> bool:
            return len(self.ends) > WARM_UP + timed + profiled + 1

    window = Window()
    many = train_set.subset(images)
    loader = Loader(many, SIZE, pin=True, outlines=False, **({} if cached else {"cache_bytes": 0}))
    if cached:
        loader.fill()
    config = dataclasses.replace(model_config(architecture), classes=len(train_set.classes))
    with tempfile.TemporaryDirectory() as folder:
        train(
            config,
            TrainConfig(rule="ellipse", epochs=1, batch_size=BATCH, precision="bf16"),
            many,
            many,
            folder=Path(folder),
            device="cuda",
            hooks=window,
            loaders=(loader, loader),
        )
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in profiler.events() or ()
        if event.device_type == DeviceType.CUDA
    )
    covered, until = 0.0, spans[0][0]
    for start, end in spans:
        covered += max(0.0, end - max(start, until))
        until = max(until, end)
    seconds = (window.ends[WARM_UP + timed] - window.ends[WARM_UP]) / timed
    return {"share": covered / 1e6 / profiled / seconds, "rate": BATCH / seconds}


def part(name: str, *arguments: str, limit: int = 150) -> Iterator[dict[str, Any]]:
    """Measurements of one process, each as it ends: who fails or takes too long loses only what comes after."""
    command = [sys.executable, "-m", "benchmarks.detection_training", "--part", name, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        timer = threading.Timer(limit, process.kill)
        timer.start()
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                print(f"{name} {' '.join(arguments)}: {line.strip()}", flush=True)
                yield json.loads(line)
        timer.cancel()
    if process.returncode:
        print(f"{name} {' '.join(arguments)} ended with {process.returncode}, or took over {limit} s", flush=True)


def steps(architecture: Architecture) -> Iterator[dict[str, Any]]:
    """All ways to train one detector, one after the other in one process."""
    for name, measure in (
        ("reference", lambda: reference(architecture)),
        ("plain", lambda: ours(architecture, None)),
        ("ru", lambda: ours(architecture, 10.0)),
        ("captured", lambda: captured(architecture)),
        ("floor", lambda: floor(architecture)),
    ):
        yield {"is": name, **measure()}
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def step_rows(architecture: Architecture, found: dict[str, dict[str, float]]) -> Iterator[Row]:
    """The rows for what has been measured of one detector."""
    theirs, plain = found.get("reference"), found.get("plain")
    if theirs is None or plain is None:
        return
    peers = {"torchvision's loop": theirs["rate"]}
    floor = found["floor"]["operations"] if "floor" in found else None
    yield Row(architecture, "training step", "images/s", plain["rate"], floor, peers, f">= {2 * theirs['rate']:.0f}")
    if gated := found.get("ru"):
        slowest = f">= {0.97 * plain['rate']:.0f}"
        yield Row(architecture, "training step with the RU loss", "images/s", gated["rate"], floor, peers, slowest)
    if alone := found.get("captured"):
        yield Row(architecture, "captured losses and gradients alone", "images/s", alone["rate"])
    yield Row(architecture, "first three steps, capture included", "s", plain["start"])
    memory = {"torchvision's loop": theirs["memory"]}
    yield Row(architecture, "peak GPU memory", "GiB", plain["memory"], peers=memory)


def measure(data: Path | None, architectures: Sequence[Architecture]) -> None:
    """Writes the report anew after each measurement."""
    done: list[Row] = []
    if data is not None:
        for way in ("decoded", "kept"):
            for found in part("busy", "retinanet", str(data), way):
                case = f"retinanet, images {way}"
                done.append(Row(case, "GPU busy", "%", 100 * found["share"], goal="> 85"))
                done.append(Row(case, "training step", "images/s", found["rate"]))
                report(done)
    for architecture in architectures:
        measured: dict[str, dict[str, float]] = {}
        rows: list[Row] = []
        for found in part("steps", architecture):
            measured[found.pop("is")] = found
            rows = list(step_rows(architecture, measured))
            report([*rows, *done])
        done = [*rows, *done]


def report(rows: list[Row]) -> None:
    write_report(
        "detection-training",
        "Detector training steps",
        rows,
        packages=["torch", "torchvision", "triton"],
        notes=(
            f"Batch {BATCH} at {SIZE} px, {BOXES} boxes in each image, ResNet-50 with a feature pyramid, bf16, "
            "all layers trained, one GPU. Ours is the whole step of `train` (copy to the GPU, mirroring, rotation and "
            "labels, losses, clipping, AdamW, moving average); torchvision's loop has images and targets on the GPU, "
            "and SGD. GPU busy: real images, decoded for each step or kept in memory. Floor: the operations of forward "
            "and backward at the measured bf16 matrix rate."
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--only", nargs="+", choices=ARCHITECTURES, default=ARCHITECTURES)
    options = parser.parse_args()
    if not options.part:
        measure(options.data, options.only)
        return
    name, architecture, *more = options.part
    measured = [busy(architecture, Path(more[0]), more[1] == "kept")] if name == "busy" else steps(architecture)
    for found in measured:
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
