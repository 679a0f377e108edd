"""Losses of Faster R-CNN over a whole batch, in fixed shapes: proposals, sampling, pooling, box head.

Equal to torchvision's but for the gates and for which anchors and proposals are drawn: as many of each kind, by other
random numbers.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import roi_align

from engine.detection.geometry import Weights, clip_boxes, decode_offsets, encode_offsets
from engine.detection.one_stage import Losses
from engine.detection.ru_loss import RUGate
from engine.detection.targets import NEGATIVE, Targets, match_by_iou, sample
from kernels.detection import suppress

_SMALLEST = 1e-3  # pixels, side of a proposal
_BETA = 1 / 9  # of the smooth L1 losses
HEAD_WEIGHTS: Weights = (10.0, 10.0, 5.0, 5.0)  # of the box head's offsets


def rpn_losses(
    scores: Tensor, offsets: Tensor, anchors: Tensor, targets: Targets, gate: RUGate, rpn: RegionProposalNetwork
) -> Losses:
    """Cross-entropy of the sampled anchors and smooth L1 of the positive ones, by the number of samples (Ren et al.
    2015, arXiv 1506.01497).

    Args:
        scores: (B, A) logits that an anchor holds an object; offsets: (B, A, 4); anchors: (A, 4).
    """
    matcher, sampler = rpn.proposal_matcher, rpn.fg_bg_sampler
    matched = match_by_iou(anchors, targets, high=matcher.high_threshold, low=matcher.low_threshold, keep_best=True)
    place, drawn = sample(matched >= 0, matched == NEGATIVE, sampler.batch_size_per_image, sampler.positive_fraction)
    matched = matched.gather(1, place)
    positive = (matched >= 0) & drawn
    count = drawn.sum().clamp(min=1)
    entropy = functional.binary_cross_entropy_with_logits(
        scores.gather(1, place), positive.to(scores.dtype), reduction="none"
    )
    goal = encode_offsets(targets.boxes_at(matched), anchors[place])
    distance = _smooth_l1(_rows(offsets, place), goal, positive, targets.angles, gate)
    return {"loss_objectness": (entropy * drawn).sum() / count, "loss_rpn_box_reg": distance / count}


@torch.no_grad()
def propose(
    scores: Tensor, offsets: Tensor, anchors: Tensor, levels: list[int], canvas: tuple[int, int],
    rpn: RegionProposalNetwork,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The best proposals (B, P, 4) after non-maximum suppression on each level, and which exist (B, P).

    Args:
        scores, offsets, anchors: see `rpn_losses`.
        levels: how many anchors each level has.
        canvas: (height, width) that proposals are cut to.
    """
    most = min(rpn.pre_nms_top_n(), max(levels))
    boxes, ranked, start = [], [], 0
    for count in levels:
        value, place = scores[:, start : start + count].topk(min(most, count))
        found = decode_offsets(_rows(offsets, place + start), anchors[place + start])
        missing = most - value.shape[1]
        boxes.append(functional.pad(clip_boxes(found, canvas), (0, 0, 0, missing)))
        ranked.append(functional.pad(value.sigmoid(), (0, missing), value=-1.0))
        start += count
    candidates, probability = torch.stack(boxes, 1), torch.stack(ranked, 1)  # (B, levels, most, 4) and without 4
    large = (candidates[..., 2:] - candidates[..., :2] >= _SMALLEST).all(-1)
    kept = suppress(candidates.flatten(0, 1), (large & (probability >= 0)).flatten(0, 1), rpn.nms_thresh)
    probability = torch.where(kept.view_as(probability), probability, -1.0).flatten(1)
    value, place = probability.topk(min(rpn.post_nms_top_n(), probability.shape[1]))
    return _rows(candidates.flatten(1, 2), place), value >= 0


