"""ResNet-50 (He et al. 2015, arXiv 1512.03385) as torchvision has it, weights and all, with each batch norm, the skip
connection behind it and ReLU as one operation."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.ops.misc import FrozenBatchNorm2d

from kernels.detection import batch_norm_relu


class FrozenNorm(FrozenBatchNorm2d):
    """Of torchvision's values; its own operations would turn bfloat16 maps into float32 under autocast."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class FrozenNormReLU(FrozenBatchNorm2d):
    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        return batch_norm_relu(
            x,
            self.weight,
            self.bias,
            self.running_mean,
            self.running_var,
            training=False,
            momentum=0.0,
            eps=self.eps,
            skip=skip,
        )


class NormReLU(nn.BatchNorm2d):
    """BatchNorm2d, a skip connection if there is one, and ReLU up to `limit`."""

    def __init__(self, channels: int, *, eps: float, momentum: float, limit: float = math.inf) -> None:
        super().__init__(channels, eps=eps, momentum=momentum)
        self._limit = limit

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def forward(self, input: Tensor, skip: Tensor | None = None) -> Tensor:
        if self.training:
            self.num_batches_tracked.add_(1)
        return batch_norm_relu(
            input,
            self.weight,
            self.bias,
            self.running_mean,
            self.running_var,
            training=self.training,
            momentum=self.momentum or 0.0,
            eps=self.eps,
            skip=skip,
            limit=self._limit,
        )


class Block(Bottleneck):
    """Narrow, filter, widen, add what came in."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        for name in ("bn1", "bn2", "bn3"):
            setattr(self, name, _with_relu(getattr(self, name)))

    def forward(self, x: Tensor) -> Tensor:
        narrow = self.bn2(self.conv2(self.bn1(self.conv1(x))))
        skip = x if self.downsample is None else self.downsample(x)
        result: Tensor = self.bn3(self.conv3(narrow), skip)
        return result


def resnet50(*, frozen: bool) -> ResNet:
    """Randomly initialised; frozen: statistics, scales and shifts are buffers that stay as they are loaded."""
    network = ResNet(Block, [3, 4, 6, 3], norm_layer=FrozenNorm if frozen else nn.BatchNorm2d)
    network.bn1, network.relu = _with_relu(network.bn1), nn.Identity()
    return network


def _with_relu(norm: nn.Module) -> nn.Module:
    if isinstance(norm, nn.BatchNorm2d):
        return NormReLU(norm.num_features, eps=norm.eps, momentum=norm.momentum or 0.0)
    assert isinstance(norm, FrozenBatchNorm2d)
    return FrozenNormReLU(len(norm.weight), eps=norm.eps)
