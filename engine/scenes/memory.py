"""What training a scene model will hold in memory: an estimate's parts, and a quick guess. No torch: forms ask too.

`engine.scenes.data` counts what each stage keeps, which needs torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_FP32 = 4
# Copies of a field that live at the same time in one training step of the auto-encoder: sums of the lift, the field,
# its gradient, and the gradient's sums in fp32.
FIELDS = 4
# Numbers that the networks keep for each voxel and for each cell of a feature map, fitted to what is counted; the
# second by the width of the networks and by the stride, which the drawing network undoes.
_OF_A_VOXEL, _OF_A_CHANNEL = 115, 4
_OF_A_CELL, _OF_A_STRIDE, _OF_A_PIXEL = 33, 5, 6
_ADVICE = {
    "fields": ("the voxel grids", "a smaller grid (half each way is an eighth) or fewer scenes at once"),
    "frusta": ("the frusta", "fewer depth bins, fewer views or a larger stride"),
    "pictures": ("the pictures", "smaller pictures, fewer views or fewer scenes at once"),
    "latents": ("the networks on latents", "narrower networks, a smaller grid or fewer scenes at once"),
    "weights": ("the weights", "narrower networks"),
    "data": ("the packed scenes", "fewer scenes, fewer views or smaller pictures"),
}


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes of one training step of a stage, in fp32; with bf16 the networks' parts are about half."""

    fields: int = 0
    frusta: int = 0  # densities and features of all pixels
    pictures: int = 0  # with the maps of the networks that read and draw them
    latents: int = 0  # with the maps of the networks between fields and latents, or of the denoisers
    weights: int = 0  # with their gradients, the optimiser's state and the moving average
    data: int = 0  # what the stage draws its batches from

    @property
    def total(self) -> int:
        return self.fields + self.frusta + self.pictures + self.latents + self.weights + self.data

    def refuse(self, available: int) -> None:
        """Raise SceneDataError, with what to change, where the step does not fit."""
        if self.total <= available:
            return
        from engine.scenes.data.types import SceneDataError  # with it comes torch

        largest = max(_ADVICE, key=lambda part: getattr(self, part))
        name, advice = _ADVICE[largest]
        raise SceneDataError(
            f"A step needs about {_gib(self.total)} and {_gib(available)} are there; most go to {name} "
            f"({_gib(getattr(self, largest))}). Use {advice}."
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
    """A guess, within 40 % of `engine.scenes.data.estimate_autoencoder`, of a step on `scenes` scenes at once,
    each with `views` pictures of size x size, feature maps `stride` times smaller and networks of `width` channels."""
    cells = (size // stride) ** 2 * views * scenes
    of_a_voxel = FIELDS * (1 + channels) + _OF_A_CHANNEL * channels + _OF_A_VOXEL
    of_a_cell = width * (_OF_A_CELL + _OF_A_STRIDE * stride) + _OF_A_PIXEL * stride**2
    return MemoryEstimate(
        fields=scenes * math.prod(grid) * of_a_voxel * _FP32,
        frusta=2 * cells * (bins + channels) * _FP32,
        pictures=cells * of_a_cell * _FP32,
    )


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
