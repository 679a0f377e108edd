"""The kernels through Triton's interpreter: run by test_interpreted with TRITON_INTERPRET=1."""

from __future__ import annotations

import pytest
import torch

from kernels.detection import match, nms
from tests.kernels.detection.checks import check_group_norm_relu, check_overlaps, check_suppress


@pytest.mark.parametrize(("groups", "count"), [(3, 1), (2, 33), (2, 97)])
def test_suppress(groups: int, count: int) -> None:
    check_suppress(nms.launch, "cpu", groups, count, 0.5)


@pytest.mark.parametrize(("anchors", "room"), [(300, 9), (7, 1)])
def test_best_overlaps(anchors: int, room: int) -> None:
    check_overlaps(match.launch, "cpu", 3, anchors, room)


@pytest.mark.parametrize(("shape", "groups"), [((2, 8, 3, 5), 2), ((1, 6, 17, 16), 2)])
def test_group_norm_relu(shape: tuple[int, int, int, int], groups: int) -> None:
    check_group_norm_relu("cpu", torch.float32, shape, groups)
