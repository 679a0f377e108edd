"""RetinaNet, FCOS and Faster R-CNN with the RU loss, as small subclasses of torchvision's detectors.

    model = build_model(ModelConfig(architecture="retinanet", classes=3, image_size=512, delta=10))
    losses = model(batch.images, batch.targets())
    detections = model.eval()(images)

Detection is torchvision's. Beside the gate, four things differ from it in training: images come as one batch of one
size, so the transform only normalises; anchors are made once and in float32 (under autocast torchvision makes them in
the features' dtype, and bfloat16 cannot tell neighbouring pixels apart beyond 256); the heads' outputs are float32
before any box is decoded; and losses are computed for the whole batch in fixed shapes (`one_stage`, `two_stage`), so
that a GPU never waits for the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import MultiScaleRoIAlign

from engine.detection.backbones import BackboneName, PyramidBackbone, build_backbone
from engine.detection.one_stage import Losses, fcos_losses, retinanet_losses
from engine.detection.ru_loss import GateRow, RUGate, check_delta
from engine.detection.targets import Targets
from engine.detection.two_stage import HEAD_WEIGHTS, flat_outputs, head_losses, propose, rpn_losses
from kernels.detection import bias_relu, group_norm_relu

Architecture = Literal["retinanet", "fcos", "faster_rcnn"]


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """What to build. `classes` counts the object classes; label 0, the background, comes on top."""

    architecture: Architecture
    classes: int
    image_size: int  # pixels, both sides
    backbone: BackboneName = "efficientnet_lite0"
    pretrained: bool = True  # ImageNet weights for the backbone
    weights: str | None = None  # local file with them
    delta: float | None = None  # degrees, of the RU loss; None is off
    gate_rpn: bool = True  # Faster R-CNN: the RU gate on the region proposals too (the paper does not say)
    gate_head: bool = True  # Faster R-CNN: the RU gate on the box head
    finest_stride: int = 8  # of the feature pyramid; 4 for small objects
    anchor_scale: float = 4.0  # side of a level's smallest anchor over its stride (RetinaNet, Faster R-CNN)
    rois_per_image: int = 256  # Faster R-CNN: proposals sampled for the box head
    score_threshold: float = 0.05
    detections_per_image: int = 300

    def __post_init__(self) -> None:
        if self.architecture not in ("retinanet", "fcos", "faster_rcnn"):
            raise ValueError(f"unknown architecture {self.architecture!r}: retinanet, fcos or faster_rcnn")
        if self.classes < 1:
            raise ValueError(f"a detector needs at least one class, got {self.classes}")
        if self.image_size < 32 or self.image_size % 32:
            raise ValueError(f"image_size must be a multiple of 32, got {self.image_size}")
        if self.finest_stride not in (4, 8):
            raise ValueError(f"finest_stride must be 4 or 8, got {self.finest_stride}")
        if self.delta is not None:
            check_delta(self.delta)


class Detector(nn.Module):
    """A torchvision detector and its gates.

    In training mode: images (B, 3, H, W) in 0..1 and Targets of B images -> losses by name. In evaluation mode: images
    -> B dicts of boxes (n, 4), labels (n,) and scores (n,).
    """

    def __init__(self, network: nn.Module, gates: dict[str, RUGate], config: ModelConfig) -> None:
        super().__init__()
        self.network: Any = network
        self.gates, self.config = gates, config

    def forward(self, images: Tensor, targets: Targets | None = None) -> Any:
        if not self.training:
            return self.network(images)
        if targets is None:
            raise ValueError("a detector in training mode needs targets: call eval() first to detect")
        return self._losses(images, targets)

    def _losses(self, images: Tensor, targets: Targets) -> Losses:
        network = self.network
        batch, _ = network.transform(images)
        maps: dict[str, Tensor] = network.backbone(batch.tensors)
        features = list(maps.values())
        if self.config.architecture == "faster_rcnn":
            return self._two_stage_losses(batch, features, targets)
        anchors = network.anchor_generator(batch, features)[0]
        outputs = network.head(features)
        if self.config.architecture == "retinanet":
            return retinanet_losses(outputs, anchors, targets, self.gates["box"])
        levels = [each.shape[-2] * each.shape[-1] for each in features]
        return fcos_losses(outputs, anchors, levels, targets, self.gates["box"])

    def _two_stage_losses(self, batch: ImageList, features: list[Tensor], targets: Targets) -> Losses:
        rpn, heads, backbone = self.network.rpn, self.network.roi_heads, self.network.backbone
        anchors = rpn.anchor_generator(batch, features)[0]
        scores, offsets = rpn.head(features)
        levels = [each[0].numel() for each in scores]
        flat_scores, flat_offsets = flat_outputs(scores, 1)[..., 0], flat_outputs(offsets, 4)
        losses = rpn_losses(flat_scores, flat_offsets, anchors, targets, self.gates["rpn"], rpn)
        proposals, there = propose(flat_scores, flat_offsets, anchors, levels, batch.image_sizes[0], rpn)
        pooled = len(backbone.body_levels)  # the coarsest level is for proposals only
        strides = list(backbone.strides[:pooled])
        return losses | head_losses(features[:pooled], strides, proposals, there, targets, self.gates["box"], heads)

    def train(self, mode: bool = True) -> Detector:
        """As usual, but a pretrained backbone keeps its batch statistics: detection batches are too small for new
        ones."""
        super().train(mode)
        if mode and self.config.pretrained:
            for module in self.network.backbone.body.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def gate_rows(self) -> dict[str, list[GateRow]]:
        """For each regression loss, how many positives it regressed by angle since the last `clear_gates`."""
        return {name: gate.rows() for name, gate in self.gates.items()}

    def clear_gates(self) -> None:
        for gate in self.gates.values():
            gate.clear()


def build_model(config: ModelConfig, seed: int = 0) -> Detector:
    """A detector with weights that depend on `seed` only. Raises WeightsError where pretrained ones cannot be
    loaded."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = build_backbone(
            config.backbone,
            one_stage=config.architecture != "faster_rcnn",
            finest=config.finest_stride,
            pretrained=config.pretrained,
            weights=Path(config.weights) if config.weights else None,
        )
        build = {"retinanet": _retinanet, "fcos": _fcos, "faster_rcnn": _faster_rcnn}[config.architecture]
        network, gates = build(backbone, config)
    network.transform = Normalise(backbone.mean, backbone.std)
    return Detector(network, gates, config)


