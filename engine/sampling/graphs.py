"""CUDA graphs of the decode step, one per batch size."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import torch

# Steps run with the next larger of these many rows.
_SMALL = (1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 320, 384, 448, 512)
_STEP = 128  # beyond


def bucket(rows: int) -> int:
    """Rows that a step of `rows` rows is computed with."""
    if rows <= _SMALL[-1]:
        return next(size for size in _SMALL if size >= rows)
    return -(-rows // _STEP) * _STEP


class Graphs:
    """Captures each step once and replays it. All graphs share one memory pool, for only one runs at a time."""

    def __init__(self) -> None:
        self._graphs: dict[Hashable, torch.cuda.CUDAGraph] = {}
        self._pool: Any = None

    def run(self, key: Hashable, step: Callable[[], None], rehearse: Callable[[], None]) -> None:
        """Replay the graph of `key`; the first time `rehearse` (the step without effect) and capture `step`."""
        if key not in self._graphs:
            self._graphs[key] = self._capture(step, rehearse)
        self._graphs[key].replay()

    def _capture(self, step: Callable[[], None], rehearse: Callable[[], None]) -> torch.cuda.CUDAGraph:
        # Kernels are compiled and libraries set up outside the capture, on another stream as CUDA demands.
        stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            rehearse()
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        # thread_local: NCCL's own thread may look at its events meanwhile.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            step()
        self._pool = self._pool or graph.pool()
        return graph
