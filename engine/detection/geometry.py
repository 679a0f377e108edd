"""Rotation of points, boxes and mask outlines, in one convention.

Pixels: x to the right, y down; a pixel (i, j) covers [j, j + 1) x [i, i + 1), so an image spans (0, 0) to (width,
height). Boxes are (x1, y1, x2, y2) in these units. Angles are in radians and positive **counter-clockwise as seen on
the screen**, as in PIL's `Image.rotate`:

    x' =  cos t (x - cx) + sin t (y - cy) + cx
    y' = -sin t (x - cx) + cos t (y - cy) + cy

Box sizes are even in the angle but box centres are not: a wrong sign keeps every size and moves every box. The tests
therefore compare this map with masks that PIL has rotated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.detection.outline import outline_points

Weights = tuple[float, float, float, float]
_MOST_GROWTH = math.log(1000 / 16)  # torchvision's: keeps exp from overflowing
_TINY = 1e-7


def rotate_points(points: Tensor, angles: Tensor, centre: Tensor) -> Tensor:
    """Points (..., 2) rotated by `angles` (...) about `centre` (..., 2), both broadcast."""
    x, y = (points - centre).unbind(-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.stack((cos * x + sin * y, cos * y - sin * x), -1) + centre


def box_centre_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Centres (..., 2) and sizes (..., 2: width, height) of boxes (..., 4)."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]


def boxes_around(centre: Tensor, size: Tensor) -> Tensor:
    """Boxes (..., 4) from centres (..., 2) and sizes (..., 2)."""
    return torch.cat((centre - size / 2, centre + size / 2), -1)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes a and b (..., 4), pair by pair and broadcast; 0 where the union is empty."""
    overlap = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - overlap
    return torch.where(union > 0, overlap / union.clamp(min=torch.finfo(union.dtype).tiny), torch.zeros_like(union))


def giou_loss(a: Tensor, b: Tensor) -> Tensor:
    """1 - GIoU of boxes a and b (..., 4), pair by pair (Rezatofighi et al. 2019, arXiv 1902.09630).

    torchvision's picks out the pairs that overlap, for which a GPU has to be waited for.
    """
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = a.unbind(-1), b.unbind(-1)
    width = (torch.minimum(ax2, bx2) - torch.maximum(ax1, bx1)).clamp(min=0)
    height = (torch.minimum(ay2, by2) - torch.maximum(ay1, by1)).clamp(min=0)
    both = width * height  # not prod(), whose gradient waits for the device to count zeros
    union = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - both
    hull = (torch.maximum(ax2, bx2) - torch.minimum(ax1, bx1)) * (torch.maximum(ay2, by2) - torch.minimum(ay1, by1))
    return 1 - both / (union + _TINY) + (hull - union) / (hull + _TINY)


def encode_offsets(labels: Tensor, anchors: Tensor, weights: Weights = (1, 1, 1, 1)) -> Tensor:
    """Offsets (..., 4) that turn `anchors` into `labels`, both (..., 4), scaled by `weights` (Girshick et al. 2014,
    arXiv 1311.2524, appendix C).

    As torchvision's BoxCoder, which copies its weights to the GPU in each call.
    """
    (middle, size), (origin, unit) = box_centre_size(labels), box_centre_size(anchors)
    moved, stretched = (middle - origin) / unit, (size / unit).log()
    return torch.stack(
        [part * weight for part, weight in zip((*moved.unbind(-1), *stretched.unbind(-1)), weights, strict=True)], -1
    )


def decode_offsets(offsets: Tensor, anchors: Tensor, weights: Weights = (1, 1, 1, 1)) -> Tensor:
    """The inverse of `encode_offsets`; boxes grow at most 62.5 times."""
    x, y, w, h = (part / weight for part, weight in zip(offsets.unbind(-1), weights, strict=True))
    origin, unit = box_centre_size(anchors)
    size = torch.stack((w, h), -1).clamp(max=_MOST_GROWTH).exp() * unit
    return boxes_around(torch.stack((x, y), -1) * unit + origin, size)


def clip_boxes(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes (..., 4) cut to a canvas of `size` (height, width)."""
    height, width = size
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack((x1.clamp(0, width), y1.clamp(0, height), x2.clamp(0, width), y2.clamp(0, height)), -1)


@dataclass(frozen=True, slots=True)
class Outlines:
    """The outlines of N objects as one ragged array: enough to know the box of each under any rotation.

    Attributes:
        points: (T, 2) float32, corners of the pixels at the edge of each mask.
        owner: (T,) int64, which object a point belongs to, ascending.
        count: N, objects without a point included.
    """

    points: Tensor
    owner: Tensor
    count: int

    @classmethod
    def of_masks(cls, masks: Sequence[npt.NDArray[np.bool_]]) -> Outlines:
        """From N boolean masks (H, W), of any sizes."""
        return cls.of_points([outline_points(mask) for mask in masks])

    @classmethod
    def of_points(cls, parts: Sequence[npt.NDArray[np.float32]]) -> Outlines:
        """From N arrays (P_i, 2)."""
        points = np.concatenate([*parts, np.zeros((0, 2), np.float32)])
        owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        return cls(torch.from_numpy(points), torch.from_numpy(owner.astype(np.int64)), len(parts))

    def boxes(self, angles: Tensor, centres: Tensor, canvas: tuple[int, int] | None = None) -> tuple[Tensor, Tensor]:
        """The tight box of each object after rotation, B(R^t(S)), of what lies on the canvas where one is given.

        A shape cut by the canvas is known to within one pixel, since only points of its outline are looked at.

        Args:
            angles: (N,) radians.
            centres: (N, 2) or (2,), what each object is rotated about.
            canvas: (height, width) after rotation; None for no cut.

        Returns:
            Boxes (N, 4) and which of them show anything (N,) bool; the box of an object that does not is zero.
        """
        centres = centres.expand(self.count, 2)
        moved = rotate_points(self.points, angles[self.owner], centres[self.owner])
        inside = torch.ones_like(self.owner, dtype=torch.bool)
        if canvas is not None:
            # half a pixel of slack keeps the points of a shape that ends exactly at the edge
            x, y = moved.unbind(-1)
            inside = (x >= -0.5) & (x <= canvas[1] + 0.5) & (y >= -0.5) & (y <= canvas[0] + 0.5)
        index = self.owner[:, None].expand(-1, 2)
        far = torch.full_like(moved, torch.inf)
        blank = moved.new_full((self.count, 2), torch.inf)
        low = blank.scatter_reduce(0, index, torch.where(inside[:, None], moved, far), "amin")
        high = (-blank).scatter_reduce(0, index, torch.where(inside[:, None], moved, -far), "amax")
        seen = low[:, 0] < torch.inf
        boxes = torch.where(seen[:, None], torch.cat((low, high), -1), torch.zeros_like(low[:, :1]))
        if canvas is not None:
            boxes = clip_boxes(boxes, canvas)
            seen = seen & (boxes[:, 2:] > boxes[:, :2]).all(-1)
        return boxes, seen
