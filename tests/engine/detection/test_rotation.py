from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from engine.detection.geometry import iou
from engine.detection.labels import rotate_boxes
from engine.detection.rotation import draw_angles, flip_batch, rotate_batch, rotate_images
from engine.detection.rules import LabelRule
from tests.engine.detection.scenes import batch_of, blocks


@pytest.mark.parametrize("shape", [(64, 64), (48, 80)])
def test_images_turn_as_pil_turns_them(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 255, (6, 10), dtype=np.uint8)).resize(
        shape[::-1], Image.Resampling.BICUBIC
    )
    degrees = [0.0, 12.0, -33.0, 90.0]
    images = torch.from_numpy(np.asarray(smooth).copy()).float().expand(4, 1, *shape)
    ours = rotate_images(images, torch.deg2rad(torch.tensor(degrees)))
    for turned, angle in zip(ours, degrees, strict=True):
        theirs = torch.from_numpy(np.asarray(smooth.rotate(angle, Image.Resampling.BILINEAR)).copy()).float()
        inside = (theirs > 0) & (turned[0] > 0)
        assert (turned[0] - theirs)[inside].abs().mean() < 1.5
        assert inside.float().mean() > 0.4


@pytest.mark.parametrize("text", ["perfect", "ellipse", "largest"])
@pytest.mark.parametrize("degrees", [-40, 15])
def test_boxes_follow_the_pixels(text: str, degrees: float) -> None:
    """The pixels of each rotated mask, drawn as an image of its own, lie in its label; `perfect` fits to a pixel."""
    batch = batch_of([blocks(), blocks()[:1]])
    turned = rotate_batch(batch, torch.deg2rad(torch.tensor([0.0, degrees])), LabelRule.parse(text))
    assert turned.owner.tolist() == [0, 0, 1]
    pixels = rotate_images(batch.images, turned.angles)[1, 0] > 0.5
    ys, xs = torch.where(pixels)
    truth = torch.stack((xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)).float()
    label = turned.boxes[2]
    if text == "perfect":
        assert torch.allclose(label, truth, atol=1.01)
    assert float(iou(label, truth)) > 0.4
    assert torch.equal(turned.images, rotate_images(batch.images, turned.angles))


def test_none_turns_nothing_and_leaves_out_what_is_thinner_than_a_pixel() -> None:
    batch = batch_of([blocks()])
    same = rotate_batch(batch, torch.ones(1), LabelRule("none"))
    assert same.images is batch.images and torch.equal(same.boxes, batch.boxes) and same.angles.eq(0).all()
    thin = replace(batch, boxes=torch.tensor([[5.0, 5, 5.5, 20], [1, 1, 9, 9]]))
    assert rotate_batch(thin, torch.ones(1), LabelRule("none")).labels.tolist() == [2]


@pytest.mark.parametrize("text", ["perfect", "ellipse", "largest", "random"])
def test_what_leaves_the_canvas_is_not_labelled(text: str) -> None:
    corner = np.zeros((64, 64), bool)
    corner[1:7, 1:7] = True
    batch = batch_of([[corner, *blocks()]])
    turned = rotate_batch(batch, torch.tensor([math.pi / 4]), LabelRule.parse(text))
    assert turned.labels.tolist() == [2, 3]
    assert (turned.boxes >= 0).all() and (turned.boxes <= 64).all()


def test_an_image_without_objects() -> None:
    batch = batch_of([[], blocks()])
    targets = rotate_batch(batch, draw_angles(2), LabelRule("perfect")).targets()
    assert targets.valid.tolist() == [[False, False], [True, True]]


def test_perfect_labels_fall_back_where_a_mask_is_missing() -> None:
    batch = batch_of([[np.zeros((64, 64), bool), *blocks()]])
    boxes = torch.cat((torch.tensor([[20.0, 20, 40, 30]]), batch.boxes[1:]))
    turned = rotate_batch(replace(batch, boxes=boxes), torch.tensor([0.2]), LabelRule("perfect"))
    ellipse = rotate_boxes(LabelRule("ellipse"), boxes[:1], torch.tensor([0.2]), torch.tensor([32.0, 32.0]))
    assert torch.allclose(turned.boxes[0], ellipse[0])


def test_angles_are_normal_with_15_degrees() -> None:
    angles = torch.rad2deg(draw_angles(20_000, torch.Generator().manual_seed(0)))
    assert float(angles.mean()) == pytest.approx(0, abs=0.3)
    assert float(angles.std()) == pytest.approx(15, abs=0.3)


def test_mirroring_moves_boxes_and_masks_with_the_pixels() -> None:
    batch = batch_of([blocks(), blocks()])
    mirrored = flip_batch(batch, torch.tensor([True, False]))
    assert torch.equal(mirrored.images[0], batch.images[0].flip(-1)) and torch.equal(
        mirrored.images[1], batch.images[1]
    )
    assert mirrored.outlines is not None
    boxes, _ = mirrored.outlines.boxes(torch.zeros(4), torch.zeros(2))
    assert torch.equal(boxes, mirrored.boxes)
    assert mirrored.boxes[0].tolist() == [64 - 34, 14, 64 - 12, 40]
    assert torch.equal(mirrored.boxes[2:], batch.boxes[2:])


def test_crowds_are_not_trained_on() -> None:
    batch = replace(batch_of([blocks(), blocks()]), crowd=torch.tensor([True, False, False, True]))
    assert batch.targets().valid.tolist() == [[False, True], [True, False]]
    seen = torch.tensor([True, True, False, True])
    assert batch.targets(seen).valid.tolist() == [[False, True], [False, False]]
