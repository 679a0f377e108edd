"""Random trees over a paged pool, and their attention by brute force: float64 softmax over each joined path."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from kernels.attention import Chunk, PrefillTables, TreeNode, TreeTables


@dataclass
class Case:
    """A tree given as levels of (length, rows below) nodes and each row's suffix length.

    heads: (query heads, KV heads). Pages are handed out in random order; unused pages hold NaN, so that reading
    one shows. Page 0 is never used.
    """

    levels: Sequence[Sequence[tuple[int, Sequence[int]]]]
    suffixes: Sequence[int]
    heads: tuple[int, int] = (4, 2)
    size: int = 16
    page: int = 16
    dtype: torch.dtype = torch.float32
    device: str = "cpu"
    seed: int = 0
    spare_pages: int = 2
    q: Tensor = field(init=False)
    keys: Tensor = field(init=False)
    values: Tensor = field(init=False)
    nodes: list[TreeNode] = field(init=False)

    def __post_init__(self) -> None:
        draw = random.Random(self.seed)
        generator = torch.Generator(self.device).manual_seed(self.seed)
        starts = [0] * len(self.suffixes)
        shapes = []
        for level in self.levels:
            for length, rows in level:
                shapes.append((length, list(rows), starts[rows[0]] if rows else 0))
                for row in rows:
                    starts[row] += length
        self.starts = starts
        needed = sum(-(-n // self.page) for n in [*(shape[0] for shape in shapes), *self.suffixes])
        free = list(range(1, needed + 1 + self.spare_pages))
        draw.shuffle(free)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, device=self.device).to(self.dtype)

        pool = (needed + 1 + self.spare_pages, self.heads[1], self.page, self.size)
        self.keys, self.values = normal(*pool), normal(*pool)
        self.q = normal(len(self.suffixes), self.heads[0], self.size)

        def take(length: int) -> list[int]:
            return [free.pop() for _ in range(-(-length // self.page))]

        self.nodes = [TreeNode(n, take(n), draw.sample(rows, len(rows)), start) for n, rows, start in shapes]
        self.suffix_pages = [take(length) for length in self.suffixes]
        self.keys[[0, *free]] = self.values[[0, *free]] = float("nan")
        self._poison_tails()

    def _poison_tails(self) -> None:
        """What follows a run of tokens in its last page is somebody's old data: it must not matter."""
        runs = [(node.length, node.pages) for node in self.nodes]
        runs += zip(self.suffixes, self.suffix_pages, strict=True)
        tails = [(pages[-1], at) for n, pages in runs if n for at in range((n - 1) % self.page + 1, self.page)]
        if tails:
            page, at = torch.tensor(tails, device=self.device).T
            self.keys[page, :, at] = self.values[page, :, at] = float("nan")

    def tables(self, rows: int | None = None) -> TreeTables:
        depths = [0] * len(self.suffixes)
        for node in self.nodes:
            for row in node.rows:
                depths[row] += 1
        width = max(map(len, self.suffix_pages), default=0) or 1
        tables = TreeTables(
            rows=rows or len(self.suffixes),
            nodes=max(len(self.nodes), 1),
            node_pages=max([len(node.pages) for node in self.nodes], default=1),
            depth=max([1, *depths]),
            row_pages=width,
            device=self.device,
        )
        padded = [[*pages, *[0] * (width - len(pages))] for pages in self.suffix_pages]
        tables.suffix_pages[: len(padded)] = torch.tensor(padded, dtype=torch.int32)
        tables.suffix_lengths[: len(self.suffixes)] = torch.tensor(self.suffixes, dtype=torch.int32)
        tables.set_tree(self.nodes)
        return tables

    def positions(self) -> Tensor:
        """Of each row's newest token, the one that asks."""
        newest = [start + length - 1 for start, length in zip(self.starts, self.suffixes, strict=True)]
        return torch.tensor(newest, dtype=torch.int32, device=self.device)

    def exact(
        self, rows: Sequence[int] | None = None, softcap: float | None = None, window: int | None = None
    ) -> Tensor:
        """float64 attention of the rows (all if None); 0 where a row sees nothing."""
        outs = []
        for row in range(len(self.suffixes)) if rows is None else rows:
            # Depth order: a node's pages come in the order of the levels.
            path = [(node.pages, node.length) for node in self.nodes if row in node.rows]
            path.append((self.suffix_pages[row], self.suffixes[row]))
            k, v = (torch.cat([tokens(pool, *run) for run in path], 1) for pool in (self.keys, self.values))
            if window is not None:
                k, v = (each[:, max(each.shape[1] - window, 0) :] for each in (k, v))
            outs.append(softmax_attention(self.q[row], k, v, softcap))
        return torch.stack(outs)

    @property
    def scale(self) -> float:
        return self.size**-0.5


