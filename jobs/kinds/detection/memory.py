"""What a process needed on its GPU."""

from __future__ import annotations

import torch


def peak_memory() -> int | None:
    """Bytes that this process has held at most on its current GPU, free parts of its pool included; None on a CPU."""
    return torch.cuda.max_memory_reserved() if torch.cuda.is_available() else None


def forget_memory() -> None:
    """Give back what earlier shards left in this process's pool, and measure anew."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
