"""What a batch is trained on, in tensors of fixed shapes, and which anchor or proposal answers for which object.

Nothing here waits for a GPU: images have room for the same number of objects, and what is not there is masked.
Results are torchvision's (`Matcher`, `BalancedPositiveNegativeSampler`, FCOS's centre sampling), image by image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.detection.geometry import box_centre_size
from kernels.detection import best_overlaps

NEGATIVE, NEITHER = -1, -2  # instead of an object's place
_OBJECTS_AT_ONCE = 32  # compared with all points of a batch; bounds the memory of crowded images
_CENTRE_RADIUS = 1.5  # FCOS: of a point around an object's centre, in strides


@dataclass(frozen=True, slots=True)
class Targets:
    """B images with room for M objects each.

    Attributes:
        boxes: (B, M, 4) float32 in pixels.
        labels: (B, M) int64, 1 to the number of classes.
        valid: (B, M) bool, where there is an object.
        angles: (B,) radians by which the images have been turned.
    """

    boxes: Tensor
    labels: Tensor
    valid: Tensor
    angles: Tensor

    @property
    def room(self) -> int:
        return self.boxes.shape[1]

    def copy_(self, other: Targets) -> None:
        """Take over the values of targets of the same shape."""
        for mine, theirs in zip(self.tensors, other.tensors, strict=True):
            mine.copy_(theirs)

    def clone(self) -> Targets:
        return Targets(*(each.clone() for each in self.tensors))

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.boxes, self.labels, self.valid, self.angles

    def boxes_at(self, matched: Tensor) -> Tensor:
        """(B, N, 4): the box of each match (B, N); of the first object where there is none."""
        return self.boxes.gather(1, matched.clamp(min=0)[..., None].expand(-1, -1, 4))

    def labels_at(self, matched: Tensor) -> Tensor:
        """(B, N): the label of each match (B, N), 0 where there is none."""
        return torch.where(matched >= 0, self.labels.gather(1, matched.clamp(min=0)), 0)


def pack(
    boxes: Tensor, labels: Tensor, owner: Tensor, kept: Tensor, angles: Tensor, room: int | None = None
) -> Targets:
    """Targets from T objects one after the other.

    Args:
        boxes, labels, owner: (T, 4), (T,) and (T,), see Batch.
        kept: (T,) bool, which are trained on.
        angles: (B,).
        room: at least the most objects of an image; None counts them, which waits for the device.
    """
    count = len(angles)
    of_image = torch.zeros_like(angles, dtype=torch.int64).scatter_add_(0, owner, torch.ones_like(owner))
    if room is None:
        room = max(1, int(of_image.max()))
    first = of_image.cumsum(0) - of_image
    at = owner, torch.arange(len(owner), device=owner.device) - first[owner]
    return Targets(
        boxes.new_zeros(count, room, 4).index_put_(at, boxes),
        labels.new_zeros(count, room).index_put_(at, labels),
        kept.new_zeros(count, room).index_put_(at, kept),
        angles,
    )


def match_by_iou(
    anchors: Tensor, targets: Targets, *, high: float, low: float, keep_best: bool, there: Tensor | None = None
) -> Tensor:
    """The object (B, N) that each anchor overlaps most, NEGATIVE if by less than `low`, NEITHER if by less than `high`.

    Args:
        anchors: (N, 4) of all images, or (B, N, 4).
        keep_best: an anchor that overlaps some object as much as any anchor does is matched in any case.
        there: (B, N) bool, which anchors exist; others are NEITHER.
    """
    overlap, match, best = best_overlaps(anchors.expand(len(targets.boxes), -1, -1), targets.boxes, targets.valid)
    unsure = torch.where(overlap < low, NEGATIVE, torch.where(overlap < high, NEITHER, match))
    if keep_best:
        unsure = torch.where(best, match, unsure)
    return unsure if there is None else torch.where(there, unsure, NEITHER)


def match_by_centre(points: Tensor, targets: Targets, levels: list[int]) -> Tensor:
    """FCOS: the smallest object (B, N) whose centre is near each point and whose size fits the point's level.

    Args:
        points: (N, 4) boxes of one stride around each point, level after level.
        levels: how many points each has.
    """
    middle, size = box_centre_size(points)
    stride = size[:, 0]
    lower, upper = stride * 4, stride * 8
    lower, upper = (
        torch.cat((torch.zeros_like(lower[: levels[0]]), lower[levels[0] :])),
        torch.cat((upper[: -levels[-1]], torch.full_like(upper[-levels[-1] :], torch.inf))),
    )
    best = points.new_zeros(len(targets.boxes), len(points))
    match = torch.full_like(best, NEGATIVE, dtype=torch.int64)
    for start, boxes, valid in _parts(targets):
        centre, sides = box_centre_size(boxes[:, :, None])
        near = (middle - centre).abs().amax(-1) < _CENTRE_RADIUS * stride
        low, high = middle - boxes[:, :, None, :2], boxes[:, :, None, 2:] - middle
        inside = torch.minimum(low, high).amin(-1) > 0
        reach = torch.maximum(low, high).amax(-1)
        fits = near & inside & (reach > lower) & (reach < upper) & valid[..., None]
        value, place = (fits * (1e8 - sides.prod(-1))).max(1)  # the smallest area wins
        match = torch.where(value > best, place + start, match)
        best = torch.maximum(best, value)
    return torch.where(best < 1e-5, NEGATIVE, match)


def sample(positive: Tensor, negative: Tensor, size: int, share: float) -> tuple[Tensor, Tensor]:
    """`size` places (B, size) of N at random without replacement, and which of them hold anything (B, size).

    At most a `share` of them is positive, and these come first; the rest is negative. positive, negative: (B, N) bool,
    never both.
    """
    count = positive.shape[1]
    keys = torch.rand(positive.shape, device=positive.device)
    value, place = torch.where(positive, keys, -1.0).topk(min(int(size * share), count))
    chosen = torch.full_like(keys, -1.0).scatter(1, place, torch.where(value >= 0, 2.0, -1.0))
    value, place = torch.where(negative, keys, chosen).topk(min(size, count))
    return place, value >= 0


def _parts(targets: Targets) -> Iterator[tuple[int, Tensor, Tensor]]:
    for start in range(0, targets.room, _OBJECTS_AT_ONCE):
        end = start + _OBJECTS_AT_ONCE
        yield start, targets.boxes[:, start:end], targets.valid[:, start:end]
