"""The kernels through Triton's interpreter: run by test_interpreted with TRITON_INTERPRET=1."""

from __future__ import annotations

import math

import pytest
import torch

from kernels.detection import match, nms
from tests.kernels.detection.checks import (
    check_batch_norm_relu,
    check_bias_relu,
    check_focal_loss,
    check_group_norm_relu,
    check_overlaps,
    check_suppress,
)


@pytest.mark.parametrize(("groups", "count"), [(3, 1), (2, 33), (1, 70)])
def test_suppress(groups: int, count: int) -> None:
    check_suppress(nms.launch, "cpu", groups, count, 0.5)


@pytest.mark.parametrize(("anchors", "room"), [(260, 5), (7, 1)])
def test_best_overlaps(anchors: int, room: int) -> None:
    check_overlaps(match.launch, "cpu", 3, anchors, room)


@pytest.mark.parametrize(("shape", "groups"), [((2, 8, 3, 5), 2), ((1, 6, 17, 16), 2)])
def test_group_norm_relu(shape: tuple[int, int, int, int], groups: int) -> None:
    check_group_norm_relu("cpu", torch.float32, shape, groups)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("shape", "skips", "limit"), [((2, 8, 3, 5), True, math.inf), ((2, 70, 5, 4), False, 6.0)])
def test_batch_norm_relu(shape: tuple[int, int, int, int], training: bool, skips: bool, limit: float) -> None:
    check_batch_norm_relu("cpu", torch.float32, shape, training, skips, limit)


@pytest.mark.parametrize(("anchors", "classes"), [(7, 2), (230, 9)])
def test_focal_loss(anchors: int, classes: int) -> None:
    check_focal_loss("cpu", torch.float32, 3, anchors, classes)


def test_bias_relu() -> None:
    check_bias_relu("cpu", torch.float32, (2, 70, 3, 5))
