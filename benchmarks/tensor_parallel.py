"""One model over all GPUs of a host beside one of them alone: python -m benchmarks.tensor_parallel"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks._gpu import prompt_tokens, random_model, run_call
from benchmarks._machine import measure_machine
from benchmarks._report import Row, write_report
from engine.models.parallel import Group
from engine.sampling import Engine, Request, SamplingParams

SHAPE, SAMPLES, PREFIX, NEW = "CodeLlama-13B", (64, 256, 512), 1024, 64
NOTES = (
    f"{SHAPE} shape, one prompt of {PREFIX} tokens, {NEW} new tokens a sample; random bf16 weights, NCCL between "
    "processes, one a GPU. Decode tokens/s, one run after a short one. On one GPU: the same, on one of these GPUs."
)


def main() -> None:
    if len(sys.argv) > 1:
        worker(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
        return
    gpus = torch.cuda.device_count()
    measured = {size: spawn(size) for size in (1, gpus)}
    machine = measure_machine()
    rows = [Row("machine", "copy bandwidth of a GPU", "TB/s", machine.bandwidth / 1e12)]
    for samples in map(str, SAMPLES):
        case = f"{SHAPE}, {samples} samples"
        one, all_of_them = measured[1].get(samples), measured[gpus][samples]
        peers = {} if one is None else {"one GPU": one}
        rows.append(Row(case, f"decode on {gpus} GPUs", "tokens/s", all_of_them, peers=peers))
        if one is not None:
            rows.append(Row(case, f"{gpus} GPUs / one", "x", all_of_them / one))
    write_report("tensor-parallel", "One model over several GPUs", rows, packages=["torch", "triton"], notes=NOTES)


def spawn(size: int) -> dict[str, float]:
    """Rates by number of samples, of `size` processes that share the model."""
    with TemporaryDirectory() as folder:
        processes = [
            subprocess.Popen([sys.executable, "-m", "benchmarks.tensor_parallel", str(rank), str(size), folder])
            for rank in range(size)
        ]
        codes = [process.wait(timeout=300) for process in processes]
        if any(codes):
            raise RuntimeError(f"{size} processes ended with {codes}")
        found: dict[str, float] = json.loads((Path(folder) / "rates.json").read_text())
        return found


def worker(rank: int, size: int, folder: str) -> None:
    torch.cuda.set_device(rank)
    group = Group() if size == 1 else Group.join(rank, size, f"file://{folder}/meet", torch.device("cuda", rank))
    model = random_model(SHAPE, group=group)
    engine = Engine(model, max_batch=max(SAMPLES), group=group)
    root = prompt_tokens(PREFIX, 0, model.shape.vocabulary)
    rates = {}
    for samples in SAMPLES:
        if engine.kv_budget < PREFIX + samples * NEW * 1.1:
            continue
        request = Request(0, (), tuple(range(samples)))
        run_call(engine, root, [request], SamplingParams(temperature=1.0, max_tokens=4))
        rates[samples] = run_call(engine, root, [request], SamplingParams(temperature=1.0, max_tokens=NEW)).decode_rate
        if rank == 0:
            print(f"{size} GPUs, {samples} samples: {rates[samples]:,.0f} tokens/s", flush=True)
    if rank == 0:
        (Path(folder) / "rates.json").write_text(json.dumps(rates))
    sys.stdout.flush()
    os._exit(0)  # where CUDA graphs hold NCCL work, leaving the group hangs, and so does the interpreter's clean-up


if __name__ == "__main__":
    main()
