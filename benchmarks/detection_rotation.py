"""Do ellipse labels and the RU loss help on real images? python -m benchmarks.detection_rotation (docs/detection.md)

    ... run results.jsonl --data nuclei=PATH --data doom=PATH --gpus 2 --per-gpu 8 --seconds 500
    ... report results.jsonl

Five methods and another delta, two architectures and three seeds for each data set (a folder with train and val in
COCO's form), one budget for all. `run` trains what is not in the file yet, several at a time on each GPU, and adds a
line as each ends; it can be called again. Truth comes from turned masks.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import gc
import json
import multiprocessing
import os
import statistics
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from benchmarks._report import Row, write_report
from engine.detection import EpochStats, ModelConfig, StepStats, TrainConfig, train
from engine.detection.data import Dataset, load_dataset
from engine.detection.loader import Loader
from engine.detection.models import Architecture

SIZE, BATCH = 256, 16
ANGLES = (0.0, 10.0, 20.0, 30.0, 40.0)
ARCHITECTURES: tuple[Architecture, ...] = ("retinanet", "faster_rcnn")
METHODS = {
    "none": ("none", None),
    "largest": ("largest", None),
    "ellipse": ("ellipse", None),
    "ellipse+RU": ("ellipse", 10.0),
    "ellipse+RU, delta 45": ("ellipse", 45.0),
    "perfect": ("perfect", None),
}
DETECTIONS = {"nuclei": 300, "doom": 100}  # looked at in each image: fields of nuclei are crowded


@dataclass(frozen=True, slots=True)
class Job:
    data: str
    architecture: Architecture
    method: str
    seed: int

    def model(self, classes: int, weights: str | None) -> ModelConfig:
        return ModelConfig(
            self.architecture,
            classes,
            SIZE,
            backbone="efficientnet_lite0",
            weights=weights,
            delta=METHODS[self.method][1],
            finest_stride=4,
            detections_per_image=DETECTIONS[self.data],
        )

    def budget(self) -> TrainConfig:
        """One epoch of many passes: the only validation is the one that is reported."""
        return TrainConfig(
            rule=METHODS[self.method][0],
            epochs=1,
            batch_size=BATCH,
            learning_rate=5e-4,
            warmup_steps=100,
            ema_decay=0.99,
            val_angles=ANGLES,
            val_max_detections=DETECTIONS[self.data],
            seed=self.seed,
        )


def all_jobs(sets: Iterable[str], seeds: int) -> list[Job]:
    """Seed by seed, so that whatever is done by the end compares all methods."""
    return [
        Job(data, architecture, method, seed)
        for data in sets
        for seed, architecture, method in product(range(seeds), ARCHITECTURES, METHODS)
    ]


class Listener:
    """Hooks that keep the losses and the one validation."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.ends = [time.perf_counter()]
        self.result: EpochStats | None = None

    def step(self, stats: StepStats) -> None:
        self.losses.append(stats.loss)
        self.ends.append(time.perf_counter())
        if stats.step == stats.steps:
            print(f"trained, {self.ends[-1] - self.ends[0]:.0f} s", flush=True)

    def epoch(self, stats: EpochStats) -> None:
        self.result = stats

    def cancelled(self) -> bool:
        return False


Prepared = dict[str, tuple[tuple[Dataset, Dataset], tuple[Loader, Loader]]]


def work(pipe: Connection, prepared: Prepared, options: Any, gpu: int) -> None:
    """In a process of its own: trains what comes through the pipe and answers after each, until a training fails."""
    while (job := pipe.recv()) is not None:
        try:
            run_job(job, *prepared[job.data], options, gpu)
        except Exception:
            print(f"{job} failed:\n{traceback.format_exc()[-2000:]}", flush=True)
            return
        gc.collect()  # the captured step and its memory
        if options.gpus:
            torch.cuda.empty_cache()
        pipe.send(True)


