"""Storage for the keys and values of tree nodes."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.sampling.shape import ModelShape


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
