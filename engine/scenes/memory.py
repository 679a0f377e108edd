"""What training a scene model will hold in memory, said before it starts. No torch: forms ask too."""

from __future__ import annotations

import math
from dataclasses import dataclass

_FP32 = 4
# Copies of a field that live at the same time in one training step of the auto-encoder: sums of the lift, the field,
# its gradient, and the gradient's sums in fp32.
_FIELDS = 4
_MAPS = 6  # of the encoder's and decoder's widest maps, with their gradients


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes of one training step of the scene auto-encoder; weights and the optimiser's state are small beside it."""

    fields: int
    frusta: int  # densities and features of all pixels
    pictures: int  # with the maps of the convolutions

    @property
    def total(self) -> int:
        return self.fields + self.frusta + self.pictures

    def refuse(self, available: int) -> None:
        """Raise SceneDataError, with what to change, where the step does not fit."""
        if self.total <= available:
            return
        from engine.scenes.data.types import SceneDataError  # with it comes torch

        parts = {"the voxel grids": self.fields, "the frusta": self.frusta, "the pictures": self.pictures}
        largest = max(parts, key=lambda name: parts[name])
        advice = {
            "the voxel grids": "a smaller grid (half each way is an eighth) or fewer scenes at once",
            "the frusta": "fewer depth bins, fewer views or a larger stride",
            "the pictures": "smaller pictures, fewer views or fewer scenes at once",
        }[largest]
        raise SceneDataError(
            f"A step needs about {_gib(self.total)} and {_gib(available)} are there; most go to {largest} "
            f"({_gib(parts[largest])}). Use {advice}."
        )


def estimate_memory(
    *,
    grid: tuple[int, int, int],
    channels: int,
    bins: int,
    scenes: int,
    views: int,
    size: int,
    stride: int,
    width: int,
) -> MemoryEstimate:
    """Of a step on `scenes` scenes at once, each with `views` pictures of size x size, feature maps `stride` times
    smaller and convolutions of `width` channels.

    Counted from the sizes of the tensors that the fused kernels keep, not measured; without a GPU the plain-torch
    kernels keep every cell of every frustum, (1 + channels) numbers each.
    """
    cells = (size // stride) ** 2 * views * scenes
    return MemoryEstimate(
        fields=_FIELDS * scenes * math.prod(grid) * (1 + channels) * _FP32,
        frusta=2 * cells * (bins + channels) * _FP32,
        pictures=_MAPS * size**2 * views * scenes * width * _FP32,
    )


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
