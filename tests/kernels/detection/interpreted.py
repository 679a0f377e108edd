"""The suppression kernels through Triton's interpreter: run by test_interpreted with TRITON_INTERPRET=1."""

from __future__ import annotations

import pytest

from kernels.detection.nms import launch
from tests.kernels.detection.checks import check_suppress


@pytest.mark.parametrize(("groups", "count"), [(3, 1), (2, 33), (2, 97)])
def test_suppress(groups: int, count: int) -> None:
    check_suppress(launch, "cpu", groups, count, 0.5)
