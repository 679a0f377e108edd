"""About what training a scene model will hold in memory, for forms: by hand, without torch.

`engine.scenes.data.estimate` counts what the networks really keep; the collect stage refuses by that.
"""

from __future__ import annotations

import math

_FP32 = 4
_FIELDS = 4  # copies of a field that live at the same time: the lift's sums, the field, its gradient, and that's sums
_MAPS = 6  # of the encoder's and decoder's widest maps, with their gradients


def rough_memory(
    *,
    grid: tuple[int, int, int],
    channels: int,
    bins: int,
    scenes: int,
    views: int,
    size: int,
    stride: int,
    width: int,
) -> int:
    """Bytes of a step of the scene auto-encoder on `scenes` scenes at once, each with `views` pictures of size x size,
    feature maps `stride` times smaller and networks of `width` channels."""
    cells = (size // stride) ** 2 * views * scenes
    fields = _FIELDS * scenes * math.prod(grid) * (1 + channels) * _FP32
    frusta = 2 * cells * (bins + channels) * _FP32
    return fields + frusta + _MAPS * size**2 * views * scenes * width * _FP32
