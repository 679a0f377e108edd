"""One forward pass over rows that stand on tree paths: where their keys go, and what each row looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from engine.models.shape import ModelShape
from kernels.attention import Level, tree_attention


class KVPool:
    """Slots of equal capacity, one node per slot, all layers.

    keys, values: (layers, slots, KV heads, capacity, head size). A slot is zeroed when a node moves in, because
    a masked key still takes part as 0 * value, and uninitialised memory may hold NaN.
    """

    def __init__(
        self, shape: ModelShape, slots: int, capacity: int, *, dtype: torch.dtype, device: torch.device
    ) -> None:
        size = (shape.layers, slots, shape.kv_heads, capacity, shape.head_size)
        self.keys = torch.empty(size, dtype=dtype, device=device)
        self.values = torch.empty(size, dtype=dtype, device=device)

    @property
    def size(self) -> tuple[int, int]:
        """(slots, capacity)."""
        return self.keys.shape[1], self.keys.shape[3]

    def clear(self, slot: int) -> None:
        self.keys[:, slot].zero_()
        self.values[:, slot].zero_()

    def write(self, layer: int, slots: Tensor, columns: Tensor, k: Tensor, v: Tensor) -> None:
        """Store k, v (rows, KV heads, size) at (slots[row], columns[row])."""
        self.keys[layer].transpose(1, 2)[slots, columns] = k
        self.values[layer].transpose(1, 2)[slots, columns] = v

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of a slot to another one."""
        self.keys[:, target, :, :length] = self.keys[:, source, :, :length]
        self.values[:, target, :, :length] = self.values[:, source, :, :length]


@dataclass(frozen=True, slots=True)
class Grouping:
    """Which rows of the batch go through which node: `rows` and `places` as in `kernels.attention.Level`."""

    rows: Tensor | None = None
    places: Tensor | None = None

    @staticmethod
    def by_node(node_of_row: Sequence[int], nodes: int, device: torch.device) -> Grouping:
        """Group rows by their node (0 <= node < nodes), padding each node to the largest group with row 0."""
        if nodes == 1:
            return Grouping()
        members: list[list[int]] = [[] for _ in range(nodes)]
        for row, node in enumerate(node_of_row):
            members[node].append(row)
        width = max(len(group) for group in members)
        rows = torch.zeros(nodes, width, dtype=torch.int64)
        places = torch.empty(len(node_of_row), dtype=torch.int64)
        for node, group in enumerate(members):
            rows[node, : len(group)] = torch.tensor(group, dtype=torch.int64)
            places[group] = node * width + torch.arange(len(group))
        return Grouping(rows.flatten().to(device), places.to(device))


@dataclass(frozen=True, slots=True)
class TreeLevel:
    """One depth of the tree as a step sees it: nodes in a pool, and the rows below each."""

    pool: KVPool
    lengths: Tensor  # int64 (nodes,): tokens of each node that may be seen
    starts: Tensor  # int64 (nodes,): position in the sequence of each node's first token
    width: int  # longest of lengths, known on the host
    ragged: bool  # whether some length is below width
    slots: Tensor | None = None  # int64 (nodes,) pool slots; None for slots 0 .. nodes-1
    grouping: Grouping = Grouping()
    causal: bool = False  # whether the rows belong to these nodes themselves and see only what precedes them

    @staticmethod
    def over(
        pool: KVPool,
        lengths: Sequence[int],
        starts: Sequence[int],
        *,
        slots: Sequence[int] | None = None,
        grouping: Grouping | None = None,
        causal: bool = False,
    ) -> TreeLevel:
        """From host lists, one entry per node."""
        device = pool.keys.device
        if slots is not None and list(slots) == list(range(len(slots))):
            slots = None  # a view instead of a gather
        return TreeLevel(
            pool,
            torch.tensor(lengths, dtype=torch.int64, device=device),
            torch.tensor(starts, dtype=torch.int64, device=device),
            width=max(lengths),
            ragged=min(lengths) < max(lengths),
            slots=None if slots is None else torch.tensor(slots, dtype=torch.int64, device=device),
            grouping=grouping or Grouping(),
            causal=causal,
        )

    def view(self, layer: int, mask: Tensor | None) -> Level:
        keys, values = self.pool.keys[layer], self.pool.values[layer]
        if self.slots is None:
            nodes = len(self.lengths)
            keys, values = keys[:nodes, :, : self.width], values[:nodes, :, : self.width]
        else:
            keys, values = keys[self.slots, :, : self.width], values[self.slots, :, : self.width]
        return Level(keys, values, mask, self.grouping.rows, self.grouping.places)

    def mask(self, positions: Tensor, window: int | None) -> Tensor | None:
        """bool (nodes, 1 or queries, keys): which keys each row sees. positions: int64 (rows,)."""
        if not (self.ragged or self.causal or window):
            return None
        columns = torch.arange(self.width, device=positions.device)
        visible = (columns < self.lengths[:, None]).unsqueeze(1)
        if not (self.causal or window):
            return visible
        rows = positions if self.grouping.rows is None else positions[self.grouping.rows]
        at = rows.reshape(len(self.lengths), -1, 1)
        key_at = (self.starts[:, None] + columns).unsqueeze(1)
        if self.causal:
            visible = visible & (key_at <= at)
        if window:
            visible = visible & (key_at > at - window)
        return visible


@dataclass(slots=True)
class TreeStep:
    """Everything attention needs in one forward pass. Passed through the model to `attend` in every layer."""

    positions: Tensor  # int64 (rows,): position of each row in its sequence
    last_position: int  # the largest of them, known on the host
    pool: KVPool  # where the rows' own keys and values are stored
    slots: Tensor  # int64 (rows,)
    columns: Tensor  # int64 (rows,)
    levels: Sequence[TreeLevel]  # root first; the rows' own nodes are the last
    _masks: dict[int | None, list[Tensor | None]] = field(default_factory=dict)

    def attend(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, *, scale: float, softcap: float | None, window: int | None
    ) -> Tensor:
        """Store the rows' k, v (rows, KV heads, size), then attend q (rows, query heads, size) over the paths."""
        self.pool.write(layer, self.slots, self.columns, k, v)
        masks = self._level_masks(window)
        levels = [level.view(layer, mask) for level, mask in zip(self.levels, masks, strict=True)]
        return tree_attention(q, levels, scale=scale, softcap=softcap)

    def _level_masks(self, window: int | None) -> list[Tensor | None]:
        """The levels' masks, made once per step: layers share them."""
        if window is not None and self.last_position < window:
            window = None  # nothing is out of reach yet
        if window not in self._masks:
            self._masks[window] = [level.mask(self.positions, window) for level in self.levels]
        return self._masks[window]
