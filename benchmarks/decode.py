"""Decoding many samples of one prompt on a GPU, beside transformers and no attention: python -m benchmarks.decode

Random weights of the stated shapes, the end token ignored, fixed lengths. With --quick fewer cells and one run each.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig

from benchmarks._gpu import prompt_tokens, random_model, run_call, step_floor
from benchmarks._machine import Machine, free_memory, measure_machine, median_seconds
from benchmarks._report import Row, write_report
from engine.models import Model
from engine.models.attention import ATTENTION_NAME
from engine.sampling import Engine, Request, SamplingParams
from engine.sampling.paged import PagedRunner

NEW = 128
# shape -> (samples, prefix tokens, the goal in tokens/s)
CELLS = {
    "CodeLlama-13B": [(512, 1024, None), (512, 2048, 14_500), (512, 16384, None)],
    "Llama-3-8B": [(1024, 1024, 31_000), (1024, 2048, None), (1024, 16384, 22_000)],
    "Llama-3.2-1B": [(1024, 1024, 140_000), (1024, 2048, None), (1024, 16384, None)],
}
PICTURE = [(batch, prefix) for prefix in (1024, 2048, 4096, 8192, 16256) for batch in (32, 64, 128, 256, 512, 1024)]
PICTURE_NEW = 32
GENERATE = (32, 1024, 16)  # samples, prompt, new tokens of the transformers peer
NOTES = (
    f"Tokens/s of decoding {NEW} new tokens a sample, all samples of one prompt whose keys and values are computed "
    f"already; the picture rows draw {PICTURE_NEW}. Random bf16 weights, temperature 1, the end token ignored, no "
    "detokenisation. 'no attention': the same step without attention, a CUDA graph replayed. floor: the step's "
    "bytes and operations at this machine's own copy bandwidth and matrix rate. transformers: generate() with "
    f"static shapes as it comes, at {GENERATE[0]} samples of {GENERATE[1]} prompt tokens, decode only; its memory "
    "does not allow the batches above."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--shapes", nargs="*", default=list(CELLS))
    parser.add_argument("--no-picture", action="store_true")
    parser.add_argument("--peers", nargs="*", default=list(CELLS), help="shapes that transformers runs too")
    arguments = parser.parse_args()
    machine = measure_machine()
    print(
        f"copy {machine.bandwidth / 1e12:.2f} TB/s, bf16 products {machine.matrix_rate / 1e12:.0f} TFLOP/s", flush=True
    )
    rows = [
        Row("machine", "copy bandwidth", "TB/s", machine.bandwidth / 1e12),
        Row("machine", "bf16 matrix products", "TFLOP/s", machine.matrix_rate / 1e12),
    ]
    for shape in arguments.shapes:
        try:
            rows += list(measure_shape(shape, machine, arguments))
        except Exception:
            traceback.print_exc()
        free_memory()
        write_report("decode", "Decoding on one GPU", rows, packages=["torch", "triton", "transformers"], notes=NOTES)


def measure_shape(name: str, machine: Machine, arguments: argparse.Namespace) -> Iterator[Row]:
    model = random_model(name)
    peers: dict[str, float] = {}
    if name in arguments.peers:
        peers |= time_transformers(model)
    engine = Engine(model, max_batch=1024)
    print(f"{name}: room for {engine.kv_budget:,} tokens", flush=True)
    ceilings = {}
    cells = [(batch, prefix, goal, NEW, 1 if arguments.quick else 3) for batch, prefix, goal in CELLS[name]]
    if name == "CodeLlama-13B" and not arguments.no_picture:
        cells += [(batch, prefix, None, PICTURE_NEW, 1) for batch, prefix in PICTURE]
    for batch, prefix, goal, new, runs in cells:
        if batch not in ceilings:
            ceilings[batch] = batch / time_no_attention(engine, batch)
        root = prompt_tokens(prefix, prefix, model.shape.vocabulary)
        request = Request(0, (), tuple(range(batch)))
        run_call(engine, root, [request], SamplingParams(temperature=1.0, max_tokens=4))  # root, graphs, kernels
        params = SamplingParams(temperature=1.0, max_tokens=new)
        timings = [run_call(engine, root, [request], params) for _ in range(runs)]
        floor = step_floor(
            model.shape, machine, rows=batch, node_tokens=prefix, path_tokens=batch * prefix, suffix=new / 2
        )
        case = f"{name}, {batch} samples, prefix {prefix}" + ("" if new == NEW else ", picture")
        value = statistics.median(timing.decode_rate for timing in timings)
        whole = statistics.median(timing.rate for timing in timings)
        held = min(timing.batch for timing in timings)
        shown = {"no attention": ceilings[batch], **peers}
        yield Row(case, "decode", "tokens/s", value, batch / floor, shown, None if goal is None else f">= {goal}")
        yield Row(case, "decode of the floor", "%", 100 * value * floor / batch)
        yield Row(case, "whole call, prompt computed", "tokens/s", whole)
        if held < batch:
            yield Row(case, "samples at once", "", held)
        print(
            f"{case}: {value:,.0f} tok/s, floor {batch / floor:,.0f}, no attention {ceilings[batch]:,.0f}", flush=True
        )


@torch.inference_mode()
def time_no_attention(engine: Engine, batch: int) -> float:
    """Seconds of the step without attention: products, norms, positions, append and draw, as one CUDA graph."""
    runner = engine._runner
    assert isinstance(runner, PagedRunner)
    list(engine.generate((), [Request(0, (5,), (0,))], SamplingParams(max_tokens=1)))  # makes the pool
    decoder, pool, device = runner._decoder, runner._pool, runner._device
    assert pool is not None
    # Different tokens in every row: equal ones let the products run faster than they ever do.
    tokens = torch.randint(3, 30_000, (batch,), device=device)
    positions = torch.zeros(batch, dtype=torch.int32, device=device)

    def attend(q: Tensor, *_: Any, **__: Any) -> Tensor:
        return q

    def step() -> None:
        hidden = decoder.hidden(tokens, positions, torch.zeros_like(tokens), pool, attend)
        runner._sampler.draw(decoder.logits(hidden), tokens, positions)

    step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return median_seconds(graph.replay, runs=10)


def time_transformers(model: Model) -> dict[str, float]:
    """Decode tokens/s of transformers on the same weights, with its own attention and caches; {} where it fails."""
    module: Any = model.module
    found = {}
    module.set_attn_implementation("sdpa")
    for name, generate in (("transformers generate", _generate), ("continuous batching", _generate_batch)):
        try:
            with time_limit(40):
                generate(model, 2)
                first, whole = generate(model, 1), generate(model, GENERATE[2] + 1)
            found[name] = GENERATE[0] * GENERATE[2] / (whole - first)
        except Exception:  # a peer that fails is left out, with its reason in the output
            traceback.print_exc()
        free_memory()
    module.set_attn_implementation(ATTENTION_NAME)
    print(f"{model.source}: {found}", flush=True)
    return found


def _generate(model: Model, new: int) -> float:
    batch, prompt, _ = GENERATE
    module: Any = model.module
    rows = torch.tensor([prompt_tokens(prompt, 1, model.shape.vocabulary)] * batch, device="cuda")
    return _seconds(
        lambda: module.generate(
            rows,
            attention_mask=torch.ones_like(rows),
            do_sample=True,
            top_k=0,
            max_new_tokens=new,
            min_new_tokens=new,
            pad_token_id=0,
        )
    )


def _generate_batch(model: Model, new: int) -> float:
    batch, prompt, _ = GENERATE
    module: Any = model.module
    rows = [list(prompt_tokens(prompt, 1, model.shape.vocabulary)) for _ in range(batch)]
    settings = GenerationConfig(max_new_tokens=new, do_sample=True, eos_token_id=-1, pad_token_id=0)
    drawn = 0

    def work() -> None:
        nonlocal drawn
        drawn = sum(
            len(each.generated_tokens) for each in module.generate_batch(rows, generation_config=settings).values()
        )

    seconds = _seconds(work)
    if drawn != batch * new:
        raise RuntimeError(f"generate_batch drew {drawn} tokens instead of {batch * new}")
    return seconds


def _seconds(work: Callable[[], Any]) -> float:
    torch.cuda.synchronize()
    begin = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - begin


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise TimeoutError(f"took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    main()