def _retinanet(backbone: PyramidBackbone, config: ModelConfig) -> tuple[nn.Module, dict[str, RUGate]]:
    gate = RUGate(config.delta)
    octaves = [config.anchor_scale * 2 ** (third / 3) for third in range(3)]
    anchors = FixedAnchors(
        tuple(tuple(stride * scale for scale in octaves) for stride in backbone.strides), (0.5, 1.0, 2.0)
    )
    network = RetinaNet(
        backbone,
        config.classes + 1,
        anchor_generator=anchors,
        head=FloatRetinaNetHead(backbone.out_channels, 9, config.classes + 1),
        score_thresh=config.score_threshold,
        detections_per_img=config.detections_per_image,
    )
    return network, {"box": gate}


def _fcos(backbone: PyramidBackbone, config: ModelConfig) -> tuple[nn.Module, dict[str, RUGate]]:
    gate = RUGate(config.delta)
    network = FCOS(
        backbone,
        config.classes + 1,
        anchor_generator=FixedAnchors(tuple((stride,) for stride in backbone.strides), (1.0,)),
        head=FloatFCOSHead(backbone.out_channels, 1, config.classes + 1),
        score_thresh=config.score_threshold,
        detections_per_img=config.detections_per_image,
    )
    return network, {"box": gate}


def _faster_rcnn(backbone: PyramidBackbone, config: ModelConfig) -> tuple[nn.Module, dict[str, RUGate]]:
    gates = {
        "rpn": RUGate(config.delta if config.gate_rpn else None),
        "box": RUGate(config.delta if config.gate_head else None),
    }
    anchors = FixedAnchors(tuple((stride * config.anchor_scale,) for stride in backbone.strides), (0.5, 1.0, 2.0))
    rpn = RegionProposalNetwork(
        anchors,
        FloatRPNHead(backbone.out_channels, 3),
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=256,
        positive_fraction=0.5,
        pre_nms_top_n={"training": 2000, "testing": 1000},
        post_nms_top_n={"training": 1000, "testing": 1000},
        nms_thresh=0.7,
    )
    width = 1024 if backbone.out_channels >= 128 else 128
    roi_heads = RoIHeads(
        MultiScaleRoIAlign(featmap_names=list(backbone.body_levels), output_size=7, sampling_ratio=2),
        TwoMLPHead(backbone.out_channels * 49, width),
        FloatPredictor(width, config.classes + 1),
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=config.rois_per_image,
        positive_fraction=0.25,
        bbox_reg_weights=HEAD_WEIGHTS,
        score_thresh=config.score_threshold,
        nms_thresh=0.5,
        detections_per_img=config.detections_per_image,
    )
    network = FasterRCNN(backbone, config.classes + 1)
    network.rpn, network.roi_heads = rpn, roi_heads
    return network, gates


