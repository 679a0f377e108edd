"""A perceptual distance: features of VGG-16's first ten layers (Johnson et al. 2016), compared as LPIPS does.

Zhang et al. 2018: features of each layer are scaled to length 1 at every pixel, squared differences are weighted by
channel and averaged. The weights are those that the package stlpips-pytorch ships (shift-tolerant LPIPS,
Ghildyal and Liu 2022: pooling is blurred), of which this reads the first three of five layers: a training loss, not
the published metric, and smaller and faster by a factor of ten.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LAYERS = ((64, 64), (128, 128), (256, 256, 256))
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of pictures in [-1, 1]


class PerceptualLoss(nn.Module):
    """Distances [N] of pictures [N, 3, H, W] in [0, 1]; differentiable in the first. Weights are fixed."""

    blur: Tensor
    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        inside = (3, *(widths[-1] for widths in _LAYERS))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1)
            for first, widths in zip(inside, _LAYERS, strict=False)
            for before, after in pairwise((first, *widths))
        )
        self.weights = nn.ParameterList(torch.full((widths[-1],), 1 / widths[-1]) for widths in _LAYERS)
        self.register_buffer("blur", torch.tensor([1.0, 2.0, 1.0]).outer(torch.tensor([1.0, 2.0, 1.0])) / 16)
        self.register_buffer("shift", torch.tensor(_SHIFT).view(3, 1, 1))
        self.register_buffer("scale", torch.tensor(_SCALE).view(3, 1, 1))
        self.requires_grad_(False)

    def load(self, path: Path) -> None:
        """Read vgg_shift_tolerant.pth of stlpips-pytorch, or a file with the same names."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        names = [key.removesuffix(".weight") for key in state if key.startswith("net.") and key.endswith(".weight")]
        names.sort(key=lambda name: int(name.split(".")[2]))  # net.slice<1 to 5>.<number in VGG>
        for convolution, name in zip(self.convolutions, names, strict=False):
            convolution.load_state_dict({"weight": state[f"{name}.weight"], "bias": state[f"{name}.bias"]})
        for number, weight in enumerate(self.weights):
            weight.copy_(state[f"lin{number}.model.1.weight"].flatten())

    def forward(self, images: Tensor, truth: Tensor) -> Tensor:
        with torch.no_grad():
            theirs = self.features(truth)
        total = torch.zeros(len(images), device=images.device)
        for mine, other, weight in zip(self.features(images), theirs, self.weights, strict=True):
            squares = (_unit(mine) - _unit(other)).square()
            total = total + (squares * weight[:, None, None]).sum(1).mean((1, 2))
        return total

    def features(self, images: Tensor) -> list[Tensor]:
        x = (images * 2 - 1 - self.shift) / self.scale
        found: list[Tensor] = []
        convolutions = iter(self.convolutions)
        for widths in _LAYERS:
            if found:
                x = F.max_pool2d(x, 2, stride=1)
                channels = x.shape[1]
                x = F.conv2d(x, self.blur.to(x.dtype).expand(channels, 1, 3, 3), stride=2, padding=1, groups=channels)
            for _ in widths:
                x = F.relu(next(convolutions)(x))
            found.append(x)
        return found


def _unit(features: Tensor) -> Tensor:
    features = features.float()
    return features / (features.square().sum(1, keepdim=True) + 1e-8).sqrt()
