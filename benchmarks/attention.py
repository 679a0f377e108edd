"""Shared-prefix decode attention, one layer: the tree kernels beside their peers and the floor. Needs a GPU.

usage: python -m benchmarks.attention [--quick]

A case is a tree of KV nodes; each method is captured in a CUDA graph and replayed with the L2 flushed before every
replay; the median counts. Every result is compared with fp32 attention over the joined path of a few rows.
CANOPY_ATTENTION_PEERS may name a Python file with a class `Tree(heads, kv_heads, size, levels)` and a function
`methods(tree)` that gives {name: function that prepares and returns (run, note)}; without it only ours is measured.
"""

from __future__ import annotations

import ast
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from benchmarks._report import Row, write_report
from kernels.attention import TreeNode, TreeTables, tree_decode

PAGE = 64
BUDGET_MS = 120.0  # of replays per measurement
HEADS = [(40, 40, 128), (32, 8, 128), (32, 8, 64)]
PEERS = {
    "FlashInfer cascade": ["fi_cascade"],
    "FlashInfer mixed": ["fi_cascade_fa2_suffix"],
    "FA3 cascade": ["fa3_cascade_page16", "fa3_cascade_page128"],
    "FlashInfer, no cascade": ["fi_decode"],
    "FA3, no cascade": ["fa3_decode_page16", "fa3_decode_page128"],
}


@dataclass(frozen=True, slots=True)
class Cell:
    """levels: (nodes, tokens of each), root first; the last are the rows' own tokens."""

    heads: int
    kv_heads: int
    size: int
    levels: tuple[tuple[int, int], ...]

    @property
    def rows(self) -> int:
        return self.levels[-1][0]

    def __str__(self) -> str:
        shared = " + ".join(f"{count} x {length}" if count > 1 else str(length) for count, length in self.levels[:-1])
        return f"{self.heads}/{self.kv_heads}/{self.size}, B {self.rows}, {shared}, suffix {self.levels[-1][1]}"

    def floor_ms(self, copy: float, product: float) -> float:
        """Every node's KV once at copy bandwidth, plus the shared levels' operations at the matrix rate."""
        moved = sum(count * length for count, length in self.levels) * 4 * self.kv_heads * self.size
        operations = sum(4 * self.rows * self.heads * self.size * length for _, length in self.levels[:-1])
        return (moved / copy + operations / product) * 1e3


def cells(quick: bool) -> Iterator[Cell]:
    for shape in HEADS:
        for rows in (256,) if quick else (256, 1024):
            for prefix in (1024,) if quick else (1024, 2048, 16384):
                for suffix in (128,) if quick else (128, 256):
                    yield Cell(*shape, ((1, prefix), (rows, suffix)))
            for suffix in (128,) if quick else (128, 256):
                yield Cell(*shape, ((1, 1024), (16, 200), (rows, suffix)))


