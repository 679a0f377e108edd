"""Box labels for rotated images: what box to train on when the image turns and only the upright box is known.

Kalra et al., "Towards Rotation Invariance in Object Detection", ICCV 2021, arXiv 2109.13488. With S the object's true
shape and B(S) its tight upright box, the perfect label is B(R^t(S)). Every rule but `perfect` guesses it
from b = B(S) alone; `engine.detection.rules` lists them.

Sizes are differentiable in box and angle, except those of `rotiou`, which come out of a search.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from engine.detection.geometry import Outlines, box_centre_size, boxes_around, rotate_points
from engine.detection.rules import LabelRule

_SEARCH_POINTS, _SEARCH_ROUNDS, _SLICES = 5, 9, 48


def largest_size(size: Tensor, angles: Tensor) -> Tensor:
    """Size (..., 2) of the box of a rotated box (eqs 1-5): W = w|cos t| + h|sin t|, H = w|sin t| + h|cos t|."""
    return _mix(size, angles.cos().abs(), angles.sin().abs())


def ellipse_size(size: Tensor, angles: Tensor) -> Tensor:
    """Size (..., 2) of the box of the rotated inscribed ellipse (eqs 15-16, in closed form).

    The support function of an ellipse with semi-axes w/2, h/2 in direction u is sqrt((w u_x / 2)^2 + (h u_y / 2)^2), so
    W = sqrt(w^2 cos^2 t + h^2 sin^2 t) and H = sqrt(w^2 sin^2 t + h^2 cos^2 t).
    """
    return _mix(size.square(), angles.cos().square(), angles.sin().square()).sqrt()


def octagon_size(size: Tensor, angles: Tensor, cut: float) -> Tensor:
    """Size (..., 2) of the box of the rotated octagon whose corners are cut by a share `cut` of each side."""
    cos, sin = angles.cos().abs(), angles.sin().abs()
    return torch.maximum(_mix(size, cos, sin * (1 - 2 * cut)), _mix(size, cos * (1 - 2 * cut), sin))


def rotiou_size(size: Tensor, angles: Tensor) -> Tensor:
    """Size (..., 2) of the upright box about the same centre with the largest IoU with the rotated box.

    No closed form: a grid over shares of the largest box that closes in. Accurate to about half a percent of a side.
    No gradient.
    """
    with torch.no_grad():
        bound = largest_size(size, angles)
        steps = torch.linspace(-1, 1, _SEARCH_POINTS, dtype=size.dtype, device=size.device)
        offsets = torch.cartesian_prod(steps, steps)
        best, reach = torch.full_like(bound, 0.6), 0.4
        for _ in range(_SEARCH_ROUNDS):
            shares = (best[..., None, :] + reach * offsets).clamp(0.05, 1)
            score = _rotated_iou(size[..., None, :], angles[..., None], shares * bound[..., None, :])
            chosen = score.argmax(-1)[..., None, None].expand(*score.shape[:-1], 1, 2)
            best, reach = shares.gather(-2, chosen).squeeze(-2), reach * 0.55
        return best * bound


def random_box(boxes: Tensor, angles: Tensor, centre: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Boxes (N, 4) of one random shape each, touching every side of its box once, after rotation (the paper's P)."""
    quads = random_quads(boxes, 1, generator)[:, 0]
    return box_of_points(rotate_points(quads, angles[..., None], centre))


def random_quads(boxes: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
    """`count` quadrilaterals (N, count, 4, 2) in each box (N, 4), with one uniform point on each side: a draw of P."""
    shape = (boxes.shape[0], count, 4)
    along = torch.rand(shape, generator=generator, device=boxes.device, dtype=boxes.dtype)
    zero, one = torch.zeros_like(along[..., 0]), torch.ones_like(along[..., 0])
    x = torch.stack((along[..., 0], one, along[..., 2], zero), -1)
    y = torch.stack((zero, along[..., 1], one, along[..., 3]), -1)
    low, size = boxes[:, None, None, :2], (boxes[:, 2:] - boxes[:, :2])[:, None, None, :]
    return low + torch.stack((x, y), -1) * size


def box_of_points(points: Tensor) -> Tensor:
    """Tight boxes (..., 4) of points (..., P, 2); the gradient flows to the extreme points."""
    return torch.cat((points.amin(-2), points.amax(-2)), -1)


def rotate_boxes(
    rule: LabelRule,
    boxes: Tensor,
    angles: Tensor,
    centre: Tensor,
    *,
    outlines: Outlines | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Labels for N boxes of rotated images, not yet cut to the canvas.

    Args:
        rule: how; `none` returns the boxes as they are.
        boxes: (N, 4) floating point.
        angles: (N,) radians, counter-clockwise as seen.
        centre: (2,) or (N, 2), what the image is rotated about.
        outlines: of the N masks; only `perfect` reads them. A box whose mask is empty is rotated by `ellipse`.
        generator: for `random`.

    Raises:
        ValueError: `perfect` without outlines.
    """
    if rule.kind == "none":
        return boxes
    if rule.kind == "random":
        return random_box(boxes, angles, centre[..., None, :], generator)
    if rule.kind == "perfect":
        if outlines is None:
            raise ValueError(
                "the rule 'perfect' makes labels from masks, and this data set has none: choose another rule"
            )
        exact, seen = outlines.boxes(angles, centre)
        return torch.where(seen[:, None], exact, rotate_boxes(LabelRule("ellipse"), boxes, angles, centre))
    middle, size = box_centre_size(boxes)
    sizes: dict[str, Callable[[], Tensor]] = {
        "largest": lambda: largest_size(size, angles),
        "ellipse": lambda: ellipse_size(size, angles),
        "octagon": lambda: octagon_size(size, angles, rule.cut),
        "rotiou": lambda: rotiou_size(size, angles),
    }
    return boxes_around(rotate_points(middle, angles, centre), sizes[rule.kind]())


def _mix(size: Tensor, along: Tensor, across: Tensor) -> Tensor:
    width, height = size.unbind(-1)
    return torch.stack((width * along + height * across, width * across + height * along), -1)


def _rotated_iou(size: Tensor, angles: Tensor, upright: Tensor) -> Tensor:
    """IoU of a box of `size` turned by `angles` and an upright box, both about the origin; all broadcast, (..., 2).

    The overlap is an integral over x of the length of a vertical slice, by the midpoint rule; both shapes are symmetric
    about the origin, so half of it will do, and the sign of the angle does not matter.
    """
    cos, sin = angles.cos().abs()[..., None], angles.sin().abs()[..., None].clamp(min=1e-6)
    cos = cos.clamp(min=1e-6)
    half_w, half_h = (size / 2).unbind(-1)
    half_w, half_h = half_w[..., None], half_h[..., None]
    fractions = (torch.arange(_SLICES, dtype=size.dtype, device=size.device) + 0.5) / _SLICES
    x = upright[..., :1] / 2 * fractions
    limit = upright[..., 1:] / 2
    high = torch.minimum(torch.minimum((half_w - x * cos) / sin, (half_h + x * sin) / cos), limit)
    low = torch.maximum(torch.maximum((-half_w - x * cos) / sin, (-half_h + x * sin) / cos), -limit)
    overlap = (high - low).clamp(min=0).mean(-1) * upright[..., 0]
    return overlap / (size.prod(-1) + upright.prod(-1) - overlap)
