"""RetinaNet, FCOS and Faster R-CNN with the RU loss, as small subclasses of torchvision's detectors.

    model = build_model(ModelConfig(architecture="retinanet", classes=3, image_size=512, delta=10))
    losses = model(batch.images, batch.targets())      # targets carry "angle", radians, one scalar for each image
    detections = model.eval()(images)

Beside the gate, three things differ from torchvision: images come as one batch of one size, so the transform only
normalises; anchors are made once and in float32 (under autocast torchvision makes them in the features' dtype, and
bfloat16 cannot tell neighbouring pixels apart beyond 256); and the heads' outputs are float32 before any box is
decoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.retinanet import RetinaNetHead, RetinaNetRegressionHead
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import MultiScaleRoIAlign, generalized_box_iou_loss

from engine.detection.backbones import BackboneName, PyramidBackbone, build_backbone
from engine.detection.ru_loss import GateRow, RUGate, check_delta

Architecture = Literal["retinanet", "fcos", "faster_rcnn"]
Target = dict[str, Tensor]


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

    In training mode: images (B, 3, H, W) in 0..1 and B targets with boxes (n, 4), labels (n,) int64 from 1, and angle
    () in radians -> losses by name. In evaluation mode: images -> B dicts of boxes (n, 4), labels (n,) and scores
    (n,).
    """

    def __init__(self, network: nn.Module, gates: dict[str, RUGate], config: ModelConfig) -> None:
        super().__init__()
        self.network, self.gates, self.config = network, gates, config

    def forward(self, images: Tensor, targets: list[Target] | None = None) -> Any:
        return self.network(images, targets)

    def train(self, mode: bool = True) -> Detector:
        """As usual, but a pretrained backbone keeps its batch statistics: detection batches are too small for new
        ones."""
        super().train(mode)
        if mode and self.config.pretrained:
            for module in self.network.backbone.body.modules():  # type: ignore[union-attr]
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
        head=GatedRetinaNetHead(backbone.out_channels, 9, config.classes + 1, gate),
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
        head=GatedFCOSHead(backbone.out_channels, 1, config.classes + 1, gate),
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
    rpn = GatedRPN(
        gates["rpn"],
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
    roi_heads = GatedRoIHeads(
        gates["box"],
        MultiScaleRoIAlign(featmap_names=list(backbone.body_levels), output_size=7, sampling_ratio=2),
        TwoMLPHead(backbone.out_channels * 49, width),
        FloatPredictor(width, config.classes + 1),
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=config.rois_per_image,
        positive_fraction=0.25,
        bbox_reg_weights=None,
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

    def forward(self, images: Tensor, targets: list[Target] | None = None) -> tuple[ImageList, list[Target] | None]:
        size = (images.shape[-2], images.shape[-1])
        return ImageList((images - self.mean) / self.std, [size] * images.shape[0]), targets

    def postprocess(self, detections: list[Target], *_: object) -> list[Target]:
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


class GatedRetinaNetHead(RetinaNetHead):
    def __init__(self, channels: int, anchors: int, classes: int, gate: RUGate) -> None:
        super().__init__(channels, anchors, classes)
        self.regression_head = GatedRetinaNetRegressionHead(channels, anchors, gate)

    def forward(self, x: list[Tensor]) -> dict[str, Tensor]:
        return {name: value.float() for name, value in super().forward(x).items()}


class GatedRetinaNetRegressionHead(RetinaNetRegressionHead):
    """L1 on the offsets of positive anchors, each term times its gate; the normaliser stays the number of positives."""

    def __init__(self, channels: int, anchors: int, gate: RUGate) -> None:
        super().__init__(channels, anchors)
        self.gate = gate

    def compute_loss(
        self, targets: list[Target], head_outputs: dict[str, Tensor], anchors: list[Tensor], matched_idxs: list[Tensor]
    ) -> Tensor:
        found, goal, angles, weights = [], [], [], []
        for target, offsets, boxes, matched in zip(
            targets, head_outputs["bbox_regression"], anchors, matched_idxs, strict=True
        ):
            positive = torch.where(matched >= 0)[0]
            found.append(offsets[positive])
            goal.append(self.box_coder.encode_single(target["boxes"][matched[positive]], boxes[positive]))
            angles.append(target["angle"].expand(len(positive)))
            # torchvision's mean: over the positives of each image, then over the images
            weights.append(offsets.new_full((len(positive),), 1 / max(1, len(positive)) / len(targets)))
        offsets, labels = torch.cat(found), torch.cat(goal)
        gate = self.gate.of_deltas(offsets, labels, torch.cat(angles), self.box_coder)
        loss = functional.l1_loss(offsets, labels, reduction="none").sum(-1)
        return (loss * gate * torch.cat(weights)).sum()


class GatedFCOSHead(FCOSHead):
    """GIoU loss of positive points, each term times its gate; classification and centre-ness are torchvision's."""

    def __init__(self, channels: int, anchors: int, classes: int, gate: RUGate) -> None:
        super().__init__(channels, anchors, classes)
        self.gate = gate

    def forward(self, x: list[Tensor]) -> dict[str, Tensor]:
        return {name: value.float() for name, value in super().forward(x).items()}

    def compute_loss(
        self, targets: list[Target], head_outputs: dict[str, Tensor], anchors: list[Tensor], matched_idxs: list[Tensor]
    ) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = super().compute_loss(targets, head_outputs, anchors, matched_idxs)
        found, goal, angles = [], [], []
        for target, offsets, boxes, matched in zip(
            targets, head_outputs["bbox_regression"], anchors, matched_idxs, strict=True
        ):
            positive = torch.where(matched >= 0)[0]
            found.append(self.box_coder.decode(offsets[positive], boxes[positive]))
            goal.append(target["boxes"][matched[positive]])
            angles.append(target["angle"].expand(len(positive)))
        boxes, labels = torch.cat(found), torch.cat(goal)
        gate = self.gate.of_boxes(boxes, labels, torch.cat(angles))
        loss = generalized_box_iou_loss(boxes, labels, reduction="none")
        losses["bbox_regression"] = (loss * gate).sum() / max(1, len(boxes))
        return losses


class FloatRPNHead(RPNHead):
    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        scores, offsets = super().forward(x)
        return [each.float() for each in scores], [each.float() for each in offsets]


class FloatPredictor(FastRCNNPredictor):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores, offsets = super().forward(x)
        return scores.float(), offsets.float()


class GatedRPN(RegionProposalNetwork):
    """Smooth L1 of the sampled positive anchors, each term times its gate; the normaliser stays the number of
    samples."""

    def __init__(self, gate: RUGate, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gate = gate
        self._angles: Tensor | None = None

    def forward(self, images: ImageList, features: dict[str, Tensor], targets: list[Target] | None = None) -> Any:
        # compute_loss is called in here and gets no targets: the angles wait for it
        self._angles = None if targets is None else torch.stack([target["angle"] for target in targets])
        return super().forward(images, features, targets)

    def compute_loss(
        self,
        objectness: Tensor,
        pred_bbox_deltas: Tensor,
        labels: list[Tensor],
        regression_targets: list[Tensor],
    ) -> tuple[Tensor, Tensor]:
        assert self._angles is not None, "the region proposals are trained on targets with an angle"
        anchors = [len(each) for each in labels]
        angles = self._angles.repeat_interleave(torch.tensor(anchors, device=self._angles.device))
        positive, negative = (torch.where(torch.cat(each))[0] for each in self.fg_bg_sampler(labels))
        sampled = torch.cat((positive, negative))
        found, goal = pred_bbox_deltas[positive], torch.cat(regression_targets)[positive]
        gate = self.gate.of_deltas(found, goal, angles[positive], self.box_coder)
        box_loss = _smooth_l1(found, goal, gate) / max(1, len(sampled))
        score_loss = functional.binary_cross_entropy_with_logits(
            objectness.flatten()[sampled], torch.cat(labels)[sampled]
        )
        return score_loss, box_loss


class GatedRoIHeads(RoIHeads):
    """Smooth L1 of the positive proposals, each term times its gate; the normaliser stays the number of samples."""

    def __init__(self, gate: RUGate, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gate = gate

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[Target] | None = None,
    ) -> Any:
        if not self.training or targets is None:
            return super().forward(features, proposals, image_shapes, targets)
        proposals, _, labels, goals = self.select_training_samples(proposals, targets)
        scores, offsets = self.box_predictor(self.box_head(self.box_roi_pool(features, proposals, image_shapes)))
        angles = torch.cat([t["angle"].expand(len(each)) for t, each in zip(targets, labels, strict=True)])
        label, goal = torch.cat(labels), torch.cat(list(goals))
        positive = torch.where(label > 0)[0]
        # the predictor gives one set of offsets for each class: take the true one
        found = offsets.view(len(label), -1, 4)[positive, label[positive]]
        gate = self.gate.of_deltas(found, goal[positive], angles[positive], self.box_coder)
        return [], {
            "loss_classifier": functional.cross_entropy(scores, label),
            "loss_box_reg": _smooth_l1(found, goal[positive], gate) / max(1, len(label)),
        }


def _smooth_l1(found: Tensor, goal: Tensor, gate: Tensor) -> Tensor:
    loss = functional.smooth_l1_loss(found, goal, beta=1 / 9, reduction="none").sum(-1)
    return (loss * gate).sum()
