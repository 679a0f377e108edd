"""Learning rate, moving average and the order of images.

All are functions of the step alone, so that a resumed run is the same run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn


def learning_rate(step: int, steps: int, warmup: int, peak: float) -> float:
    """Linear from peak/warmup over `warmup` steps, then a half cosine to 0 at `steps`.

    Loshchilov and Hutter 2017, arXiv 1608.03983, eq. 5 without restarts.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """A seed for all random choices of one step on one process: 64 bits, well mixed (splitmix64 of the three)."""
    value = seed
    for part in (step, rank):
        value = (value * 0x9E3779B97F4A7C15 + part + 1) & 0xFFFFFFFFFFFFFFFF
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        value ^= value >> 31
    return value & 0x7FFFFFFFFFFFFFFF


def epoch_batches(count: int, batch_size: int, seed: int, epoch: int, rank: int = 0, world: int = 1) -> list[list[int]]:
    """Indices of this process's batches in an epoch: every image once, in an order that depends on seed and epoch.

    The last batch is filled up from the start of the order, so that all have `batch_size` images and all processes take
    as many steps.
    """
    order = torch.randperm(count, generator=torch.Generator().manual_seed(step_seed(seed, epoch, 1 << 20))).tolist()
    together = batch_size * world
    steps = -(-count // together)
    filled = [order[place % count] for place in range(steps * together)]
    return [filled[step * together + rank * batch_size :][:batch_size] for step in range(steps)]


class MovingAverage:
    """An exponential moving average of a model's weights in a copy of it, warmed up as (1 + n) / (10 + n)."""

    def __init__(self, model: nn.Module, copy: nn.Module, decay: float) -> None:
        self.model, self._decay = copy.eval(), decay
        copy.load_state_dict(model.state_dict())
        for parameter in copy.parameters():
            parameter.requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """After optimiser step number `step` from 0."""
        keep = min(self._decay, (1 + step) / (10 + step))
        ours, theirs = zip(*self._pairs(model), strict=True)
        torch._foreach_lerp_(list(ours), list(theirs), 1 - keep)
        if buffers := list(self.model.buffers()):
            torch._foreach_copy_(buffers, list(model.buffers()))

    def _pairs(self, model: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(self.model.parameters(), (each.detach() for each in model.parameters()), strict=True)
