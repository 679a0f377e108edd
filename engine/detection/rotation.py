"""Rotation of a whole batch: images, boxes and masks turn together, on the device the batch is on.

The angle is drawn apart from the geometry, so that images, labels, the loss and previews share it. Frames do not
grow: what turns out of the canvas is cut off, as in Kalra et al. 2021.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from engine.detection.batch import Batch
from engine.detection.geometry import Outlines, clip_boxes
from engine.detection.labels import rotate_boxes
from engine.detection.rules import LabelRule

STD_DEGREES = 15.0  # the paper's angle ~ Normal(0, 15 degrees), "for all experiments"
MIN_VISIBLE = 0.25  # share of a label's area that must be left on the canvas; below it the object is not labelled
MIN_SIDE = 1.0  # pixels; a thinner box is not labelled


def draw_angles(count: int, generator: torch.Generator | None = None, std_degrees: float = STD_DEGREES) -> Tensor:
    """`count` angles in radians from Normal(0, std), on the CPU: they depend on the seed only, not on the device."""
    return torch.randn(count, generator=generator) * math.radians(std_degrees)


def rotate_images(images: Tensor, angles: Tensor, mode: Literal["bilinear", "nearest"] = "bilinear") -> Tensor:
    """Images (B, C, H, W) turned by `angles` (B,) radians about their middle, black where nothing is known.

    Masks go through the same function with `nearest`. Any floating dtype; the result keeps it.
    """
    height, width = images.shape[-2:]
    cos, sin, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    # affine_grid maps output to input, in coordinates that run from -1 to 1 on both axes; hence the inverse rotation
    # and the ratios of the sides.
    rows = (cos, -sin * height / width, zero, sin * width / height, cos, zero)
    theta = torch.stack(rows, -1).reshape(-1, 2, 3).to(images.dtype)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode=mode, padding_mode="zeros", align_corners=False)


def rotate_batch(batch: Batch, angles: Tensor, rule: LabelRule, generator: torch.Generator | None = None) -> Batch:
    """The batch turned as `turn_batch` does, without the objects of which hardly anything is left on the canvas."""
    turned, seen = turn_batch(batch, angles, rule, generator)
    return _only(turned, seen)


def turn_batch(
    batch: Batch, angles: Tensor, rule: LabelRule, generator: torch.Generator | None = None
) -> tuple[Batch, Tensor]:
    """The batch turned by `angles` (B,) with labels by `rule`, cut to the canvas, and which objects (T,) to train on:
    those of which enough is left.

    All objects are kept: a GPU need not be waited for to know how many there are. Masks go, being upright.

    Args:
        batch: upright.
        angles: (B,) radians; not looked at where the rule is `none`.
        rule: how boxes are made.
        generator: on the batch's device, for the rule `random`.

    Raises:
        ValueError: the rule needs masks and the batch has none.
    """
    if not rule.rotates:
        large = (batch.boxes[:, 2:] - batch.boxes[:, :2] >= MIN_SIDE).all(-1)
        return replace(batch, outlines=None), large
    angles = angles.to(batch.images.device, non_blocking=True)
    labels, seen = rotated_labels(batch, angles, rule, generator)
    images = rotate_images(batch.images, angles)
    return replace(batch, boxes=labels, images=images, angles=angles, outlines=None), seen


def flip_batch(batch: Batch, flips: Tensor) -> Batch:
    """The batch with images mirrored left to right where `flips` (B,) is true. A mirror image needs no new labels."""
    flips = flips.to(batch.images.device, non_blocking=True)
    width = batch.canvas[1]
    mirrored = torch.cat(
        (width - batch.boxes[:, 2:3], batch.boxes[:, 1:2], width - batch.boxes[:, :1], batch.boxes[:, 3:]), 1
    )
    outlines = batch.outlines
    if outlines is not None:
        points = torch.stack((width - outlines.points[:, 0], outlines.points[:, 1]), 1)
        turned = flips[batch.owner][outlines.owner]
        outlines = Outlines(torch.where(turned[:, None], points, outlines.points), outlines.owner, outlines.count)
    return replace(
        batch,
        images=torch.where(flips[:, None, None, None], batch.images.flip(-1), batch.images),
        boxes=torch.where(flips[batch.owner][:, None], mirrored, batch.boxes),
        outlines=outlines,
    )


def _only(batch: Batch, kept: Tensor) -> Batch:
    """The objects (T,) that are kept; masks go, being of all."""
    return replace(
        batch,
        boxes=batch.boxes[kept],
        labels=batch.labels[kept],
        crowd=batch.crowd[kept],
        owner=batch.owner[kept],
        outlines=None,
    )


def rotated_labels(
    batch: Batch, angles: Tensor, rule: LabelRule, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Labels (T, 4) cut to the canvas and which of them show enough of their object (T,) bool. See `rotate_batch`."""
    turns = angles[batch.owner]
    whole = rotate_boxes(rule, batch.boxes, turns, batch.centre, outlines=batch.outlines, generator=generator)
    cut = clip_boxes(whole, batch.canvas)
    if rule.needs_masks and batch.outlines is not None:
        # the box of what is left of the shape, which can be smaller than what is left of its box
        visible, seen = batch.outlines.boxes(turns, batch.centre, batch.canvas)
        has_mask = torch.zeros_like(seen).index_fill_(0, batch.outlines.owner, True)
        cut = torch.where(has_mask[:, None], torch.where(seen[:, None], visible, torch.zeros_like(cut)), cut)
    sides = cut[:, 2:] - cut[:, :2]
    share = sides.prod(-1) / (whole[:, 2:] - whole[:, :2]).prod(-1).clamp(min=1e-6)
    return cut, (sides >= MIN_SIDE).all(-1) & (share >= MIN_VISIBLE)