def run_job(job: Job, sets: tuple[Dataset, Dataset], loaders: tuple[Loader, Loader], options: Any, gpu: int) -> None:
    """Adds one line to the file."""
    begin = time.perf_counter()
    heard = Listener()
    if options.gpus:
        torch.cuda.set_device(gpu)
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        train(
            job.model(len(sets[0].classes), options.weights),
            job.budget(),
            *sets,
            folder=Path(folder),
            device=f"cuda:{gpu}" if options.gpus else "cpu",
            hooks=heard,
            loaders=loaders,
        )
    assert heard.result is not None
    gates = heard.result.gates["box"]
    later = heard.ends[len(heard.ends) // 2 :]
    line = {
        **dataclasses.asdict(job),
        "angles": {f"{at.angle:g}": dataclasses.astuple(at.result.overall) for at in heard.result.angles},
        "exact": all(at.exact for at in heard.result.angles),
        "by_class_20": {
            name: dataclasses.astuple(ap)
            for at in heard.result.angles
            if at.angle == 20
            for name, ap in at.result.by_class.items()
        },
        "gated": [[row.low, row.positives, row.regressed] for row in gates],
        "steps": len(heard.losses),
        "loss": [statistics.mean(heard.losses[:20]), statistics.mean(heard.losses[-20:])],
        "train_seconds": heard.ends[-1] - heard.ends[0],
        "step_ms": 1000 * statistics.median(b - a for a, b in pairwise(later)),
        "seconds": time.perf_counter() - begin,
        "gpu": torch.cuda.get_device_name(gpu) if options.gpus else "cpu",
    }
    with options.results.open("a") as file:
        file.write(json.dumps(line) + "\n")
    values = " ".join(f"{angle}: {ap[2] or 0:.3f}" for angle, ap in line["angles"].items())
    print(
        f"{job.data} {job.architecture} {job.method} {job.seed}: AP75 {values}; {line['train_seconds']:.0f} of "
        f"{line['seconds']:.0f} s, {line['step_ms']:.1f} ms a step, loss {line['loss'][1]:.3f}",
        flush=True,
    )


@dataclass(slots=True)
class Worker:
    """A process on a GPU and what it is training."""

    process: BaseProcess
    pipe: Connection
    gpu: int
    job: Job | None = None
    begun: float = 0.0


def start_worker(prepared: Prepared, options: Any, gpu: int) -> Worker:
    """Forked, so that decoded images are shared."""
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    process = fork.Process(target=work, args=(theirs, prepared, options, gpu), daemon=True)
    process.start()
    theirs.close()
    return Worker(process, ours, gpu)


def run(options: Any) -> None:
    torch.set_num_threads(1)
    stop = time.perf_counter() + options.seconds
    folders = dict(each.split("=", 1) for each in options.data)
    jobs = [each for each in all_jobs(folders, options.seeds) if each not in finished(options.results)]
    if options.only:
        jobs = [each for each in jobs if options.only in f"{each.data}-{each.architecture}-{each.method}-{each.seed}"]
    needed = {each.data for each in jobs}
    prepared = {name: prepare(Path(folder), options) for name, folder in folders.items() if name in needed}
    slots = [gpu for _ in range(options.per_gpu) for gpu in range(max(1, options.gpus))]
    workers = [start_worker(prepared, options, gpu) for gpu, _ in zip(slots, jobs, strict=False)]
    longest, failed = 0.0, 0
    while True:
        for worker in workers:
            if worker.job is None and jobs and time.perf_counter() + longest < stop:
                worker.job, worker.begun = jobs.pop(0), time.perf_counter()
                with contextlib.suppress(BrokenPipeError):  # a dead one shows below
                    worker.pipe.send(worker.job)
        busy = [each for each in workers if each.job is not None]
        ready = wait([each.pipe for each in busy], max(0.0, stop - time.perf_counter())) if busy else []
        if not ready:  # nothing left, or no time
            break
        for worker in [each for each in busy if each.pipe in ready]:
            try:
                worker.pipe.recv()
                longest = max(longest, time.perf_counter() - worker.begun)
                worker.job = None
            except (EOFError, ConnectionResetError):  # the process failed, or was killed
                failed += 1
                workers[workers.index(worker)] = start_worker(prepared, options, worker.gpu)
    for worker in workers:
        worker.process.kill()
    print(f"{len(jobs) + sum(each.job is not None for each in workers) + failed} left, {failed} failed", flush=True)


def finished(results: Path) -> set[Job]:
    names = [field.name for field in dataclasses.fields(Job)]
    return {Job(*(each[name] for name in names)) for each in read([results])}


def prepare(folder: Path, options: Any) -> tuple[tuple[Dataset, Dataset], tuple[Loader, Loader]]:
    """The sets, training images as often as there are steps, and loaders that hold them decoded."""
    begin = time.perf_counter()
    once, val_set = load_dataset(folder).train_val()
    sets = once.subset(index % len(once) for index in range(options.steps * BATCH)), val_set
    loaders = tuple(Loader(each, SIZE, threads=4, pin=bool(options.gpus)) for each in sets)
    for loader in loaders:
        loader.fill()
    print(f"{folder.name}: {len(once)} + {len(val_set)} images in {time.perf_counter() - begin:.0f} s", flush=True)
    return sets, (loaders[0], loaders[1])


def read(files: Iterable[Path]) -> list[dict[str, Any]]:
    lines = [json.loads(line) for file in files if file.exists() for line in file.read_text().splitlines()]
    return list({(each["data"], each["architecture"], each["method"], each["seed"]): each for each in lines}.values())


def rows(results: list[dict[str, Any]]) -> Iterator[Row]:
    """Mean over the seeds by angle, the spread beside it."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for each in sorted(results, key=lambda each: (each["data"] != "nuclei", each["architecture"] != "retinanet")):
        groups[each["data"], each["architecture"], each["method"]].append(each)
    ordered = sorted(groups, key=lambda key: (key[0] != "nuclei", key[1] != "retinanet", list(METHODS).index(key[2])))
    for data, architecture, method in ordered:
        seeds = groups[data, architecture, method]
        for angle in seeds[0]["angles"]:
            for index, metric in ((0, "AP"), (1, "AP50"), (2, "AP75")):
                values = [100 * (each["angles"][angle][index] or 0) for each in seeds]
                yield Row(
                    f"{data}, {architecture}, {method}",
                    f"{metric} at {angle} degrees",
                    "%",
                    statistics.mean(values),
                    peers={"seeds": len(values)}
                    | ({"standard deviation": statistics.stdev(values)} if len(values) > 1 else {}),
                )


def main() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    doing = commands.add_parser("run")
    doing.add_argument("results", type=Path)
    doing.add_argument("--data", action="append", required=True, help="NAME=FOLDER")
    doing.add_argument("--weights", help="of the backbone; the package's if left out")
    doing.add_argument("--steps", type=int, default=996, help=f"of {BATCH} images, of each training")
    doing.add_argument("--seeds", type=int, default=3)
    doing.add_argument("--gpus", type=int, default=1)
    doing.add_argument("--per-gpu", type=int, default=8)
    doing.add_argument("--seconds", type=float, default=3600)
    doing.add_argument("--scratch", default="/dev/shm" if os.path.isdir("/dev/shm") else None)  # noqa: PTH112
    doing.add_argument("--only", default="", help="jobs whose name holds this, as in nuclei-retinanet-none-0")
    telling = commands.add_parser("report")
    telling.add_argument("results", type=Path, nargs="+")
    options = parser.parse_args()
    if options.command == "run":
        run(options)
        return
    results = read(options.results)
    write_report(
        "detection-rotation",
        "Rotation: label rules and the RU loss on real images",
        list(rows(results)),
        packages=["torch", "torchvision", "faster-coco-eval"],
        notes=f"{len(results)} trainings of {len(all_jobs(DETECTIONS, 3))}; the lines they wrote are beside this file.",
    )


if __name__ == "__main__":
    main()
