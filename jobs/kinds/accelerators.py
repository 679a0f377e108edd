"""The device that a runner computes on, and what it needed there. No Django."""

from __future__ import annotations

import os

import torch


def device_here() -> str:
    """The first GPU, else the CPU. Half of its cores: more threads than free cores stand in each other's way."""
    return "cuda" if torch.cuda.is_available() else cpu()


def cpu() -> str:
    """The CPU even where there is a GPU: that is for the GPU worker, whose engine may fill its memory."""
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))
    return "cpu"


def peak_memory() -> int | None:
    """Bytes that this process has held at most on its current GPU, free parts of its pool included; None on a CPU."""
    return torch.cuda.max_memory_reserved() if torch.cuda.is_available() else None


def forget_memory() -> None:
    """Give back what earlier shards left in this process's pool, and measure anew."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
