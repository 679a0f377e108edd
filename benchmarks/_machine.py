"""Shared by all GPU benchmarks: what this GPU can do, and how long something takes on it."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Machine:
    """Measured limits of this GPU."""

    bandwidth: float  # bytes/s, read + written by a copy
    matrix_rate: float  # bf16 FLOP/s


@cache
def measure_machine() -> Machine:
    """A copy of 2 GiB and an 8192 x 8192 x 8192 product of random matrices; medians of 20."""
    source = torch.randn(1 << 29, device="cuda").view(torch.uint8)
    target = torch.empty_like(source)
    bandwidth = 2 * source.numel() / median_seconds(lambda: target.copy_(source))
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    rate = 2 * 8192**3 / median_seconds(lambda: torch.mm(a, b))
    return Machine(bandwidth, rate)


def median_seconds(work: Callable[[], Any], *, runs: int = 20, warm_up: int = 3) -> float:
    """Median device time of `work` by CUDA events."""
    for _ in range(warm_up):
        work()
    times = []
    for _ in range(runs):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / 1000)
    return statistics.median(times)


def free_memory() -> None:
    gc.collect()
    torch.cuda.empty_cache()
