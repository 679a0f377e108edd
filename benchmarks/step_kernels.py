"""The kernels of a decode step around its matrix products, beside their floors: python -m benchmarks.step_kernels

Needs one CUDA GPU, torch, triton and numpy. Takes under a minute. --tune times other block sizes of `draw` instead and
writes nothing.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks._report import Row, write_report
from kernels.fused import gated_activation, reference, rms_norm, rope_append
from kernels.sampling import launch
from kernels.sampling.launch import Blocks
from kernels.sampling.noise import scramble_ids

ROWS, PAGE, EPS = 1024, 32, 1e-5
TEMPERATURE = 0.8
DEFAULT = Blocks()
# Inputs are rotated until they are several times the L2 cache, so that every call reads from memory.
ROTATED_BYTES = 2**29


@dataclass(frozen=True)
class Shape:
    name: str
    width: int
    heads: int
    kv_heads: int
    size: int
    mlp: int
    vocabulary: int


SHAPES = [
    Shape("CodeLlama-13B", 5120, 40, 40, 128, 13_824, 32_016),
    Shape("Llama-3-8B", 4096, 32, 8, 128, 14_336, 128_256),
    Shape("Llama-3.2-1B", 2048, 32, 8, 64, 8192, 128_256),
]
COMPILED = "Llama-3-8B"  # torch.compile takes seconds a kernel: one shape is enough to compare
FILTERS: dict[str, dict[str, Any]] = {
    "draw": {},
    "draw, greedy": {"temperature": 0.0},
    "draw, min_p 0.05": {"min_p": 0.05},
    "draw, top_p 0.95": {"top_p": 0.95},
    "draw, top_k 20": {"top_k": 20},
    "draw, top_k 20 and top_p 0.95": {"top_k": 20, "top_p": 0.95},
}


@dataclass
class Case:
    """One kernel: `bytes` it must move at least, fresh inputs, the kernel, and the same work in plain torch."""

    metric: str
    bytes: int
    inputs: Callable[[], tuple[Any, ...]]
    kernel: Callable[..., Any]
    torch: Callable[..., Any]
    compiled: bool = True


def cases(shape: Shape, device: str, rows: int = ROWS) -> list[Case]:
    return [
        _norm(shape, device, rows),
        _rope(shape, device, rows),
        _activation(shape, device, rows),
        *(_draw(shape, device, rows, metric, **asked) for metric, asked in FILTERS.items()),
    ]


def _random(device: str, *shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.bfloat16, device=device)


def _norm(shape: Shape, device: str, rows: int) -> Case:
    def plain(x: Tensor, residual: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        total = x + residual
        return functional.rms_norm(total, (shape.width,), weight, EPS), total

    return Case(
        "RMSNorm + residual",
        4 * 2 * rows * shape.width,
        lambda: (
            _random(device, rows, shape.width),
            _random(device, rows, shape.width),
            _random(device, shape.width),
        ),
        lambda x, residual, weight: rms_norm(x, weight, EPS, residual=residual),
        plain,
    )


def _rope(shape: Shape, device: str, rows: int) -> Case:
    heads = shape.heads + 2 * shape.kv_heads
    cos, sin = (torch.rand(4096, shape.size, device=device) for _ in "cs")
    keys, values = (_random(device, 1 + rows, shape.kv_heads, PAGE, shape.size) for _ in "kv")

    def inputs() -> tuple[Any, ...]:
        # Every row's token goes somewhere into a page of its own, as in a decode step.
        slots = (1 + torch.randperm(rows, device=device)) * PAGE + torch.randint(0, PAGE, (rows,), device=device)
        positions = torch.randint(0, 4096, (rows,), device=device, dtype=torch.int32)
        return _random(device, rows, heads * shape.size), cos, sin, positions, slots, keys, values

    return Case(
        "RoPE + KV append",
        2 * 2 * rows * heads * shape.size + 2 * 4 * rows * shape.size,
        inputs,
        lambda *arguments: rope_append(*arguments, heads=shape.heads),
        lambda *arguments: reference.rope_append(*arguments, heads=shape.heads),
    )


def _activation(shape: Shape, device: str, rows: int) -> Case:
    def plain(gate_up: Tensor) -> Tensor:
        gate, up = gate_up.chunk(2, dim=-1)
        return functional.silu(gate) * up

    return Case(
        "SiLU * up",
        3 * 2 * rows * shape.mlp,
        lambda: (_random(device, rows, 2 * shape.mlp),),
        gated_activation,
        plain,
    )


def _draw(
    shape: Shape,
    device: str,
    rows: int,
    metric: str,
    *,
    temperature: float = TEMPERATURE,
    top_p: float = 1.0,
    top_k: int = 0,
    min_p: float = 0.0,
) -> Case:
    words = scramble_ids(torch.arange(shape.vocabulary, device=device))
    settings = torch.tensor([temperature, top_p, top_k, min_p], device=device)
    filtered, greedy = top_p < 1 or top_k > 0, temperature == 0

    def inputs() -> tuple[Tensor, ...]:
        logits = 3 * _random(device, rows, shape.vocabulary)
        keys = torch.randint(-(2**63), 2**63 - 1, (rows,), device=device)
        return logits, keys, torch.arange(rows, device=device, dtype=torch.int32)

    def plain(logits: Tensor, keys: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        return torch_draw(logits, temperature, top_p, top_k, min_p)

    def kernel(logits: Tensor, keys: Tensor, positions: Tensor, blocks: Blocks = DEFAULT) -> tuple[Tensor, Tensor]:
        flags = {"filtered": filtered, "greedy": greedy, "token_words": words}
        return launch.draw(logits, keys, positions, settings, **flags, blocks=blocks)

    return Case(metric, 2 * rows * shape.vocabulary, inputs, kernel, plain, compiled=metric == "draw")


def torch_draw(logits: Tensor, temperature: float, top_p: float, top_k: int, min_p: float) -> tuple[Tensor, Tensor]:
    """The usual way in torch: filters by sorting, then the argmax of probability over exponential noise."""
    logits = logits.float()
    if temperature == 0:
        tokens = logits.argmax(-1)
    else:
        scaled = logits / temperature
        if top_k:
            scaled = scaled.masked_fill(scaled < scaled.topk(top_k).values[:, -1:], float("-inf"))
        if top_p < 1:
            ordered, order = scaled.sort(dim=-1)
            dropped = ordered.softmax(-1).cumsum(-1) <= 1 - top_p
            dropped[:, -1] = False
            scaled = scaled.masked_fill(torch.empty_like(dropped).scatter_(1, order, dropped), float("-inf"))
        probability = scaled.softmax(-1)
        if min_p:
            probability = probability.masked_fill(probability < min_p * probability.amax(-1, keepdim=True), 0.0)
        tokens = (probability / torch.empty_like(probability).exponential_(1)).argmax(-1)
    return tokens, logits.log_softmax(-1).gather(1, tokens[:, None])[:, 0]


def measure(call: Callable[..., Any], inputs: Sequence[tuple[Any, ...]], replays: int = 15) -> float:
    """Median seconds of one call, from replays of a CUDA graph of one call on each of the inputs."""
    for _ in range(2):
        call(*inputs[0])
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        # Kept, so that no call writes where the one before wrote.
        outputs = [call(*each) for each in inputs]
    start, end = (torch.cuda.Event(enable_timing=True) for _ in "se")
    times = []
    for _ in range(3 + replays):
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1e3 / len(inputs))
    del graph, outputs
    torch.cuda.empty_cache()
    return statistics.median(times[3:])


def bandwidth() -> float:
    """Bytes per second of a large copy on the device, read and written."""
    source = torch.empty(2**31, dtype=torch.uint8, device="cuda").random_()
    for _ in range(300):  # half a second: an idle GPU's clock has to rise first
        source.clone()
    return 2 * source.numel() / measure(torch.clone, [(source,)])


def compiled(case: Case, inputs: Sequence[tuple[Any, ...]]) -> dict[str, float]:
    try:
        return {"torch.compile": measure(torch.compile(case.torch), inputs) * 1e6}
    except RuntimeError as error:  # a peer that does not run is left out, and the run goes on
        print(f"torch.compile of {case.metric} failed: {error}")
        return {}


def rotated(case: Case) -> list[tuple[Any, ...]]:
    return [case.inputs() for _ in range(max(2, min(32, ROTATED_BYTES // case.bytes)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tune", action="store_true")
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("This benchmark needs a CUDA device.")
    if asked.tune:
        tune()
        return
    speed = bandwidth()
    rows = []
    for shape in SHAPES:
        for case in cases(shape, "cuda"):
            inputs = rotated(case)
            value = measure(case.kernel, inputs)
            peers = {"torch": measure(case.torch, inputs) * 1e6}
            if case.compiled and shape.name == COMPILED:
                peers |= compiled(case, inputs)
            rows.append(Row(shape.name, case.metric, "µs", value * 1e6, case.bytes / speed * 1e6, peers))
            print(f"{shape.name:14} {case.metric:30} {value * 1e6:8.1f} µs", flush=True)
            del inputs
    notes = (
        f"{torch.cuda.get_device_name()}, bf16, {ROWS:,} rows; median of 15 replays of a CUDA graph over rotated "
        "inputs. floor: bytes that must move over the copy bandwidth measured in this run, "
        f"{speed / 1e12:.2f} TB/s. Logits are normal with deviation 3; the torch peer filters by sorting and draws "
        "other noise."
    )
    write_report("step-kernels", "Kernels of a decode step", rows, packages=["torch", "triton"], notes=notes)


def tune() -> None:
    """Times of `draw` by block sizes: of the scan of all logits, then of the program that settles a row's top_p."""
    free, nucleus = (
        _draw(SHAPES[1], "cuda", ROWS, metric, **FILTERS[metric]) for metric in ("draw", "draw, top_p 0.95")
    )
    inputs = rotated(free)
    for (tile, warps), chunk in itertools.product(
        [(512, 1), (1024, 1), (1024, 2), (2048, 2), (2048, 4)], [8192, 16_384, 32_768]
    ):
        _try(free, inputs, Blocks(tile=tile, warps=warps, chunks=(chunk,)))
    for tile, warps in [(2048, 4), (2048, 8), (4096, 4), (4096, 8), (4096, 16), (8192, 16)]:
        _try(nucleus, inputs, Blocks(row_tile=tile, row_warps=warps))


def _try(case: Case, inputs: Sequence[tuple[Any, ...]], blocks: Blocks) -> None:
    print(
        f"{case.metric:18} {measure(partial(case.kernel, blocks=blocks), inputs) * 1e6:8.1f} µs  {blocks}", flush=True
    )


if __name__ == "__main__":
    main()
