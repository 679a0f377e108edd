"""About what training a scene model will hold in memory, for forms: by hand, without torch.

`engine.scenes.data.estimate` counts what the networks really keep; the collect stage refuses by that.
"""

from __future__ import annotations

import math

_FP32 = 4
_FIELDS = 4  # copies of a field that live at the same time: the lift's sums, the field, its gradient, and that's sums
# Numbers that the networks keep for each voxel and for each cell of a feature map, fitted to what is counted; the
# second by the width of the networks and by the stride, which the drawing network undoes.
_OF_A_VOXEL, _OF_A_CHANNEL = 115, 4
_OF_A_CELL, _OF_A_STRIDE, _OF_A_PIXEL = 33, 5, 6


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
    feature maps `stride` times smaller and networks of `width` channels: within 40 % of what is counted."""
    cells = (size // stride) ** 2 * views * scenes
    of_a_voxel = _FIELDS * (1 + channels) + _OF_A_CHANNEL * channels + _OF_A_VOXEL
    of_a_cell = width * (_OF_A_CELL + _OF_A_STRIDE * stride) + _OF_A_PIXEL * stride**2 + 2 * (bins + channels)
    return _FP32 * (scenes * math.prod(grid) * of_a_voxel + cells * of_a_cell)
