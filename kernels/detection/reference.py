"""The same results without Triton, for the CPU and for tests."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import nms

_OBJECTS_AT_ONCE = 32  # compared with all anchors of a batch: bounds the memory of crowded images


def suppress(boxes: Tensor, valid: Tensor, threshold: float) -> Tensor:
    kept = torch.zeros_like(valid)
    for group, (mine, there) in enumerate(zip(boxes, valid, strict=True)):
        places = torch.nonzero(there)[:, 0]
        falling = torch.arange(len(places), 0, -1, dtype=mine.dtype, device=mine.device)
        kept[group, places[nms(mine[places], falling, threshold)]] = True
    return kept


def best_overlaps(anchors: Tensor, boxes: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    value = anchors.new_full(anchors.shape[:2], -1.0)
    place = torch.zeros_like(value, dtype=torch.int64)
    best = torch.zeros_like(value, dtype=torch.bool)
    for start in range(0, valid.shape[1], _OBJECTS_AT_ONCE):
        part = slice(start, start + _OBJECTS_AT_ONCE)
        there = valid[:, part, None]
        overlaps = pairwise_iou(boxes[:, part], anchors).masked_fill_(~there, -1.0)
        here, index = overlaps.max(1)
        place = torch.where(here > value, index + start, place)
        value = torch.maximum(value, here)
        best |= ((overlaps == overlaps.amax(2, keepdim=True)) & there).any(1)
    return value, place, best


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of boxes a (..., M, 4) with each of b (..., N, 4): (..., M, N), in torchvision's order of operations."""
    ax1, ay1, ax2, ay2 = a[..., :, None, :].unbind(-1)
    bx1, by1, bx2, by2 = b[..., None, :, :].unbind(-1)
    width = (torch.minimum(ax2, bx2) - torch.maximum(ax1, bx1)).clamp_(min=0)
    height = (torch.minimum(ay2, by2) - torch.maximum(ay1, by1)).clamp_(min=0)
    both = width.mul_(height)
    return both / ((ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - both)
