from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from engine.detection.geometry import Outlines, iou, rotate_points
from engine.detection.outline import outline_points


def l_shape(size: int = 96) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[20:70, 25:37] = True
    mask[58:70, 25:60] = True
    return mask


def box_of(mask: np.ndarray) -> list[int]:
    ys, xs = np.nonzero(mask)
    return [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


@pytest.mark.parametrize("degrees", [-75, -20, 0, 10, 33, 90, 180])
def test_it_turns_as_pil_turns_a_mask(degrees: float) -> None:
    """An L is not symmetric: a wrong sign or a wrong centre moves its box by many pixels."""
    mask = l_shape()
    big = Image.fromarray(mask).resize((96 * 8, 96 * 8), Image.Resampling.NEAREST)
    turned = np.asarray(big.rotate(degrees, Image.Resampling.NEAREST))
    truth = torch.tensor(box_of(turned)) / 8
    angles = torch.tensor([math.radians(degrees)])
    boxes, seen = Outlines.of_masks([mask]).boxes(angles, torch.tensor([48.0, 48.0]))
    assert seen.all()
    assert torch.allclose(boxes[0], truth, atol=0.3)
    if degrees not in (0, 180):
        wrong, _ = Outlines.of_masks([mask]).boxes(-angles, torch.tensor([48.0, 48.0]))
        assert (wrong[0] - truth).abs().max() > 3


@pytest.mark.parametrize("degrees", [15, 40, 65])
def test_the_box_of_what_stays_on_the_canvas(degrees: float) -> None:
    mask = np.zeros((64, 80), bool)
    mask[2:30, 50:78] = True
    mask[10:14, 40:50] = True
    big = Image.fromarray(mask).resize((640, 512), Image.Resampling.NEAREST)
    truth = torch.tensor(box_of(np.asarray(big.rotate(degrees, Image.Resampling.NEAREST)))) / 8
    angle = torch.tensor([math.radians(degrees)])
    boxes, seen = Outlines.of_masks([mask]).boxes(angle, torch.tensor([40.0, 32.0]), (64, 80))
    assert seen.all() and torch.allclose(boxes[0], truth, atol=1.0)


def test_what_leaves_the_canvas_or_is_empty_is_not_seen() -> None:
    corner = np.zeros((64, 64), bool)
    corner[:3, :3] = True
    outlines = Outlines.of_masks([corner, np.zeros((64, 64), bool), l_shape()])
    boxes, seen = outlines.boxes(torch.full((3,), math.pi / 4), torch.tensor([32.0, 32.0]), (64, 64))
    assert seen.tolist() == [False, False, True]
    assert boxes[:2].eq(0).all()


def test_an_outline_has_the_extremes_of_every_direction() -> None:
    generator = np.random.default_rng(0)
    mask = generator.random((20, 30)) < 0.2
    points = torch.from_numpy(outline_points(mask)).double()
    ys, xs = np.nonzero(mask)
    corners = torch.from_numpy(
        np.concatenate([np.stack((xs + i, ys + j), -1) for i in (0, 1) for j in (0, 1)])
    ).double()
    for angle in torch.linspace(0, 2 * math.pi, 17, dtype=torch.float64):
        direction = torch.stack((angle.cos(), angle.sin()))
        assert torch.isclose((points @ direction).max(), (corners @ direction).max())


def test_iou_against_counted_pixels() -> None:
    a, b = torch.tensor([2.0, 3, 10, 9]), torch.tensor([5.0, 1, 12, 7])
    grid = np.zeros((2, 20, 20), bool)
    grid[0, 3:9, 2:10] = True
    grid[1, 1:7, 5:12] = True
    assert float(iou(a, b)) == pytest.approx(grid.all(0).sum() / grid.any(0).sum())
    assert float(iou(a, torch.tensor([30.0, 30, 40, 40]))) == 0
    assert float(iou(torch.zeros(4), torch.zeros(4))) == 0


def test_rotations_compose() -> None:
    points, centre = torch.rand(7, 2, dtype=torch.float64), torch.tensor([0.3, 0.7], dtype=torch.float64)
    a, b = torch.tensor(0.4, dtype=torch.float64), torch.tensor(1.1, dtype=torch.float64)
    twice = rotate_points(rotate_points(points, a, centre), b, centre)
    assert torch.allclose(twice, rotate_points(points, a + b, centre))
