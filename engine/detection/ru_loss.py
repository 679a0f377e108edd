"""The Rotation Uncertainty (RU) loss of Kalra et al. 2021 (section 4.3, eqs 17-18, fig. 6).

A rotated label is a guess, so a prediction that agrees with it well enough is left alone: a positive anchor's
box-regression loss counts only while

    IoU(predicted box, rotated label) < max(0.5, C(t)),      C(t) = 1 + (1 - cos 4t) / (2 cos(4 delta) - 2)

delta, the angle at which C falls to 0.5, is the only setting. C is 1 at right angles, where labels are exact: there
every positive anchor is regressed. The gate is a plain 0 or 1 with no gradient through it, the classification loss is
untouched, and the usual normaliser (all positives or all samples) stays.

One sentence of the paper prints the inequality the other way round ("if the predicted box is greater than max(0.5, C)
it uses the regression loss"). Taken at its word nothing would ever be regressed at t = 0. The sentence before it
("turn off the regression loss if the model is close enough") and fig. 6 say what is done here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder

from engine.detection.geometry import iou

MATCH_IOU = 0.5  # "the threshold for anchor matching"
BUCKET_DEGREES = 5
_BUCKETS = 45 // BUCKET_DEGREES


def ru_threshold(angles: Tensor, delta: float) -> Tensor:
    """max(0.5, C(t)) for angles in radians of any shape (eqs 17-18).

    Args:
        delta: degrees, above 0 and at most 45: 10 is best on COCO, larger values on simpler data sets.

    Raises:
        ValueError: delta out of range.
    """
    check_delta(delta)
    certainty = 1 + (1 - (4 * angles).cos()) / (2 * math.cos(4 * math.radians(delta)) - 2)
    return certainty.clamp(min=MATCH_IOU)


def check_delta(delta: float) -> None:
    """Raises ValueError unless delta is an angle at which C can fall to 0.5."""
    if not 0 < delta <= 45:
        raise ValueError(f"delta must be above 0 and at most 45 degrees, got {delta}")


@dataclass(frozen=True, slots=True)
class GateRow:
    """Positive anchors or proposals of images turned `low` to `high` degrees away from a right angle."""

    low: int
    high: int
    positives: int
    regressed: int

    @property
    def gated(self) -> float:
        """Share of positives whose regression was turned off; NaN without positives."""
        return 1 - self.regressed / self.positives if self.positives else math.nan


class RUGate:
    """Decides which positives are regressed, and counts by angle what it decided.

    Args:
        delta: degrees; None regresses every positive (no RU loss) and still counts.
    """

    def __init__(self, delta: float | None) -> None:
        if delta is not None:
            check_delta(delta)
        self.delta = delta
        self._counts: Tensor | None = None  # (2, buckets) on the device: counting does not wait for it

    @torch.no_grad()
    def of_boxes(self, predicted: Tensor, labels: Tensor, angles: Tensor) -> Tensor:
        """1 where the regression counts, else 0: (M,) float for M positives.

        Args:
            predicted: (M, 4) boxes.
            labels: (M, 4) rotated labels they are matched with.
            angles: (M,) radians of their images.
        """
        if self.delta is None:
            gate = torch.ones_like(angles)
        else:
            gate = (iou(predicted.float(), labels.float()) < ru_threshold(angles, self.delta)).to(angles.dtype)
        self._count(angles, gate)
        return gate

    @torch.no_grad()
    def of_deltas(self, predicted: Tensor, targets: Tensor, angles: Tensor, coder: BoxCoder) -> Tensor:
        """As `of_boxes`, from offsets (M, 4) to the same anchors.

        IoU does not change when both boxes are moved and stretched along the axes together, so the anchors themselves
        are not needed: both offsets are decoded on the unit box.
        """
        unit = predicted.new_tensor((0.0, 0.0, 1.0, 1.0), dtype=torch.float32).expand(len(predicted), 4)
        found, label = (coder.decode_single(offsets.detach().float(), unit) for offsets in (predicted, targets))
        return self.of_boxes(found, label, angles)

    def rows(self) -> list[GateRow]:
        """What has been decided since the last `clear`, by bucket of angle. Waits for the device."""
        counts = torch.zeros(2, _BUCKETS) if self._counts is None else self._counts
        positives, regressed = counts.long().tolist()
        return [
            GateRow(bucket * BUCKET_DEGREES, (bucket + 1) * BUCKET_DEGREES, positives[bucket], regressed[bucket])
            for bucket in range(_BUCKETS)
        ]

    def clear(self) -> None:
        self._counts = None

    def _count(self, angles: Tensor, gate: Tensor) -> None:
        if self._counts is None:
            self._counts = torch.zeros(2, _BUCKETS, dtype=torch.float64, device=angles.device)
        quarter = angles.abs() % (math.pi / 2)
        away = torch.rad2deg(torch.minimum(quarter, math.pi / 2 - quarter))
        bucket = (away / BUCKET_DEGREES).long().clamp(max=_BUCKETS - 1)
        both = torch.stack((torch.ones_like(gate), gate)).double()
        self._counts.scatter_add_(1, bucket.expand(2, -1), both)