class Normalise(nn.Module):
    """Takes the place of torchvision's transform: a batch of one size is normalised, nothing is resized or padded."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor, targets: None = None) -> tuple[ImageList, None]:
        size = (images.shape[-2], images.shape[-1])
        return ImageList((images - self.mean) / self.std, [size] * images.shape[0]), targets

    def postprocess(self, detections: list[dict[str, Tensor]], *_: object) -> list[dict[str, Tensor]]:
        return detections


class FixedAnchors(AnchorGenerator):
    """Anchors in float32, kept for as long as the sizes stay the same."""

    def __init__(self, sizes: tuple[tuple[float, ...], ...], ratios: tuple[float, ...]) -> None:
        super().__init__(sizes, (ratios,) * len(sizes))
        self._kept: tuple[object, Tensor] | None = None

    def forward(self, image_list: ImageList, feature_maps: list[Tensor]) -> list[Tensor]:
        shapes = [tuple(each.shape[-2:]) for each in feature_maps]
        key = (shapes, tuple(image_list.tensors.shape[-2:]), feature_maps[0].device)
        if self._kept is None or self._kept[0] != key:
            # same shapes, no memory, and float32 where the features may be bfloat16
            like = [each.new_empty((), dtype=torch.float32).expand(each.shape) for each in feature_maps]
            one = ImageList(image_list.tensors[:1], image_list.image_sizes[:1])
            self._kept = (key, super().forward(one, like)[0])
        return [self._kept[1]] * len(image_list.image_sizes)


class ConvReLU(nn.Conv2d):
    """A convolution, its bias and the ReLU behind it."""

    def forward(self, input: Tensor) -> Tensor:
        assert self.bias is not None
        return bias_relu(self._conv_forward(input, self.weight, None), self.bias)


class FloatRetinaNetHead(RetinaNetHead):
    def __init__(self, in_channels: int, num_anchors: int, num_classes: int) -> None:
        super().__init__(in_channels, num_anchors, num_classes)
        for tower in (self.classification_head.conv, self.regression_head.conv):
            for step in tower:
                conv = step[0]
                step[0], step[1] = ConvReLU(conv.in_channels, conv.out_channels, 3, padding=1), nn.Identity()
                step[0].load_state_dict(conv.state_dict())

    def forward(self, x: list[Tensor]) -> dict[str, Tensor]:
        return _floats(super().forward(x), self.training)


class NormReLU(nn.GroupNorm):
    """GroupNorm and the ReLU behind it."""

    def forward(self, input: Tensor) -> Tensor:
        return group_norm_relu(input, self.weight, self.bias, self.num_groups, self.eps)


class FloatFCOSHead(FCOSHead):
    def __init__(self, in_channels: int, num_anchors: int, num_classes: int) -> None:
        super().__init__(in_channels, num_anchors, num_classes)
        for tower in (self.classification_head.conv, self.regression_head.conv):
            for place, module in enumerate(tower):
                if isinstance(module, nn.GroupNorm):
                    tower[place] = NormReLU(module.num_groups, module.num_channels)
                    tower[place + 1] = nn.Identity()

    def forward(self, x: list[Tensor]) -> dict[str, Tensor]:
        return _floats(super().forward(x), self.training)


def _floats(outputs: dict[str, Tensor], training: bool) -> dict[str, Tensor]:
    """In float32, but for the many logits in training: the focal loss reads them as they are."""
    return {name: value if training and name == "cls_logits" else value.float() for name, value in outputs.items()}


class FloatRPNHead(RPNHead):
    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        scores, offsets = super().forward(x)
        return [each.float() for each in scores], [each.float() for each in offsets]


class FloatPredictor(FastRCNNPredictor):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores, offsets = super().forward(x)
        return scores.float(), offsets.float()
