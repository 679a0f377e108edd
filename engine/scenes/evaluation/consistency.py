"""Do the pictures of a scene agree with each other? Surfaces of one must be found by the next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.scenes.rig import Rig

_ABSOLUTE, _RELATIVE = 1.0, 0.05  # voxels, and share of the depth, that surfaces may be apart
_SOLID = 0.5  # of a ray's light must end for a cell to show a surface


@dataclass(frozen=True, slots=True)
class Consistency:
    """`share`: of the points that nothing nearer hides in the other picture, those whose depth agrees there; `colour`:
    mean absolute difference of their colours in [0, 1]; `points`: how many were compared. NaN where none were."""

    share: float
    colour: float
    points: int


def reprojection(images: Tensor, depths: Tensor, accumulation: Tensor, rig: Rig) -> Consistency:
    """Of the pictures [K, 3, h, w] along a trajectory, with depths and accumulation [K, H, W]: each is compared with
    the next and with the one before.

    A point of one picture is carried into another. It agrees when the surface there is as far, within a voxel or 5 %,
    at one of the 3 x 3 cells around; it is hidden, and not counted, when that surface is nearer.
    """
    found = compared = 0
    difference = 0.0
    for here, there in [pair for n in range(len(rig) - 1) for pair in ((n, n + 1), (n + 1, n))]:
        solid = accumulation[here] > _SOLID
        rays = rig[[here]].rays(depths.shape[-1])
        points = (rays.origins + depths[here][None, None, ..., None] * rays.directions)[0, 0][solid]
        places, far = (each[0] for each in rig[[there]].project(points))
        inside = (places.abs() < 1).all(-1) & (far > 0)
        places, far = places[inside], far[inside]
        around = _neighbourhood(depths[there], accumulation[there], places)  # [9, P], infinite where nothing is
        tolerance = (_RELATIVE * far).clamp(min=_ABSOLUTE)
        agrees = ((around - far).abs() <= tolerance).any(0)
        hidden = ~agrees & (around < far - tolerance).any(0)
        compared += int((~hidden).sum())
        found += int(agrees.sum())
        seen, expected = _colours(images[there], places[agrees]), _coarse(images[here], depths)[solid][inside][agrees]
        difference += float((seen - expected).abs().mean(-1).sum())
    return Consistency(found / compared if compared else math.nan, difference / found if found else math.nan, compared)


def together(parts: Sequence[Consistency]) -> Consistency:
    """Of several scenes: means over all points."""
    points = sum(part.points for part in parts)
    agreeing = [(part.share * part.points, part.colour) for part in parts if part.points]
    found = sum(count for count, _ in agreeing)
    return Consistency(
        found / points if points else math.nan,
        sum(count * colour for count, colour in agreeing if count) / found if found else math.nan,
        points,
    )


def _neighbourhood(depth: Tensor, accumulation: Tensor, places: Tensor) -> Tensor:
    """Depths [9, P] of the cells around places [P, 2]."""
    height, width = depth.shape
    surface = depth.where(accumulation > _SOLID, torch.inf)
    column = ((places[:, 0] + 1) / 2 * width).floor().long()
    row = ((places[:, 1] + 1) / 2 * height).floor().long()
    return torch.stack(
        [
            surface[(row + down).clamp(0, height - 1), (column + across).clamp(0, width - 1)]
            for down in (-1, 0, 1)
            for across in (-1, 0, 1)
        ]
    )


def _coarse(image: Tensor, depths: Tensor) -> Tensor:
    """A picture [3, h, w] at the cells of a depth map, [H, W, 3]."""
    return F.adaptive_avg_pool2d(image[None], (depths.shape[-2], depths.shape[-1]))[0].movedim(0, -1)


def _colours(image: Tensor, places: Tensor) -> Tensor:
    """[P, 3]."""
    found = F.grid_sample(image[None], places[None, None], padding_mode="border", align_corners=False)
    return found[0, :, 0].T
