"""Parts that the networks of all stages share."""

from __future__ import annotations

import math
from typing import Literal, TypeVar

from torch import Tensor, nn

Layer = TypeVar("Layer", bound=nn.Module)


def zeroed(layer: Layer) -> Layer:
    """The layer with weights of zero: a block that ends in it begins as the identity."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(32, channels), channels)


class ConvBlock(nn.Module):
    """x + two 3 x 3 convolutions of it, each after a group norm. ``padding``: what lies around x, as in nn.Conv2d."""

    def __init__(self, width: int, *, padding: Literal["zeros", "replicate"] = "zeros") -> None:
        super().__init__()
        self.layers = nn.Sequential(
            group_norm(width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1, padding_mode=padding),
            group_norm(width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1, padding_mode=padding),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.layers(x)
        return out


def tower(inside: int, width: int, halvings: int) -> list[nn.Module]:
    """An encoder: a convolution, then for each halving one of stride 2, each followed by a block."""
    layers: list[nn.Module] = [nn.Conv2d(inside, width, 3, padding=1), ConvBlock(width)]
    for _ in range(halvings):
        layers += [nn.Conv2d(width, width, 3, stride=2, padding=1), ConvBlock(width)]
    return [*layers, group_norm(width), nn.SiLU()]
