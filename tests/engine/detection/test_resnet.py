"""Our ResNet-50 is torchvision's: the same weights by the same names, the same maps, the same gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import resnet50 as peer
from torchvision.ops.misc import FrozenBatchNorm2d

from engine.detection.resnet import resnet50


@pytest.mark.parametrize("frozen", [False, True])
def test_resnet_is_torchvisions(frozen: bool) -> None:
    torch.manual_seed(0)
    theirs = peer(weights=None, norm_layer=FrozenBatchNorm2d if frozen else nn.BatchNorm2d)
    ours = resnet50(frozen=frozen)
    ours.load_state_dict(theirs.state_dict())
    assert list(ours.state_dict()) == list(theirs.state_dict())
    images = torch.rand(2, 3, 33, 64)
    found, expected = ours(images), theirs(images)
    assert torch.equal(found, expected)
    found.sum().backward()
    expected.sum().backward()
    assert ours.conv1.weight.grad is not None and theirs.conv1.weight.grad is not None
    assert torch.equal(ours.conv1.weight.grad, theirs.conv1.weight.grad)
    assert all(torch.equal(value, ours.state_dict()[name]) for name, value in theirs.state_dict().items()), "statistics"
