"""Do ellipse labels and the RU loss help on real images? python -m benchmarks.detection_rotation (docs/detection.md)

    ... run results.jsonl --data nuclei=PATH --data doom=PATH --gpus 2 --per-gpu 6 --seconds 500
    ... report results.jsonl

Five methods and another delta, two architectures and three seeds for each data set (a folder with train and val in
COCO's form), one budget for all. `run` trains what is not in the file yet, several at a time on each GPU, and adds a
line as each ends; it can be called again. Truth comes from turned masks.
"""

from __future__ import annotations

import argparse
import dataclasses
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
from itertools import product
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

    def epoch(self, stats: EpochStats) -> None:
        self.result = stats

    def cancelled(self) -> bool:
        return False


def run_job(job: Job, sets: tuple[Dataset, Dataset], loaders: tuple[Loader, Loader], options: Any, gpu: int) -> None:
    """In a process of its own; adds one line to the file."""
    begin = time.perf_counter()
    device = f"cuda:{gpu}" if options.gpus else "cpu"
    if options.gpus:
        torch.cuda.set_device(gpu)
    heard = Listener()
    try:
        with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
            train(
                job.model(len(sets[0].classes), options.weights),
                job.budget(),
                *sets,
                folder=Path(folder),
                device=device,
                hooks=heard,
                loaders=loaders,
            )
    except Exception:
        print(f"{job} failed:\n{traceback.format_exc()[-2000:]}", flush=True)
        return
    assert heard.result is not None
    gates = heard.result.gates["box"]
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
        "step_ms": 1000 * statistics.median(b - a for a, b in zip(heard.ends[20:], heard.ends[21:], strict=False)),
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


def run(options: Any) -> None:
    torch.set_num_threads(1)
    stop = time.perf_counter() + options.seconds
    folders = dict(each.split("=", 1) for each in options.data)
    jobs = [each for each in all_jobs(folders, options.seeds) if each not in finished(options.results)]
    if options.only:
        jobs = [each for each in jobs if options.only in f"{each.data}-{each.architecture}-{each.method}-{each.seed}"]
    if options.backwards:
        jobs.reverse()
    prepared = {
        name: prepare(Path(folder), options.passes)
        for name, folder in folders.items()
        if any(j.data == name for j in jobs)
    }
    fork = multiprocessing.get_context("fork")
    running: list[tuple[BaseProcess, int]] = []
    slots = [gpu for _ in range(options.per_gpu) for gpu in range(max(1, options.gpus))]
    longest, begun = 0.0, {}
    while (jobs or running) and time.perf_counter() < stop:
        while jobs and slots and time.perf_counter() + longest < stop:
            job = jobs.pop(0)
            if job in finished(options.results):  # by another process that writes to the file
                continue
            gpu = slots.pop(0)
            sets, loaders = prepared[job.data]
            process = fork.Process(target=run_job, args=(job, sets, loaders, options, gpu))
            process.start()
            begun[process.pid] = time.perf_counter()
            running.append((process, gpu))
        time.sleep(0.1)
        for each in [each for each in running if not each[0].is_alive()]:
            longest = max(longest, time.perf_counter() - begun[each[0].pid])
            slots.append(each[1])
            running.remove(each)
        if not running and time.perf_counter() + longest >= stop:
            break
    for process, _ in running:
        process.terminate()
    print(f"{len(jobs) + len(running)} left", flush=True)


def finished(results: Path) -> set[Job]:
    names = [field.name for field in dataclasses.fields(Job)]
    return {Job(*(each[name] for name in names)) for each in read([results])}


def prepare(folder: Path, passes: int) -> tuple[tuple[Dataset, Dataset], tuple[Loader, Loader]]:
    """The sets, training images `passes` times, and loaders that hold them decoded, which forked processes share."""
    begin = time.perf_counter()
    once, val_set = load_dataset(folder).train_val()
    sets = once.subset([index for _ in range(passes) for index in range(len(once))]), val_set
    loaders = Loader(sets[0], SIZE), Loader(sets[1], SIZE)
    for count, loader in zip((len(once), len(val_set)), loaders, strict=True):
        for _ in loader.batches([range(at, min(at + BATCH, count)) for at in range(0, count, BATCH)]):
            pass
    print(f"{folder.name}: {len(once)} + {len(val_set)} images in {time.perf_counter() - begin:.0f} s", flush=True)
    return sets, loaders


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
    doing.add_argument("--passes", type=int, default=30, help="over the training images")
    doing.add_argument("--seeds", type=int, default=3)
    doing.add_argument("--gpus", type=int, default=1)
    doing.add_argument("--per-gpu", type=int, default=6)
    doing.add_argument("--seconds", type=float, default=3600)
    doing.add_argument("--backwards", action="store_true", help="last job first, to meet another process")
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
