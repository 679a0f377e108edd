"""For each anchor of a batch, the object that it overlaps most, without the table of all overlaps in memory."""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, allow-untyped-decorators
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.detection import reference

_BLOCK = 256  # anchors of one program


def best_overlaps(anchors: Tensor, boxes: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(IoU, place, best of some object) of the object that each anchor overlaps most, each (B, N).

    Of equal overlaps the first counts; -1 and 0 where there is no object. The last is true for anchors that overlap
    some object as much as any anchor does.

    anchors: (B, N, 4) float32, possibly expanded; boxes: (B, M, 4) float32; valid: (B, M) bool, where there is an
    object.
    """
    if anchors.is_cuda:
        return launch(anchors, boxes, valid)
    return reference.best_overlaps(anchors, boxes, valid)


def launch(anchors: Tensor, boxes: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The Triton version, with the signature of `best_overlaps`: one program for a block of anchors of an image."""
    images, count, _ = anchors.shape
    room = valid.shape[1]
    if anchors.stride()[1:] != (4, 1):
        anchors = anchors.contiguous()
    boxes, valid = boxes.contiguous(), valid.contiguous()
    value = torch.empty(images, count, dtype=torch.float32, device=anchors.device)
    place = torch.empty(images, count, dtype=torch.int64, device=anchors.device)
    best = torch.empty(images, count, dtype=torch.bool, device=anchors.device)
    top = torch.zeros(images, room, dtype=torch.float32, device=anchors.device)  # of each object
    objects = (valid * torch.arange(1, room + 1, dtype=torch.int32, device=anchors.device)).amax(1)
    grid = (triton.cdiv(count, _BLOCK), images)
    # unfused, so that results are those of single operations and the second pass finds what the first wrote
    _best[grid](
        anchors, boxes, valid, objects, value, place, top, count, room, anchors.stride(0),
        BLOCK=_BLOCK, enable_fp_fusion=False,
    )  # fmt: skip
    _is_best[grid](
        anchors, boxes, valid, objects, top, best, count, room, anchors.stride(0), BLOCK=_BLOCK, enable_fp_fusion=False
    )
    return value, place, best


@triton.jit
def _overlap(x1, y1, x2, y2, box_ptr):
    """IoU of a block of anchors with one box, in torchvision's order of operations."""
    bx1, by1, bx2, by2 = tl.load(box_ptr), tl.load(box_ptr + 1), tl.load(box_ptr + 2), tl.load(box_ptr + 3)
    width = tl.maximum(tl.minimum(bx2, x2) - tl.maximum(bx1, x1), 0.0)
    height = tl.maximum(tl.minimum(by2, y2) - tl.maximum(by1, y1), 0.0)
    both = width * height
    return tl.div_rn(both, (bx2 - bx1) * (by2 - by1) + (x2 - x1) * (y2 - y1) - both)


@triton.jit
def _best(
    anchors_ptr, boxes_ptr, valid_ptr, objects_ptr, value_ptr, place_ptr, top_ptr, count, room, stride,
    BLOCK: tl.constexpr,
):  # fmt: skip
    image = tl.program_id(1).to(tl.int64)
    rows = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = rows < count
    anchor = anchors_ptr + image * stride + rows * 4
    x1, y1 = tl.load(anchor, mask=inside, other=0.0), tl.load(anchor + 1, mask=inside, other=0.0)
    x2, y2 = tl.load(anchor + 2, mask=inside, other=0.0), tl.load(anchor + 3, mask=inside, other=0.0)
    value = tl.full([BLOCK], -1.0, tl.float32)
    place = tl.zeros([BLOCK], tl.int64)
    for number in range(tl.load(objects_ptr + image)):
        at = image * room + number
        there = (tl.load(valid_ptr + at) != 0) & inside
        overlap = tl.where(there, _overlap(x1, y1, x2, y2, boxes_ptr + at * 4), -1.0)
        place = tl.where(overlap > value, number, place)
        value = tl.maximum(overlap, value)
        tl.atomic_max(top_ptr + at, tl.maximum(tl.max(overlap, 0), 0.0))
    tl.store(value_ptr + image * count + rows, value, mask=inside)
    tl.store(place_ptr + image * count + rows, place, mask=inside)


@triton.jit
def _is_best(
    anchors_ptr, boxes_ptr, valid_ptr, objects_ptr, top_ptr, best_ptr, count, room, stride, BLOCK: tl.constexpr
):
    image = tl.program_id(1).to(tl.int64)
    rows = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = rows < count
    anchor = anchors_ptr + image * stride + rows * 4
    x1, y1 = tl.load(anchor, mask=inside, other=0.0), tl.load(anchor + 1, mask=inside, other=0.0)
    x2, y2 = tl.load(anchor + 2, mask=inside, other=0.0), tl.load(anchor + 3, mask=inside, other=0.0)
    best = tl.zeros([BLOCK], tl.int32)
    for number in range(tl.load(objects_ptr + image)):
        at = image * room + number
        there = tl.load(valid_ptr + at) != 0
        overlap = _overlap(x1, y1, x2, y2, boxes_ptr + at * 4)
        best = tl.where(there & (overlap == tl.load(top_ptr + at)), 1, best)
    tl.store(best_ptr + image * count + rows, best != 0, mask=inside)
