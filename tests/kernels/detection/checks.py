"""One check for the interpreter on a CPU and for a GPU."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kernels.detection import reference


def check_suppress(
    suppress: Callable[[Tensor, Tensor, float], Tensor], device: str, groups: int, count: int, threshold: float
) -> None:
    """Crowded boxes, a tenth of them missing, two the same, one empty, against torchvision's one group at a time."""
    generator = torch.Generator().manual_seed(count)
    middle = torch.rand(groups, count, 2, generator=generator) * 10 * count**0.5
    half = torch.rand(groups, count, 2, generator=generator) * 20 + 1
    boxes = torch.cat((middle - half, middle + half), -1)
    valid = torch.rand(groups, count, generator=generator) < 0.9
    boxes[:, count // 2] = boxes[:, 0]
    boxes[:, -1, 2:] = boxes[:, -1, :2]
    expected = reference.suppress(boxes, valid, threshold)
    assert torch.equal(suppress(boxes.to(device), valid.to(device), threshold).cpu(), expected)
    if count > 10:
        assert 0 < int(expected.sum()) < int(valid.sum()), "some go and some stay"
