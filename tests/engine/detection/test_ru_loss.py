from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder

from engine.detection.ru_loss import RUGate, ru_threshold

VALUES = [
    (10, {0: 1.0, 2: 0.979, 4: 0.917, 5: 0.871, 6: 0.815, 8: 0.675, 10: 0.5, 45: 0.5, 80: 0.5, 82: 0.675, 90: 1.0}),
    (15, {5: 0.94, 10: 0.766, 15: 0.5, 30: 0.5}),
    (30, {5: 0.980, 10: 0.922, 20: 0.725, 30: 0.5}),
    (45, {10: 0.942, 20: 0.793, 30: 0.625, 45: 0.5}),
]


@pytest.mark.parametrize(("delta", "values"), VALUES)
def test_the_threshold_by_angle(delta: float, values: dict[int, float]) -> None:
    for degrees, expected in values.items():
        assert float(ru_threshold(torch.tensor(math.radians(degrees)), delta)) == pytest.approx(expected, abs=6e-4)


@given(st.floats(-7, 7), st.floats(1, 45))
def test_the_threshold_is_even_repeats_each_quarter_and_stays_in_bounds(angle: float, delta: float) -> None:
    at = torch.tensor([angle, -angle, angle + math.pi / 2], dtype=torch.float64)
    threshold = ru_threshold(at, delta)
    assert torch.allclose(threshold, threshold[:1], atol=1e-6)
    assert 0.5 <= float(threshold[0]) <= 1


@pytest.mark.parametrize("delta", [0, -10, 46, math.nan])
def test_it_refuses_other_deltas(delta: float) -> None:
    with pytest.raises(ValueError, match="delta must be"):
        RUGate(delta)


def gate_of(gate: RUGate, found: Tensor, label: Tensor, degrees: float) -> list[float]:
    angles = torch.tensor([math.radians(degrees)])
    return gate.of_boxes(found[None], label[None], angles, torch.ones(1, len(found), dtype=torch.bool))[0].tolist()


def test_upright_images_are_regressed_whatever_the_overlap() -> None:
    """The direction of the inequality: the other way round nothing would be regressed here."""
    label = torch.tensor([[0.0, 0, 10, 10]]).expand(3, 4)
    found = torch.tensor([[0.0, 0, 10, 9.9], [0, 0, 10, 6], [20, 20, 30, 30]])
    assert gate_of(RUGate(10), found, label, 0) == [1, 1, 1]


def test_turned_images_are_left_alone_once_close_enough() -> None:
    label = torch.tensor([[0.0, 0, 10, 10]]).expand(3, 4)
    found = torch.tensor([[0.0, 0, 10, 9], [0, 0, 10, 5.1], [0, 0, 10, 4.9]])  # IoU .9, .51, .49
    assert gate_of(RUGate(10), found, label, 45) == [0, 0, 1]
    assert gate_of(RUGate(10), found, label, 8) == [0, 1, 1]  # threshold .675
    assert gate_of(RUGate(None), found, label, 8) == [1, 1, 1]


@given(st.integers(0, 1000))
def test_offsets_give_the_gate_of_the_boxes(seed: int) -> None:
    """IoU does not change when both boxes move and stretch together, so no anchors are needed."""
    generator = torch.Generator().manual_seed(seed)
    weights = (10.0, 10.0, 5.0, 5.0)
    coder = BoxCoder(weights)
    anchors = torch.rand(20, 4, generator=generator) * 50
    anchors[:, 2:] += anchors[:, :2] + 5
    found, goal = (torch.randn(20, 4, generator=generator) for _ in range(2))
    positive = torch.rand(2, 10, generator=generator) < 0.7
    angles = torch.randn(2, generator=generator) * 0.3
    boxes = [coder.decode_single(each, anchors).view(2, 10, 4) for each in (found, goal)]
    from_boxes = RUGate(10).of_boxes(*boxes, angles, positive)
    offsets = found.view(2, 10, 4), goal.view(2, 10, 4)
    assert torch.equal(RUGate(10).of_offsets(*offsets, angles, positive, weights), from_boxes)
    assert not from_boxes[~positive].any()


def test_the_gate_has_no_gradient_and_counts_by_angle() -> None:
    gate = RUGate(10)
    found = torch.tensor([[[0.0, 0, 10, 9]] * 2] * 4, requires_grad=True)
    label = torch.tensor([[[0.0, 0, 10, 10]] * 2] * 4)
    angles = torch.deg2rad(torch.tensor([1.0, 44.0, -44.0, 91.0]))
    positive = torch.tensor([[True, False]] * 4)
    assert not gate.of_boxes(found, label, angles, positive).requires_grad
    rows = {row.low: row for row in gate.rows()}
    assert (rows[0].positives, rows[0].regressed, rows[0].gated) == (2, 2, 0)
    assert (rows[40].positives, rows[40].regressed, rows[40].gated) == (2, 0, 1)
    assert math.isnan(rows[20].gated)
    gate.clear()
    assert sum(row.positives for row in gate.rows()) == 0