class Problem:
    """A cell's random queries, keys and values, its pages in random order."""

    def __init__(self, cell: Cell, page: int = PAGE, dtype: torch.dtype = torch.bfloat16) -> None:
        self.cell = cell
        each = [-(-length // page) for _, length in cell.levels]
        total = 1 + sum(count * pages for (count, _), pages in zip(cell.levels, each, strict=True))
        pool = (total, cell.kv_heads, page, cell.size)
        self.q = torch.randn(cell.rows, cell.heads, cell.size, device="cuda", dtype=dtype)
        self.keys = torch.randn(pool, device="cuda", dtype=dtype)
        self.values = torch.randn(pool, device="cuda", dtype=dtype)
        order, at = 1 + torch.randperm(total - 1, dtype=torch.int32), 0
        self.pages = []  # of each level: (nodes, pages)
        for (count, _), pages in zip(cell.levels, each, strict=True):
            self.pages.append(order[at : at + count * pages].view(count, pages))
            at += count * pages
        shared = list(zip(cell.levels[:-1], self.pages[:-1], strict=True))
        self.tables = TreeTables(
            rows=cell.rows,
            nodes=sum(count for (count, _), _ in shared),
            node_pages=max(each[:-1]),
            depth=len(shared),
            row_pages=each[-1],
            device="cuda",
        )
        self.tables.suffix_pages.copy_(self.pages[-1])
        self.tables.suffix_lengths.fill_(cell.levels[-1][1])
        self.tables.set_tree(
            [
                TreeNode(length, pages[node].tolist(), range(node * below, (node + 1) * below))
                for (count, length), pages in shared
                for below in [cell.rows // count]
                for node in range(count)
            ]
        )
        self.out = torch.empty_like(self.q)

    def run(self) -> Tensor:
        scale = self.cell.size**-0.5
        return tree_decode(self.q, self.keys, self.values, self.tables, scale=scale, out=self.out)

    def exact(self, rows: list[int]) -> Tensor:
        outs = []
        for row in rows:
            path = [
                (pages[row * count // self.cell.rows].long().cuda(), length)
                for (count, length), pages in zip(self.cell.levels, self.pages, strict=True)
            ]
            k, v = (
                torch.cat([pool[pages].transpose(0, 1).flatten(1, 2)[:, :length] for pages, length in path], 1)
                for pool in (self.keys, self.values)
            )
            k, v = (x.float().repeat_interleave(self.cell.heads // self.cell.kv_heads, 0) for x in (k, v))
            weights = (k @ self.q[row].float()[..., None] * self.cell.size**-0.5).softmax(1)
            outs.append((weights * v).sum(1))
        return torch.stack(outs)


class Timer:
    """Median device time of graph replays, each behind a write of over four times the L2.

    The write leaves the L2 full of lines that go back to memory while the measured kernels read: some 13 us on an
    H200, in every number. clean: each behind a read, which leaves nothing to write back.
    """

    def __init__(self, *, clean: bool = False) -> None:
        self.scratch = torch.zeros(64 << 20, dtype=torch.float32, device="cuda")
        self.clean = clean

    def __call__(self, run: Callable[[], object], *, graph: bool = True, budget_ms: float = BUDGET_MS) -> float:
        run()
        torch.cuda.synchronize()
        call: Callable[[], object] = run
        if graph:
            captured = torch.cuda.CUDAGraph()
            with torch.cuda.graph(captured):
                run()
            call = captured.replay
        self._once(call)
        rough = self._measure(call, 1)[0]
        times = sorted(self._measure(call, max(5, min(30, int(budget_ms / (rough + 0.1))))))
        return times[len(times) // 2]

    def _measure(self, call: Callable[[], object], count: int) -> list[float]:
        pairs = [self._once(call) for _ in range(count)]
        torch.cuda.synchronize()
        return [start.elapsed_time(end) for start, end in pairs]

    def _once(self, call: Callable[[], object]) -> tuple[Any, Any]:
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        if self.clean:
            self.scratch.sum()
        else:
            self.scratch.zero_()
        start.record()
        call()
        end.record()
        return start, end


def ceilings(timer: Timer) -> tuple[float, float]:
    """This GPU's copy bandwidth, bytes/s read and written, and bf16 matrix rate, FLOP/s."""
    x = torch.empty(1 << 31, dtype=torch.bfloat16, device="cuda").normal_()
    y = torch.empty_like(x)
    copy = 4 * x.numel() / timer(lambda: y.copy_(x), graph=False) * 1e3
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in "ab")
    return copy, 2 * 8192**3 / timer(lambda: a @ b, graph=False) * 1e3


def load_peers(path: str | None) -> Any:
    """The definitions of a peers' script, without what it does when run."""
    if not path:
        return None
    tree = ast.parse(Path(path).read_text(), path)
    kept = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.Try)
    tree.body = [
        node
        for node in tree.body
        if isinstance(node, kept) and not (isinstance(node, ast.Assign) and "ceilings()" in ast.unparse(node))
    ]
    names: dict[str, Any] = {"__name__": "peers", "__file__": path}
    exec(compile(tree, path, "exec"), names)
    return SimpleNamespace(**names)


def measure_peers(peers: Any, cell: Cell, timer: Timer) -> dict[str, float]:
    tree = peers.Tree(cell.heads, cell.kv_heads, cell.size, list(cell.levels))
    rows = [0, cell.rows // 3, cell.rows - 1]
    exact = tree.reference(rows)
    makers, best = peers.methods(tree), {}
    # Peers without a cascade join nodes only at whole pages: there the tree rows are not the same attention.
    whole = all(length % 128 == 0 for _, length in cell.levels[:-1])
    for name, variants in PEERS.items():
        times = []
        for variant in variants:
            if variant not in makers:
                continue
            try:
                run, _ = makers[variant]()
                error = ((run()[rows].float() - exact).norm() / exact.norm()).item()
                if error < 8e-3 or ("no cascade" in name and not whole):
                    times.append(timer(run))
                else:
                    print(f"{variant} is wrong by {error:.2g} on {cell}", flush=True)
            except Exception:
                traceback.print_exc()
                torch.cuda.synchronize()
        if times:
            best[name] = min(times)
    return best


def main() -> None:
    quick = "--quick" in sys.argv
    torch.manual_seed(0)
    timer, clean_timer = Timer(), Timer(clean=True)
    copy, product = ceilings(timer)
    torch.cuda.empty_cache()
    peers = load_peers(os.environ.get("CANOPY_ATTENTION_PEERS"))
    rows, ratios, clean_ratios, peer_ratios, worst, lost = [], [], [], [], 0.0, []
    for cell in cells(quick):
        problem = Problem(cell)
        checked = sorted({0, cell.rows // 3, cell.rows // 2 + 1, cell.rows - 1})
        exact = problem.exact(checked)
        error = ((problem.run()[checked].float() - exact).norm() / exact.norm()).item()
        if not error < 8e-3:
            raise RuntimeError(f"wrong by {error:.2g} on {cell}")
        worst = max(worst, error)
        ms, floor = timer(problem.run), cell.floor_ms(copy, product)
        clean_ratios.append(clean_timer(problem.run) / floor)
        del problem
        torch.cuda.empty_cache()
        others = measure_peers(peers, cell, timer) if peers else {}
        torch.cuda.empty_cache()
        best = min(others.values(), default=math.nan)
        rows.append(
            Row(
                str(cell),
                "time of one layer's decode attention",
                "ms",
                round(ms, 4),
                round(floor, 4),
                {name: round(value, 4) for name, value in others.items()},
                f"< {best:.3f}" if others else None,
            )
        )
        ratios.append(ms / floor)
        if others:
            peer_ratios.append(best / floor)
            if ms >= best:
                lost.append(str(cell))
        print(f"{cell}: {ms:.4f} ms, {ms / floor:.2f}x floor, best peer {best:.4f}", flush=True)
    means = {
        "time / floor": ratios,
        "time / floor, L2 flushed by reading": clean_ratios,
        "best peer / floor": peer_ratios,
    }
    for metric, values in means.items():
        if values:
            goal = "<= 1.45" if values is ratios else None
            rows.append(Row("geometric mean of all cases", metric, "x", round(_mean(values), 3), 1.0, goal=goal))
    write_report(
        "attention",
        "Shared-prefix decode attention, one layer",
        rows,
        packages=["torch", "triton", "flashinfer-python"],
        notes=f"bf16, CUDA graph replays, L2 flushed before each, medians, pages of {PAGE} tokens. Heads are "
        f"query/KV/size. The floor adds the time to read every node's keys and values once to the shared nodes' matrix "
        f"time; kernels that do both at the same time can be below it. Copy {copy / 1e12:.2f} TB/s, matrix product "
        f"{product / 1e12:.0f} TFLOP/s in this run. Largest error against fp32: {worst:.1e}."
        + (" FA3 is the build that vLLM 0.25.1 ships." if peers else "")
        + (f" Slower than the best peer in: {'; '.join(lost)}." if lost else ""),
    )


def _mean(values: list[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


if __name__ == "__main__":
    main()
