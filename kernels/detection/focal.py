"""Focal loss in one pass over the logits, forward and backward: a dozen single operations each read and write tens of
millions of numbers, which takes longer than the convolutions they come from."""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, allow-untyped-decorators
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

_ALPHA = 0.25  # weight of the true class; the power, gamma, is 2
_BLOCK = 2048  # logits of one program


def focal_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """(B,) float32: sums over anchors and classes (Lin et al. 2017, arXiv 1708.02002, eq. 5, alpha 0.25, gamma 2).

    logits: (B, A, classes), of any floating dtype; labels: (B, A) int64, the true class, 0 where there is none, below 0
    where an anchor does not count.
    """
    if logits.is_cuda:
        result: Tensor = Fused.apply(logits, labels)
        return result
    places = labels.clamp(min=0)[..., None]
    hot = torch.zeros_like(logits).scatter_(2, places, (labels > 0)[..., None].to(logits.dtype))
    loss: Tensor = sigmoid_focal_loss(logits.float(), hot.float(), alpha=_ALPHA, gamma=2.0, reduction="none")
    return (loss.sum(-1) * (labels >= 0)).sum(1)


class Fused(torch.autograd.Function):
    """The Triton version: one program for a run of logits of an image."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> Tensor:
        logits, labels = logits.contiguous(), labels.contiguous()
        images, anchors, classes = logits.shape
        blocks = triton.cdiv(anchors * classes, _BLOCK)
        sums = torch.empty(images, blocks, dtype=torch.float32, device=logits.device)
        _forward[(blocks, images)](logits, labels, sums, anchors, classes, ALPHA=_ALPHA, BLOCK=_BLOCK)
        ctx.save_for_backward(logits, labels)
        return sums.sum(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        logits, labels = ctx.saved_tensors
        images, anchors, classes = logits.shape
        result = torch.empty_like(logits)
        grid = (triton.cdiv(anchors * classes, _BLOCK), images)
        _backward[grid](
            logits, labels, gradients[0].contiguous(), result, anchors, classes, ALPHA=_ALPHA, BLOCK=_BLOCK
        )  # fmt: skip
        return result, None


@triton.jit
def _load(logits_ptr, labels_ptr, anchors, classes, ALPHA: tl.constexpr, BLOCK: tl.constexpr):
    """(places, which exist, sign of the truth, weight, probability of the truth, its negative logarithm)"""
    image = tl.program_id(1).to(tl.int64)
    inside = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = inside < anchors * classes
    at = image * anchors * classes + inside
    label = tl.load(labels_ptr + image * anchors + inside // classes, mask=there, other=-1)
    hot = label == inside % classes
    sign = tl.where(hot & (label > 0), 1.0, -1.0)
    weight = tl.where(label < 0, 0.0, tl.where(sign > 0, ALPHA, 1 - ALPHA))
    z = tl.load(logits_ptr + at, mask=there, other=0.0).to(tl.float32) * sign
    small = tl.exp(-tl.abs(z))  # stable on both sides of 0
    truth = tl.where(z >= 0, 1 / (1 + small), small / (1 + small))
    entropy = tl.maximum(-z, 0.0) + tl.log(1 + small)
    return at, there, sign, weight, truth, entropy


@triton.jit
def _forward(logits_ptr, labels_ptr, sums_ptr, anchors, classes, ALPHA: tl.constexpr, BLOCK: tl.constexpr):
    _, _, _, weight, truth, entropy = _load(logits_ptr, labels_ptr, anchors, classes, ALPHA, BLOCK)
    total = tl.sum(weight * (1 - truth) * (1 - truth) * entropy)
    tl.store(sums_ptr + tl.program_id(1) * tl.num_programs(0) + tl.program_id(0), total)


@triton.jit
def _backward(
    logits_ptr, labels_ptr, gradient_ptr, result_ptr, anchors, classes, ALPHA: tl.constexpr, BLOCK: tl.constexpr
):
    at, there, sign, weight, truth, entropy = _load(logits_ptr, labels_ptr, anchors, classes, ALPHA, BLOCK)
    miss = 1 - truth
    slope = -weight * miss * miss * (2 * truth * entropy + miss) * sign
    tl.store(result_ptr + at, slope * tl.load(gradient_ptr + tl.program_id(1)), mask=there)