def head_losses(
    features: list[Tensor], strides: list[int], proposals: Tensor, there: Tensor, targets: Targets, gate: RUGate,
    heads: RoIHeads,
) -> Losses:  # fmt: skip
    """Cross-entropy of the sampled proposals and smooth L1 of the positive ones, by the number of samples (Girshick
    2015, arXiv 1504.08083). The objects themselves are proposals too.

    Args:
        features: of the levels that regions are pooled from; strides: theirs.
        proposals, there: (B, P, 4) and which of them exist (B, P).
    """
    proposals, there = torch.cat((proposals, targets.boxes), 1), torch.cat((there, targets.valid), 1)
    matcher, sampler = heads.proposal_matcher, heads.fg_bg_sampler
    matched = match_by_iou(
        proposals, targets, high=matcher.high_threshold, low=matcher.low_threshold, keep_best=False, there=there
    )
    place, drawn = sample(matched >= 0, matched == NEGATIVE, sampler.batch_size_per_image, sampler.positive_fraction)
    matched, proposals = torch.where(drawn, matched.gather(1, place), NEGATIVE), _rows(proposals, place)
    labels, count = targets.labels_at(matched), drawn.sum().clamp(min=1)
    pooled = pool_regions(features, strides, proposals)
    logits, offsets = heads.box_predictor(heads.box_head(pooled))
    entropy = functional.cross_entropy(logits, labels.flatten(), reduction="none")
    # the predictor gives one set of offsets for each class: take the true one
    found = offsets.view(*labels.shape, -1, 4).gather(2, labels[..., None, None].expand(-1, -1, 1, 4))[:, :, 0]
    goal = encode_offsets(targets.boxes_at(matched), proposals, HEAD_WEIGHTS)
    distance = _smooth_l1(found, goal, matched >= 0, targets.angles, gate, HEAD_WEIGHTS)
    return {"loss_classifier": (entropy * drawn.flatten()).sum() / count, "loss_box_reg": distance / count}


def pool_regions(features: list[Tensor], strides: list[int], boxes: Tensor, size: int = 7) -> Tensor:
    """Features (B * N, C, size, size) of boxes (B, N, 4), each from the level that fits its area (Lin et al. 2017,
    arXiv 1612.03144, eq. 1).

    Sorting boxes by level would make a GPU wait for their numbers. Instead every level pools all boxes, those of the
    other levels from far outside, where nothing is read and nothing is added in the gradient.
    """
    count = boxes.shape[1]
    image = torch.arange(len(boxes), device=boxes.device, dtype=boxes.dtype)[:, None].expand(-1, count).reshape(-1, 1)
    flat = boxes.reshape(-1, 4)
    area = (flat[:, 2:] - flat[:, :2]).prod(-1)
    level = (4 + (area.sqrt() / 224).log2() + 1e-6).floor()
    coarsest, finest = math.log2(strides[-1]), math.log2(strides[0])
    level = level.clamp(finest, coarsest)
    pooled: Tensor | None = None
    for feature, stride in zip(features, strides, strict=True):
        mine = (level == math.log2(stride))[:, None]
        regions = torch.cat((image, torch.where(mine, flat, -1e6)), 1)
        part = roi_align(feature, regions, size, 1 / stride, sampling_ratio=2)
        pooled = part if pooled is None else pooled + part
    assert pooled is not None, "there is at least one level"
    return pooled


def flat_outputs(levels: list[Tensor], width: int) -> Tensor:
    """(B, A, width) from the maps (B, anchors * width, H, W) of a head, in the order of the anchors."""
    return torch.cat([each.permute(0, 2, 3, 1).reshape(len(each), -1, width) for each in levels], 1)


def _smooth_l1(
    found: Tensor, goal: Tensor, positive: Tensor, angles: Tensor, gate: RUGate, weights: Weights = (1, 1, 1, 1)
) -> Tensor:
    goal = torch.where(positive[..., None], goal, 0)  # the offsets to an object that is not there are infinite
    regressed = gate.of_offsets(found, goal, angles, positive, weights)
    return (functional.smooth_l1_loss(found, goal, beta=_BETA, reduction="none").sum(-1) * regressed).sum()


def _rows(values: Tensor, place: Tensor) -> Tensor:
    """Of (B, N, 4), the rows (B, M)."""
    return values.gather(1, place[..., None].expand(-1, -1, 4))
