from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.detection.geometry import Outlines, box_centre_size, iou, rotate_points
from engine.detection.labels import (
    box_of_points,
    ellipse_size,
    largest_size,
    octagon_size,
    random_quads,
    rotate_boxes,
    rotiou_size,
)
from engine.detection.rules import LabelRule

sides = st.floats(0.5, 500)
turns = st.floats(-2 * math.pi, 2 * math.pi)


def f64(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def rotated_extent(points: torch.Tensor, angle: float) -> torch.Tensor:
    box = box_of_points(rotate_points(points, f64(angle)[0], f64(0, 0)))
    return box[2:] - box[:2]


@given(sides, sides, turns)
@settings(max_examples=60, deadline=None)
def test_sizes_against_rotated_points(w: float, h: float, angle: float) -> None:
    """Each closed form against the extremes of the rotated shape itself, in float64."""
    size, turn = f64(w, h), f64(angle)[0]
    corners = torch.tensor([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=torch.float64) * size / 2
    assert torch.allclose(largest_size(size, turn), rotated_extent(corners, angle))
    phase = torch.linspace(0, 2 * math.pi, 20001, dtype=torch.float64)
    ellipse = torch.stack((phase.cos(), phase.sin()), -1) * size / 2
    assert torch.allclose(ellipse_size(size, turn), rotated_extent(ellipse, angle), rtol=1e-5)
    for cut in (0.1, 0.2, 0.5):
        shrunk = torch.cat((corners * f64(1, 1 - 2 * cut), corners * f64(1 - 2 * cut, 1)))
        assert torch.allclose(octagon_size(size, turn, cut), rotated_extent(shrunk, angle))


def test_the_paper_numbers() -> None:
    twenty = f64(math.radians(20))[0]
    assert ellipse_size(f64(120, 315), twenty)[0] == pytest.approx(156, abs=0.5)
    assert largest_size(f64(120, 315), twenty)[0] == pytest.approx(221, abs=0.6)
    square = f64(7, 7)
    for degrees in range(0, 360, 15):
        assert torch.allclose(ellipse_size(square, f64(math.radians(degrees))[0]), square)
    assert largest_size(square, f64(math.pi / 4)[0])[0] == pytest.approx(7 * math.sqrt(2))


@given(sides, sides)
@settings(max_examples=20, deadline=None)
def test_right_angles_swap_the_sides(w: float, h: float) -> None:
    size = f64(w, h)
    for sizes in (largest_size, ellipse_size):
        assert torch.allclose(sizes(size, f64(0)[0]), size)
        assert torch.allclose(sizes(size, f64(math.pi / 2)[0]), size.flip(0))


@pytest.mark.parametrize(("w", "h", "degrees"), [(1, 1, 45), (1, 3, 20), (4, 1, 60), (2, 3, 5)])
def test_rotiou_against_a_dense_raster(w: float, h: float, degrees: float) -> None:
    """No upright box on a grid of sizes overlaps the rotated one noticeably more, counted on a raster."""
    size, turn = f64(w, h), f64(math.radians(degrees))[0]
    side = torch.linspace(-3, 3, 601, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    back = rotate_points(grid, -turn, f64(0, 0)).abs()
    inside = (back <= size / 2).all(-1)

    def overlap(upright: torch.Tensor) -> float:
        box = (grid.abs() <= upright / 2).all(-1)
        return float((inside & box).sum() / (inside | box).sum())

    found = overlap(rotiou_size(size, turn))
    bound = largest_size(size, turn)
    best = max(overlap(bound * f64(a, b)) for a in torch.linspace(0.3, 1, 15) for b in torch.linspace(0.3, 1, 15))
    assert found >= best - 0.01


def test_random_shapes_touch_each_side() -> None:
    boxes = torch.tensor([[2.0, 3, 10, 30], [-5, -5, 1, 0]])
    quads = random_quads(boxes, 50, torch.Generator().manual_seed(1))
    assert torch.allclose(box_of_points(quads), boxes[:, None].expand(2, 50, 4))
    again = random_quads(boxes, 50, torch.Generator().manual_seed(1))
    assert torch.equal(quads, again)


@pytest.mark.parametrize("text", ["largest", "ellipse", "octagon:0", "octagon:0.2", "octagon:0.5", "random", "rotiou"])
def test_every_rule_keeps_the_box_at_angle_zero(text: str) -> None:
    boxes = torch.tensor([[10.0, 20, 50, 33], [0, 0, 8, 8]])
    labels = rotate_boxes(LabelRule.parse(text), boxes, torch.zeros(2), torch.tensor([32.0, 32.0]))
    assert torch.allclose(labels, boxes, atol=0.5)


def test_rules_turn_in_the_direction_of_the_mask() -> None:
    """A small object far from the centre: with the right direction every label overlaps the rotated mask's box."""
    mask = torch.zeros(96, 96, dtype=torch.bool)
    mask[10:20, 40:60] = True
    outlines = Outlines.of_masks([mask.numpy()])
    upright, _ = outlines.boxes(torch.zeros(1), torch.zeros(2))
    centre, angle = torch.tensor([48.0, 48.0]), torch.tensor([math.radians(30)])
    truth, _ = outlines.boxes(angle, centre)
    for text in ("largest", "ellipse", "octagon:0.3", "random", "rotiou"):
        rule = LabelRule.parse(text)
        assert float(iou(rotate_boxes(rule, upright, angle, centre), truth)) > 0.2, text
        assert float(iou(rotate_boxes(rule, upright, -angle, centre), truth)) == 0, text
    perfect = rotate_boxes(LabelRule("perfect"), upright, angle, centre, outlines=outlines)
    assert torch.allclose(perfect, truth)


def test_perfect_falls_back_to_the_ellipse_for_an_empty_mask() -> None:
    empty = Outlines.of_masks([torch.zeros(4, 4, dtype=torch.bool).numpy()])
    box, angle, centre = torch.tensor([[1.0, 1, 3, 4]]), torch.tensor([0.3]), torch.tensor([2.0, 2.0])
    label = rotate_boxes(LabelRule("perfect"), box, angle, centre, outlines=empty)
    assert torch.equal(label, rotate_boxes(LabelRule("ellipse"), box, angle, centre))


def test_labels_have_gradients() -> None:
    boxes = torch.tensor([[1.0, 2, 5, 9]], dtype=torch.float64, requires_grad=True)
    angles, centre = torch.tensor([0.3], dtype=torch.float64, requires_grad=True), f64(3, 3)
    for text in ("largest", "ellipse", "octagon:0.2"):
        rule = LabelRule.parse(text)
        assert torch.autograd.gradcheck(lambda b, a, rule=rule: rotate_boxes(rule, b, a, centre), (boxes, angles))


def test_centres_are_odd_in_the_angle_and_sizes_even() -> None:
    boxes, centre = torch.tensor([[10.0, 20, 50, 33]]), torch.tensor([32.0, 32.0])
    plus = rotate_boxes(LabelRule("ellipse"), boxes, torch.tensor([0.5]), centre)
    minus = rotate_boxes(LabelRule("ellipse"), boxes, torch.tensor([-0.5]), centre)
    assert torch.allclose(box_centre_size(plus)[1], box_centre_size(minus)[1])
    assert not torch.allclose(box_centre_size(plus)[0], box_centre_size(minus)[0], atol=1)


@pytest.mark.parametrize("text", ["elipse", "octagon", "octagon:0.6", "octagon:x", "ellipse:0.1", "octagon:nan", ""])
def test_it_refuses_unknown_rules(text: str) -> None:
    with pytest.raises(ValueError, match=r"octagon|rule"):
        LabelRule.parse(text)


@pytest.mark.parametrize("text", ["none", "largest", "octagon:0.25", "perfect"])
def test_rules_read_back_what_they_write(text: str) -> None:
    assert str(LabelRule.parse(text)) == text


def test_perfect_without_masks_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="choose another rule"):
        rotate_boxes(LabelRule("perfect"), torch.zeros(1, 4), torch.zeros(1), torch.zeros(2))
