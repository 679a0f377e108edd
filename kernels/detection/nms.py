"""Greedy non-maximum suppression of many groups of boxes at once, without the host waiting for any of them."""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, allow-untyped-decorators
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.detection import reference

_WORD = 32  # boxes in one word of the table of overlaps
_ROWS = 64  # of the table that one program fills


def suppress(boxes: Tensor, valid: Tensor, threshold: float) -> Tensor:
    """Which boxes are left: (G, N) bool.

    Within each group, in order, a box goes if its IoU with one that is left before it is above `threshold`.

    boxes: (G, N, 4) float32 as (x1, y1, x2, y2), best first; valid: (G, N) bool, others neither stay nor push out.
    """
    if boxes.is_cuda:
        return launch(boxes, valid, threshold)
    return reference.suppress(boxes, valid, threshold)


def launch(boxes: Tensor, valid: Tensor, threshold: float) -> Tensor:
    """The Triton version, with the signature of `suppress`.

    One kernel fills a table of bits, box i pushes out box j; a second goes through it in order, one program for each
    group, with the bits of all boxes pushed out so far in registers.
    """
    groups, count = valid.shape
    words = triton.cdiv(count, _WORD)
    boxes, valid = boxes.contiguous(), valid.contiguous()
    overlaps = torch.empty(groups, count, words, dtype=torch.int32, device=boxes.device)
    gone = torch.empty(groups, words, dtype=torch.int32, device=boxes.device)
    if groups and count:
        _overlaps[(groups, triton.cdiv(count, _ROWS), words)](
            boxes, valid, overlaps, count, words, threshold, ROWS=_ROWS, WORD=_WORD
        )
        _scan[(groups,)](overlaps, gone, count, words, WORDS=triton.next_power_of_2(words), WORD=_WORD, num_warps=1)
    places = torch.arange(_WORD, dtype=torch.int32, device=boxes.device)
    stays = (gone[..., None] >> places) & 1 == 0
    return stays.flatten(1)[:, :count] & valid


@triton.jit
def _overlaps(boxes_ptr, valid_ptr, overlaps_ptr, count, words, threshold, ROWS: tl.constexpr, WORD: tl.constexpr):
    group, word = tl.program_id(0).to(tl.int64), tl.program_id(2)
    rows = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    bits = tl.arange(0, WORD)
    columns = word * WORD + bits
    boxes_ptr += group * count * 4
    a_x1 = tl.load(boxes_ptr + rows * 4, mask=rows < count, other=0.0)[:, None]
    a_y1 = tl.load(boxes_ptr + rows * 4 + 1, mask=rows < count, other=0.0)[:, None]
    a_x2 = tl.load(boxes_ptr + rows * 4 + 2, mask=rows < count, other=0.0)[:, None]
    a_y2 = tl.load(boxes_ptr + rows * 4 + 3, mask=rows < count, other=0.0)[:, None]
    b_x1 = tl.load(boxes_ptr + columns * 4, mask=columns < count, other=0.0)[None, :]
    b_y1 = tl.load(boxes_ptr + columns * 4 + 1, mask=columns < count, other=0.0)[None, :]
    b_x2 = tl.load(boxes_ptr + columns * 4 + 2, mask=columns < count, other=0.0)[None, :]
    b_y2 = tl.load(boxes_ptr + columns * 4 + 3, mask=columns < count, other=0.0)[None, :]
    width = tl.maximum(tl.minimum(a_x2, b_x2) - tl.maximum(a_x1, b_x1), 0.0)
    height = tl.maximum(tl.minimum(a_y2, b_y2) - tl.maximum(a_y1, b_y1), 0.0)
    both = width * height
    union = (a_x2 - a_x1) * (a_y2 - a_y1) + (b_x2 - b_x1) * (b_y2 - b_y1) - both
    there = tl.load(valid_ptr + group * count + rows, mask=rows < count, other=0) != 0
    # multiplied out, so that two empty boxes do not overlap
    pushed = (both > threshold * union) & (columns[None, :] > rows[:, None]) & there[:, None]
    packed = tl.sum(tl.where(pushed, 1, 0) << bits[None, :], 1)
    tl.store(overlaps_ptr + (group * count + rows) * words + word, packed, mask=rows < count)


@triton.jit
def _scan(overlaps_ptr, gone_ptr, count, words, WORDS: tl.constexpr, WORD: tl.constexpr):
    group = tl.program_id(0).to(tl.int64)
    places = tl.arange(0, WORDS)
    overlaps_ptr += group * count * words
    gone = tl.zeros([WORDS], tl.int32)
    row = tl.load(overlaps_ptr + places, mask=places < words, other=0)
    for box in range(count):
        # the next row is on its way while this one is decided on
        following = tl.load(
            overlaps_ptr + (box + 1) * words + places, mask=(places < words) & (box + 1 < count), other=0
        )
        mine = tl.sum(tl.where(places == box // WORD, gone, 0), 0)
        stays = (mine >> (box % WORD)) & 1 == 0
        gone = gone | tl.where(stays, row, 0)
        row = following
    tl.store(gone_ptr + group * words + places, gone, mask=places < words)
