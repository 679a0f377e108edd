"""Backbones with a feature pyramid (Lin et al. 2017, arXiv 1612.03144), by name."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from engine.detection import efficientnet
from engine.detection.resnet import resnet50
from engine.training.checkpoint import WeightsError

BackboneName = Literal["efficientnet_lite0", "resnet50", "tiny"]
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Tiny(nn.Module):
    """A body for tests and demonstrations on a CPU: strides 4, 8 and 16, 74 thousand parameters."""

    channels = {"4": 32, "8": 48, "16": 64}

    def __init__(self) -> None:
        super().__init__()
        self.stem = _down(3, 16)
        self.stages = nn.ModuleDict({"4": _down(16, 32), "8": _down(32, 48), "16": _down(48, 64)})

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        x = self.stem(images)
        features: OrderedDict[str, Tensor] = OrderedDict()
        for stride, stage in self.stages.items():
            features[stride] = x = stage(x)
        return features


class PyramidBackbone(nn.Module):
    """Images (B, 3, H, W) -> feature maps of `out_channels` channels, one for each of `strides`.

    Args:
        body: gives features by stride, and has `channels` by stride.
        finest: smallest stride to keep.
        out_channels: of every level.
        one_stage: two coarser levels by convolutions (RetinaNet, FCOS), else one by pooling (Faster R-CNN).
        mean, std: of the pixels the body was trained on, in 0..1.
    """

    def __init__(
        self,
        body: nn.Module,
        channels: dict[str, int],
        *,
        finest: int,
        out_channels: int,
        one_stage: bool,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
    ) -> None:
        super().__init__()
        self.body, self.out_channels, self.mean, self.std = body, out_channels, mean, std
        kept = {stride: count for stride, count in channels.items() if int(stride) >= finest}
        if not kept:
            raise ValueError(f"the backbone has no level of stride {finest} or more: it has {', '.join(channels)}")
        extra = LastLevelP6P7(out_channels, out_channels) if one_stage else LastLevelMaxPool()
        self.fpn = FeaturePyramidNetwork(list(kept.values()), out_channels, extra)
        coarsest = int(list(kept)[-1])
        more = (coarsest * 2, coarsest * 4) if one_stage else (coarsest * 2,)
        self.body_levels = tuple(kept)  # names of the levels that are not extra
        self.strides = (*(int(stride) for stride in kept), *more)

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        features = self.body(images)
        levels: OrderedDict[str, Tensor] = self.fpn(
            OrderedDict((stride, features[stride]) for stride in self.body_levels)
        )
        return levels


def build_backbone(
    name: BackboneName, *, one_stage: bool, finest: int, pretrained: bool = True, weights: Path | None = None
) -> PyramidBackbone:
    """A backbone by name.

    Args:
        name: `efficientnet_lite0`, `resnet50` (frozen batch norm, as torchvision's detectors), or `tiny`.
        one_stage: which extra levels, see PyramidBackbone.
        finest: smallest stride of the pyramid, 4 or 8.
        pretrained: ImageNet weights: packaged for EfficientNet-Lite0, from `weights` for ResNet-50; `tiny` has none.
        weights: local file (.safetensors, or .pth read with weights_only) with the body's state dict.

    Raises:
        WeightsError: the file is missing or does not fit.
    """
    if name == "tiny":
        return PyramidBackbone(
            Tiny(),
            Tiny.channels,
            finest=finest,
            out_channels=64,
            one_stage=one_stage,
            mean=(0.5, 0.5, 0.5),
            std=(0.25, 0.25, 0.25),
        )
    if name == "efficientnet_lite0":
        lite = efficientnet.EfficientNetLite0()
        if pretrained or weights is not None:
            lite.load_imagenet(weights)
        return PyramidBackbone(
            lite,
            lite.channels,
            finest=finest,
            out_channels=128,
            one_stage=one_stage,
            mean=(efficientnet.MEAN,) * 3,
            std=(efficientnet.STD,) * 3,
        )
    if name == "resnet50":
        return PyramidBackbone(
            _resnet50(weights if pretrained else None, pretrained),
            {"4": 256, "8": 512, "16": 1024, "32": 2048},
            finest=finest,
            out_channels=256,
            one_stage=one_stage,
            mean=_IMAGENET_MEAN,
            std=_IMAGENET_STD,
        )
    raise ValueError(f"unknown backbone {name!r}")


def read_weights(path: Path) -> dict[str, Tensor]:
    """A state dict from a local .safetensors or .pth file. Raises WeightsError with a sentence."""
    if not path.is_file():
        raise WeightsError(f"no weights file at {path}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a hostile or cut file raises anything from KeyError to UnpicklingError
        raise WeightsError(f"{path.name} is not a weights file that can be read safely: {error}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path.name} holds something else than a state dict of tensors")
    return state


def _resnet50(weights: Path | None, pretrained: bool) -> nn.Module:
    network = resnet50(frozen=pretrained)
    if pretrained:
        if weights is None:
            raise WeightsError("ResNet-50 needs a local file of torchvision's ImageNet weights: give its path")
        state = read_weights(weights)
        try:
            missing, _ = network.load_state_dict(state, strict=False)
        except RuntimeError as error:
            raise WeightsError(f"{weights.name} does not fit a ResNet-50: {error}") from error
        if lacking := [key for key in missing if not key.startswith("fc.")]:
            raise WeightsError(
                f"{weights.name} does not fit a ResNet-50: it lacks {lacking[0]} and {len(lacking) - 1} more"
            )
    levels = {"layer1": "4", "layer2": "8", "layer3": "16", "layer4": "32"}
    body: nn.Module = IntermediateLayerGetter(network, levels)
    return body


def _down(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, 2, padding=1, bias=False), nn.GroupNorm(8, outputs), nn.ReLU(inplace=True)
    )
