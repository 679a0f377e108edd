"""Losses of RetinaNet and FCOS over a whole batch, in fixed shapes. Equal to torchvision's but for the gate."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from engine.detection.geometry import encode_offsets, giou_loss
from engine.detection.ru_loss import RUGate
from engine.detection.targets import NEITHER, Targets, match_by_centre, match_by_iou
from kernels.detection import focal_loss

Losses = dict[str, Tensor]


def retinanet_losses(outputs: dict[str, Tensor], anchors: Tensor, targets: Targets, gate: RUGate) -> Losses:
    """Focal loss of all anchors and L1 of the positive ones' offsets, by the number of positives of each image (Lin et
    al. 2017, arXiv 1708.02002).

    Args:
        outputs: `cls_logits` (B, A, classes + 1) of any dtype and `bbox_regression` (B, A, 4) float32.
        anchors: (A, 4).
    """
    logits, found = outputs["cls_logits"], outputs["bbox_regression"]
    matched = match_by_iou(anchors, targets, high=0.5, low=0.4, keep_best=True)
    positive = matched >= 0
    counts = positive.sum(1).clamp(min=1)
    focal = focal_loss(logits, torch.where(matched == NEITHER, -1, targets.labels_at(matched)))
    goal = encode_offsets(targets.boxes_at(matched), anchors)
    goal = torch.where(positive[..., None], goal, 0)  # the offsets to an object that is not there are infinite
    regressed = gate.of_offsets(found, goal, targets.angles, positive)
    distance = (found - goal).abs().sum(-1) * regressed
    return {
        "classification": (focal / counts).mean(),
        "bbox_regression": (distance.sum(1) / counts).mean(),
    }


def fcos_losses(
    outputs: dict[str, Tensor], anchors: Tensor, levels: list[int], targets: Targets, gate: RUGate
) -> Losses:
    """Focal loss of all points, GIoU and centre-ness of the positive ones, by their number in the batch (Tian et al.
    2019, arXiv 1904.01355).

    Args:
        outputs: `cls_logits` (B, A, classes + 1) of any dtype; `bbox_regression` (B, A, 4) distances to the sides in
            strides and `bbox_ctrness` (B, A, 1), float32.
        anchors: (A, 4) boxes of one stride around the points.
        levels: how many points each level has.
    """
    matched = match_by_centre(anchors, targets, levels)
    positive = matched >= 0
    count = positive.sum().clamp(min=1)
    focal = focal_loss(outputs["cls_logits"], targets.labels_at(matched))
    middle, stride = (anchors[:, :2] + anchors[:, 2:]) / 2, anchors[:, 2:] - anchors[:, :2]
    low, high = outputs["bbox_regression"].split(2, -1)  # type: ignore[no-untyped-call]
    found = torch.cat((middle - low * stride, middle + high * stride), -1)
    goal = torch.where(positive[..., None], targets.boxes_at(matched), anchors)
    regressed = gate.of_boxes(found, goal, targets.angles, positive)
    before, after = middle - goal[..., :2], goal[..., 2:] - middle
    centred = (torch.minimum(before, after) / torch.maximum(before, after)).prod(-1).sqrt()
    centreness = functional.binary_cross_entropy_with_logits(
        outputs["bbox_ctrness"].squeeze(-1), centred, reduction="none"
    )
    return {
        "classification": focal.sum() / count,
        "bbox_regression": (giou_loss(found, goal) * regressed).sum() / count,
        "bbox_ctrness": (centreness * positive).sum() / count,
    }
