"""The fast runner: paged keys and values, fused layers, and on a GPU one CUDA graph a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.models.decoder import Decoder
from engine.models.model import Model
from engine.models.parallel import Group
from engine.sampling.graphs import Graphs, bucket
from engine.sampling.memory import PREFILL_ROWS
from engine.sampling.pages import PAGE, KVPages, Node
from engine.sampling.runner import Output, Start, plan_prefill
from engine.sampling.sampler import Sampler
from engine.sampling.scheduler import Limits
from engine.sampling.types import SamplingParams
from kernels.attention import Chunk, PrefillTables, TreeTables, tree_decode, tree_prefill

# In place of a row's problem: nothing runs there; its problem's prompt is part of its suffix.
_FREE, _ALONE = -1, -2
_START_ROWS = 256  # first tokens drawn at once: bounds the copy of their logits


@dataclass(slots=True)
class _State:
    """What the step reads and advances on the device, one entry a row."""

    tokens: Tensor  # int64: the last token drawn
    keys: Tensor  # int64: the sample's random key
    positions: Tensor  # int32: of the last token drawn, in its sequence
    drawn: Tensor  # int32: tokens drawn
    limits: Tensor  # int32
    active: Tensor  # int32: 1 while the sample goes on
    output: Tensor  # int32 (3, rows): token, the bits of its fp32 log-probability and of the self-certainty

    @staticmethod
    def empty(rows: int, device: torch.device) -> _State:
        def zeros(*shape: int, dtype: torch.dtype = torch.int32) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        wide = partial(zeros, dtype=torch.int64)
        return _State(wide(rows), wide(rows), zeros(rows), zeros(rows), zeros(rows), zeros(rows), output=zeros(3, rows))


class PagedRunner:
    """Holds the tree and the running samples' rows on the device. See `runner.Runner` for what its methods do."""

    dense = False

    def __init__(self, model: Model, *, max_batch: int, group: Group | None = None) -> None:
        self._model, self._device, self._page = model, model.device, PAGE
        self._graphed = self._device.type == "cuda"
        self.lag = 1
        self._group = group or Group()
        self._decoder = Decoder(model.module, model.shape.context_length, group)
        self._sampler = Sampler(model.shape.vocabulary, self._device)
        self._batch = max_batch
        self._state = _State.empty(max_batch, self._device)
        self._ends = torch.zeros(model.shape.vocabulary, dtype=torch.int32, device=self._device)
        self._ends[list(model.eos_ids)] = 1
        self._pool: KVPages | None = None
        self._tables: TreeTables | None = None
        self._graphs = Graphs()
        self._root = Node((), 0, np.zeros(0, np.int32))
        self._nodes: dict[int, Node] = {}
        self._node_of_row = np.full(max_batch, _FREE)  # the problem
        self._prompts = np.zeros(max_batch, np.int64)  # tokens before its own that a row's suffix begins with
        self._tree_changed = True
        self._row_pages: list[list[int]] = [[] for _ in range(max_batch)]
        self._left: list[int] = []  # rows that the device does not know to have been left

    # -- capacity

    def limits(self, limits: Limits) -> Limits:
        return replace(limits, root_page=self._page, node_page=self._page, sample_page=self._page)

    @torch.inference_mode()
    def prepare(self, limits: Limits, params: SamplingParams) -> None:
        whole = limits.kv_tokens // self._page
        if not self._graphed:  # a CPU's memory is shared with others: no more than this call can use
            sample = limits.node_cost(limits.node_tokens) + -(-limits.sample_tokens // self._page) * self._page
            whole = min(whole, -(-(limits.root_cost + limits.batch * sample) // self._page))
        if self._pool is None or self._pool.count < whole or (self._graphed and self._pool.count != whole):
            self.forget()
            self._pool = KVPages(
                self._model.shape,
                whole,
                page=self._page,
                kv_heads=self._decoder.kv_heads,
                dtype=self._model.dtype,
                device=self._device,
            )
        self._clear_rows()
        self._size_tables(max(limits.root_tokens, limits.node_tokens), limits.lone_tokens + limits.sample_tokens)
        self._sampler.use(params)

    @property
    def held_tokens(self) -> int:
        return self._pool.count * self._page if self._pool is not None else 0

    def forget(self) -> None:
        self._graphs, self._pool, self._tables = Graphs(), None, None
        self._root, self._nodes = Node((), 0, np.zeros(0, np.int32)), {}
        self._row_pages = [[] for _ in range(self._batch)]
        self._node_of_row[:] = _FREE

    def _clear_rows(self) -> None:
        """What a call that was given up has left behind."""
        for row in range(self._batch):
            self.leave(row)
        for problem in list(self._nodes):
            self.close(problem)
        self._state.active.zero_()
        if self._tables is not None:
            self._tables.suffix_lengths.zero_()

    def _size_tables(self, node_tokens: int, sample_tokens: int) -> None:
        wanted = tuple(-(-max(tokens, 1) // (4 * self._page)) * 4 for tokens in (node_tokens, sample_tokens))
        have = self._tables
        if have is not None:
            sizes = have.node_pages, have.suffix_pages.shape[1]
            if all(want <= size <= 2 * want for want, size in zip(wanted, sizes, strict=True)):
                return
        self._graphs = Graphs()
        self._tables = TreeTables(
            rows=self._batch,
            nodes=self._batch + 1,
            node_pages=wanted[0],
            depth=2,
            row_pages=wanted[1],
            device=self._device,
        )
        self._tree_changed = True

    # -- nodes

    def set_root(self, tokens: tuple[int, ...], cancelled: Callable[[], bool]) -> bool | None:
        if tuple(self._root.tokens) == tokens:
            return False
        assert self._pool is not None
        self._pool.give(self._root.pages)
        self._root = Node((), 0, np.zeros(0, np.int32))
        root = self._node(tokens, ())
        for chunks in plan_prefill([(0, len(tokens))], PREFILL_ROWS):
            if cancelled():
                self._pool.give(root.pages)
                return None
            self._prefill([(root, chunk.begin, chunk.end) for chunk in chunks])
        self._root = root
        self._tree_changed = True
        return True

    def open(self, prompts: Mapping[int, Sequence[int]]) -> None:
        ancestors = (self._root,) if len(self._root.tokens) else ()
        for problem, prompt in prompts.items():
            self._nodes[problem] = self._node(prompt, ancestors)
            self._nodes[problem].logits = self._root.logits  # stays for an empty prompt
        lengths = [(problem, len(prompt)) for problem, prompt in prompts.items()]
        for chunks in plan_prefill(lengths, PREFILL_ROWS):
            self._prefill([(self._nodes[chunk.node], chunk.begin, chunk.end) for chunk in chunks])

    def close(self, problem: int) -> None:
        assert self._pool is not None
        self._pool.give(self._nodes.pop(problem).pages)
        self._tree_changed = True

    def _node(self, tokens: Sequence[int], ancestors: tuple[Node, ...]) -> Node:
        assert self._pool is not None
        pages = self._pool.take(-(-len(tokens) // self._page))
        return Node(tokens, sum(len(above.tokens) for above in ancestors), pages, ancestors)

    @torch.inference_mode()
    def _prefill(self, parts: Sequence[tuple[Node, int, int]]) -> None:
        """Compute tokens begin..end of nodes whose earlier ones and ancestors are in the pool."""
        assert self._pool is not None
        none = np.zeros(0, np.int32)
        chunks = [
            Chunk(
                node.pages,
                begin,
                end - begin,
                [above.table(none) for above in node.ancestors],
            )
            for node, begin, end in parts
        ]
        tables = PrefillTables(chunks, self._device)
        tokens = np.concatenate([np.array(node.tokens[begin:end], np.int64) for node, begin, end in parts])
        positions = np.concatenate([np.arange(node.start + begin, node.start + end) for node, begin, end in parts])
        slots = np.concatenate([node.slots(begin, end, self._page) for node, begin, end in parts])
        packed = self._upload(np.stack([tokens, positions, slots]))

        def attend(q: Tensor, keys: Tensor, values: Tensor, **settings: object) -> Tensor:
            return tree_prefill(q, keys, values, tables, **settings)  # type: ignore[arg-type]

        hidden = self._decoder.hidden(packed[0], packed[1].int(), packed[2], self._pool, attend)
        last = np.cumsum([end - begin for _, begin, end in parts]) - 1
        logits = self._decoder.logits(hidden[self._upload(last)])
        for (node, _, _), row in zip(parts, logits, strict=True):
            node.logits = row

    # -- rows

    @torch.inference_mode()
    def start(self, starts: Sequence[Start]) -> None:
        assert self._tables is not None
        self._retire()
        for begin in range(0, len(starts), _START_ROWS):
            part = starts[begin : begin + _START_ROWS]
            nodes = [self._nodes[start.problem] for start in part]
            fields = [(s.row, s.key, n.start + len(n.tokens), s.limit) for s, n in zip(part, nodes, strict=True)]
            for start, node in zip(part, nodes, strict=True):
                self._place(start, node)
            rows, keys, positions, limits = self._upload(np.array(fields, np.int64).T.copy())
            state = self._state
            state.keys[rows] = keys
            state.positions[rows] = positions.int() - 1  # of the token before, as after any step
            state.limits[rows] = limits.int()
            state.drawn[rows] = 0
            state.active[rows] = 1
            self._tables.suffix_lengths[rows] = self._upload(self._prompts[[start.row for start in part]]).int()
            if all(node is nodes[0] for node in nodes):
                assert nodes[0].logits is not None
                logits = nodes[0].logits.expand(len(part), -1)
            else:
                logits = torch.stack([node.logits for node in nodes])  # type: ignore[misc]  # a started node has some
            drawn = self._sampler.draw(logits, keys, torch.zeros_like(keys))
            self._advance(rows, *drawn)
        self._note_pages([start.row for start in starts if start.alone])
        self._tree_changed = True

    def _place(self, start: Start, node: Node) -> None:
        """A prompt with a single sample is shared by nobody: it becomes the beginning of the sample's suffix."""
        self._node_of_row[start.row] = _ALONE if start.alone else start.problem
        self._prompts[start.row] = len(node.tokens) if start.alone else 0
        if start.alone:
            self._row_pages[start.row], node.pages = node.pages.tolist(), node.pages[:0]

    def _note_pages(self, rows: Sequence[int]) -> None:
        """Tell the device all pages of these rows' suffixes."""
        listed = [(row, column, page) for row in rows for column, page in enumerate(self._row_pages[row])]
        if listed:
            assert self._tables is not None
            where = self._upload(np.array(listed, np.int64).T.copy())
            self._tables.suffix_pages[where[0], where[1]] = where[2].int()

    def leave(self, row: int) -> None:
        if self._row_pages[row]:
            assert self._pool is not None
            self._pool.give(np.array(self._row_pages[row], np.int32))
            self._row_pages[row] = []
        self._node_of_row[row] = _FREE
        self._left.append(row)
        self._tree_changed = True

    def _retire(self) -> None:
        """Stop the rows that were left: their pages may be another's by the next step."""
        if self._left:
            left = self._upload(np.array(self._left))
            self._state.active[left] = 0
            if self._tables is not None:
                self._tables.suffix_lengths[left] = 0
            self._left = []

    @torch.inference_mode()
    def move(self, moves: Sequence[tuple[int, int]]) -> None:
        assert self._tables is not None
        self._retire()
        sources, targets = self._upload(np.array(moves, np.int64).T.copy())
        for source, target in moves:
            self._row_pages[target], self._row_pages[source] = self._row_pages[source], []
            self._node_of_row[target], self._node_of_row[source] = self._node_of_row[source], _FREE
            self._prompts[target] = self._prompts[source]
        state, tables = self._state, self._tables
        for tensor in (state.tokens, state.keys, state.positions, state.drawn, state.limits, state.active):
            tensor[targets] = tensor[sources]
        for tensor in (tables.suffix_pages, tables.suffix_lengths):
            tensor[targets] = tensor[sources]
        state.active[sources] = 0
        tables.suffix_lengths[sources] = 0
        self._tree_changed = True

    # -- the step

    def bucket(self, rows: int) -> int:
        return min(bucket(rows), self._batch) if self._graphed else rows

    @torch.inference_mode()
    def decode(self, drawn: NDArray[np.int64]) -> None:
        rows = self.bucket(len(drawn))
        self._retire()
        self._turn_pages(drawn)
        if self._tree_changed:
            self._set_tree()
        step = partial(self._step, rows)
        if self._graphed:
            self._graphs.run((rows, self._sampler.way), step, partial(self._rehearse, step))
        else:
            step()

    def _turn_pages(self, drawn: NDArray[np.int64]) -> None:
        """Give a page to every row whose next token begins one."""
        assert self._pool is not None and self._tables is not None
        stored = self._prompts[: len(drawn)] + drawn - 1
        rows = np.flatnonzero((drawn > 0) & (stored % self._page == 0))
        if not len(rows):
            return
        pages = self._pool.take(len(rows))
        for row, page in zip(rows.tolist(), pages.tolist(), strict=True):
            self._row_pages[row].append(page)
        where = self._upload(np.stack([rows, stored[rows] // self._page, pages]))
        self._tables.suffix_pages[where[0], where[1]] = where[2].int()

    def _set_tree(self) -> None:
        assert self._tables is not None
        rows = np.flatnonzero(self._node_of_row != _FREE).astype(np.int32)
        tables = [self._root.table(rows)] if len(rows) and len(self._root.tokens) else []
        rows = rows[self._node_of_row[rows] != _ALONE]
        rows = rows[np.argsort(self._node_of_row[rows], kind="stable")]
        problems, firsts = np.unique(self._node_of_row[rows], return_index=True)
        below = np.split(rows, firsts[1:])
        tables += [self._nodes[problem].table(each) for problem, each in zip(problems.tolist(), below, strict=False)]
        self._tables.set_tree(tables)
        self._tree_changed = False

    def _step(self, rows: int) -> None:
        """Append the last tokens' keys and values, and draw the next token of every active row."""
        assert self._pool is not None and self._tables is not None
        state, tables, page = self._state, self._tables, self._page
        active = state.active[:rows]
        lengths = tables.suffix_lengths[:rows]
        column = (lengths // page).clamp_(max=tables.suffix_pages.shape[1] - 1).long().unsqueeze(1)
        pages = tables.suffix_pages[:rows].gather(1, column).squeeze(1).long()
        slots = (pages * page + lengths % page) * active  # rows that ended write to page 0
        lengths += active
        positions = state.positions[:rows]

        def attend(q: Tensor, keys: Tensor, values: Tensor, **settings: object) -> Tensor:
            return tree_decode(q, keys, values, tables, positions=positions, **settings)  # type: ignore[arg-type]

        hidden = self._decoder.hidden(state.tokens[:rows], positions, slots, self._pool, attend)
        drawn = self._sampler.draw(self._decoder.logits(hidden), state.keys[:rows], state.drawn[:rows])
        self._advance(slice(0, rows), *drawn)

    def _advance(self, rows: Tensor | slice, tokens: Tensor, logprobs: Tensor, certainties: Tensor) -> None:
        """Note the drawn tokens; samples that reached their end stay where they are."""
        state = self._state
        active = state.active[rows]
        state.output[0, rows] = tokens.int()
        state.output[1, rows] = logprobs.view(torch.int32)
        state.output[2, rows] = certainties.view(torch.int32)
        state.tokens[rows] = torch.where(active > 0, tokens, state.tokens[rows])
        state.positions[rows] += active
        state.drawn[rows] += active
        going_on = (state.drawn[rows] < state.limits[rows]) & (self._ends[tokens] == 0)
        state.active[rows] = active * going_on

    def _rehearse(self, step: Callable[[], None]) -> None:
        """The step without effect: no row is active."""
        active = self._state.active.clone()
        self._state.active.zero_()
        step()
        self._state.active.copy_(active)

    def collect(self, rows: int) -> Output:
        output = self._state.output[:, :rows]
        if not self._graphed:
            return Output(output.clone().numpy(), None)
        pinned = torch.empty(output.shape, dtype=output.dtype, pin_memory=True)
        pinned.copy_(output, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        return Output(pinned.numpy(), event)

    def _upload(self, values: NDArray[np.int64]) -> Tensor:
        """To the device, without waiting for it."""
        tensor = torch.from_numpy(values)
        return tensor.pin_memory().to(self._device, non_blocking=True) if self._graphed else tensor
