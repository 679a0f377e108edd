"""A scene's map from above as a picture that a person can paint, and back.

Red is walls, green what is inside, blue the height of the floor as a share of the grid's height; black is outside. A
picture's rows are the map's: the first is y = 0. Ceilings, which nobody paints, lie as far above the floor as is usual.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from engine.detection.data.images import ImageError, read_image
from engine.scenes.data.types import SceneDataError

_ROOM = 0.9  # from floor to ceiling, of heights in [-1, 1]


def save_map(path: Path, channels: Tensor) -> None:
    """Write a map [4, Y, X] (`engine.scenes.data.views.map_of`) as a picture, its heights rounded to 8 bits."""
    inside, wall, floor, _ = channels.clamp(-1, 1)
    blue = (floor + 1) / 2 * (inside > 0)
    pixels = (torch.stack([wall.clamp(min=0), inside.clamp(min=0), blue], dim=-1) * 255).round()
    Image.fromarray(pixels.to(torch.uint8).numpy()).save(path)


def map_of_picture(path: Path, grid: tuple[int, int, int]) -> Tensor:
    """The map [4, Y, X] of a picture of any size, in the columns of a grid (Z, Y, X).

    Raises:
        SceneDataError: that is no picture, or nothing in it is inside.
    """
    try:
        pixels = read_image(path)
    except ImageError as error:
        raise SceneDataError(f"The map cannot be read: {error}.") from None
    _, rows, columns = grid
    image = Image.fromarray(pixels).resize((columns, rows), Image.Resampling.BOX)
    wall, inside, height = torch.from_numpy(np.array(image)).movedim(-1, 0).float() / 255
    if not (inside > 0).any():
        raise SceneDataError("Nothing on the map is inside: paint floors green, walls red and green.")
    floor = (height * 2 - 1) * (inside > 0)
    ceiling = (floor + _ROOM).clamp(max=1.0) * (inside > 0)
    return torch.stack([inside, torch.minimum(wall, inside), floor, ceiling])