def tokens(pool: Tensor, pages: Sequence[int], length: int) -> Tensor:
    """(KV heads, length, size) float64 of a page list."""
    return pool[list(pages)].double().transpose(0, 1).flatten(1, 2)[:, :length]


def softmax_attention(q: Tensor, k: Tensor, v: Tensor, softcap: float | None = None) -> Tensor:
    """One query: q (heads, size), k and v (KV heads, keys, size) float64, scale size^-0.5."""
    k, v = (each.repeat_interleave(len(q) // len(each), 0) for each in (k, v))
    logits = (q.double()[:, None] * k).sum(-1) * q.shape[1] ** -0.5
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    return (logits.softmax(-1)[..., None] * v).sum(1)


def prefill_case(case: Case, chunks: Sequence[tuple[int, int, int]]) -> tuple[Tensor, PrefillTables, Tensor]:
    """chunks: (row whose ancestors and suffix pages are used, tokens already there, new tokens), their sum at most the
    row's suffix length. Returns queries, tables, and the exact float64 attention of every query."""
    generator = torch.Generator(case.device).manual_seed(case.seed + 1)
    count = sum(new for _, _, new in chunks)
    q = torch.randn(count, case.heads[0], case.size, generator=generator, device=case.device).to(case.dtype)
    built, exact, at = [], [], 0
    for row, there, new in chunks:
        ancestors = [node for node in case.nodes if row in node.rows]
        built.append(Chunk(case.suffix_pages[row], there, new, ancestors))
        runs = [*((node.pages, node.length) for node in ancestors), (case.suffix_pages[row], there + new)]
        k, v = (torch.cat([tokens(pool, *run) for run in runs], 1) for pool in (case.keys, case.values))
        for token in range(new):
            seen = k.shape[1] - new + token + 1
            exact.append(softmax_attention(q[at + token], k[:, :seen], v[:, :seen]))
        at += new
    return q, PrefillTables(built, case.device), torch.stack(exact)


def spread(counts: Sequence[int], lengths: Sequence[int]) -> list[tuple[int, range]]:
    """A level: consecutive groups of `counts` rows below nodes of these lengths."""
    level, row = [], 0
    for count, length in zip(counts, lengths, strict=True):
        level.append((length, range(row, row + count)))
        row += count
    return level


def random_case(seed: int, rows: int, depth: int, longest: int, **shape: object) -> Case:
    """A ragged tree: at each level the rows fall into random groups, some without a node."""
    draw = random.Random(seed)
    levels = []
    for _ in range(depth):
        order = draw.sample(range(rows), rows)
        level = []
        while order:
            group = [order.pop() for _ in range(min(len(order), draw.randint(1, rows)))]
            if draw.random() < 0.8:
                level.append((draw.choice([0, 1, draw.randint(2, longest)]), group))
        levels.append(level)
    suffixes = [draw.choice([0, 1, draw.randint(2, longest)]) for _ in range(rows)]
    return Case(levels, suffixes, seed=seed, **shape)  # type: ignore[arg-type]
