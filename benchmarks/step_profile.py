"""Where the microseconds of one decode step go, by part: python -m benchmarks.step_profile"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import torch

from benchmarks._gpu import prompt_tokens, random_model, step_floor
from benchmarks._machine import free_memory, measure_machine
from benchmarks._report import Row, write_report
from engine.sampling import Engine, Request, SamplingParams

# shape -> samples, prefix tokens; the step looked at has PLACE own tokens a sample.
CELLS = {"CodeLlama-13B": (512, 2048), "Llama-3-8B": (1024, 1024), "Llama-3.2-1B": (1024, 1024)}
PLACE, STEPS = 64, 8
# Part -> pieces of the names of its kernels; the first match counts.
PARTS = {
    "attention over nodes": ("prefix_kernel",),
    "attention over suffixes": ("suffix_kernel",),
    "attention merge": ("reduce_kernel",),
    "draw": ("_scan", "_settle"),
    "matrix products": ("gemm", "nvjet", "cutlass", "cublas", "xmma", "splitK"),
    "norms, positions, append, activation": ("_kernel",),
}
OTHER = "other kernels"
NOTES = (
    f"Mean over {STEPS} steps around token {PLACE} of each sample, from the CUDA profiler; the step's own time was "
    "taken without it. gaps: the step minus all kernels; negative, because kernels run side by side. floor: that of "
    "the whole step."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", nargs="*", default=list(CELLS))
    rows: list[Row] = []
    for name in parser.parse_args().shapes:
        rows += profile(name)
        free_memory()
        write_report("step-profile", "One decode step by part", rows, packages=["torch", "triton"], notes=NOTES)


def profile(name: str) -> list[Row]:
    machine = measure_machine()
    model = random_model(name)
    batch, prefix = CELLS[name]
    engine = Engine(model, max_batch=batch)
    root = prompt_tokens(prefix, 0, model.shape.vocabulary)
    request = Request(0, (), tuple(range(batch)))
    params = SamplingParams(temperature=1.0, max_tokens=PLACE + STEPS + 8)
    stamps: list[float] = []
    for _ in range(2):  # the first call compiles
        stamps.clear()
        list(engine.generate(root, [request], params, on_step=lambda _: stamps.append(time.perf_counter())))
    near = [b - a for a, b in zip(stamps[PLACE : PLACE + STEPS], stamps[PLACE + 1 : PLACE + STEPS + 1], strict=True)]
    step = statistics.median(near) * 1e6
    profiler: Any = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA])
    steps = 0

    def watch(_: object) -> None:
        nonlocal steps
        steps += 1
        if steps == PLACE:
            torch.cuda.synchronize()
            profiler.start()
        if steps == PLACE + STEPS:
            torch.cuda.synchronize()
            profiler.stop()

    list(engine.generate(root, [request], params, on_step=watch))
    spent = dict.fromkeys([*PARTS, OTHER], 0.0)
    others: dict[str, float] = {}
    for event in profiler.key_averages():
        microseconds = getattr(event, "self_device_time_total", 0.0) / STEPS
        part = next((each for each, pieces in PARTS.items() if any(piece in event.key for piece in pieces)), OTHER)
        part = OTHER if "at::" in event.key else part  # torch's own have long names that hold anything
        spent[part] += microseconds
        if part == OTHER and microseconds > 0:
            others[event.key[:90]] = microseconds
    print(f"{name}: {step:.0f} us a step; others: {sorted(others.items(), key=lambda each: -each[1])[:8]}", flush=True)
    floor = step_floor(
        model.shape, machine, rows=batch, node_tokens=prefix, path_tokens=batch * prefix, suffix=PLACE + STEPS / 2
    )
    case = f"{name}, {batch} samples, prefix {prefix}"
    rows = [Row(case, "step", "us", step, floor * 1e6)]
    rows += [Row(case, part, "us", microseconds) for part, microseconds in spent.items()]
    rows.append(Row(case, "gaps", "us", step - sum(spent.values())))
    return rows


if __name__ == "__main__":
    main()
