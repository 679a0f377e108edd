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

from engine.detection.geometry import Weights, decode_offsets, iou

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
    def of_boxes(self, predicted: Tensor, labels: Tensor, angles: Tensor, positive: Tensor) -> Tensor:
        """1 where there is a positive and its regression counts, else 0: (B, N) float.

        Args:
            predicted: (B, N, 4) boxes of B images.
            labels: (B, N, 4) rotated labels they are matched with.
            angles: (B,) radians.
            positive: (B, N) bool, which are matched at all.
        """
        regressed = positive
        if self.delta is not None:
            threshold = ru_threshold(angles, self.delta)[:, None]
            regressed = positive & (iou(predicted.float(), labels.float()) < threshold)
        self._count(angles, positive, regressed)
        return regressed.to(torch.float32)

    @torch.no_grad()
    def of_offsets(
        self, predicted: Tensor, targets: Tensor, angles: Tensor, positive: Tensor, weights: Weights = (1, 1, 1, 1)
    ) -> Tensor:
        """As `of_boxes`, from offsets (B, N, 4) to the same anchors.

        IoU does not change when both boxes are moved and stretched along the axes together, so the anchors themselves
        are not needed: both offsets are decoded on the unit box.
        """
        if self.delta is None:  # nothing to compare
            return self.of_boxes(predicted, targets, angles, positive)
        low = torch.zeros_like(angles)
        unit = torch.stack((low, low, low + 1, low + 1), -1)[:, None]
        found, label = (decode_offsets(offsets.detach().float(), unit, weights) for offsets in (predicted, targets))
        return self.of_boxes(found, label, angles, positive)

    def rows(self) -> list[GateRow]:
        """What has been decided since the last `clear`, by bucket of angle. Waits for the device."""
        counts = torch.zeros(2, _BUCKETS) if self._counts is None else self._counts
        positives, regressed = counts.long().tolist()
        return [
            GateRow(bucket * BUCKET_DEGREES, (bucket + 1) * BUCKET_DEGREES, positives[bucket], regressed[bucket])
            for bucket in range(_BUCKETS)
        ]

    def clear(self) -> None:
        if self._counts is not None:
            self._counts.zero_()  # in place: a captured step goes on counting here

    def _count(self, angles: Tensor, positive: Tensor, regressed: Tensor) -> None:
        if self._counts is None:
            self._counts = torch.zeros(2, _BUCKETS, dtype=torch.float64, device=angles.device)
        quarter = angles.abs() % (math.pi / 2)
        away = torch.rad2deg(torch.minimum(quarter, math.pi / 2 - quarter))
        bucket = (away / BUCKET_DEGREES).long().clamp(max=_BUCKETS - 1)
        both = torch.stack((positive.sum(1), regressed.sum(1))).double()
        self._counts.scatter_add_(1, bucket.expand(2, -1), both)
