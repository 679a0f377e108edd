"""Label quality: how good each rule's boxes are on a data set's own masks, before anything is trained.

Reproduces the meaning of fig. 5 of Kalra et al. 2021: the share of labels whose IoU with the box of the rotated mask
reaches a threshold. Nothing is cut at the canvas, so only the shapes count.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.detection.data.types import Dataset
from engine.detection.geometry import Outlines, box_centre_size, iou
from engine.detection.labels import rotate_boxes
from engine.detection.rules import LabelRule

ANGLES = (0, 10, 20, 30, 40)


@dataclass(frozen=True, slots=True)
class QualityRow:
    """Labels of one rule at one angle, for one class or (None) all of them."""

    rule: str
    angle: float  # degrees
    label: int | None
    count: int
    mean_iou: float
    share50: float  # of labels with IoU >= 0.5
    share75: float


def label_quality(
    outlines: Outlines, labels: Tensor, rules: Sequence[LabelRule], angles: Sequence[float] = ANGLES, *, seed: int = 0
) -> Iterator[QualityRow]:
    """Rows for every rule, angle (degrees) and class with at least one mask, the row over all classes first.

    Args:
        outlines: of N masks; empty ones are left out.
        labels: (N,) int64 classes.
        rules: `none` and `perfect` have nothing to measure and are refused.
        seed: of the rule `random`.

    Raises:
        ValueError: a rule without a box to measure.
    """
    for rule in rules:
        if rule.kind in ("none", "perfect"):
            raise ValueError(f"label quality measures rules that guess a box; {rule} does not")
    upright, seen = outlines.boxes(torch.zeros(outlines.count), torch.zeros(2))
    centres = box_centre_size(upright)[0]
    # Each object is turned about its own centre: turning it about another point moves label and truth alike.
    for rule in rules:
        for degrees in angles:
            turn = torch.full((outlines.count,), math.radians(degrees))
            generator = torch.Generator().manual_seed(seed)
            guess = rotate_boxes(rule, upright, turn, centres, generator=generator)
            scores = iou(guess, outlines.boxes(turn, centres)[0])
            for label in (None, *sorted(set(labels[seen].tolist()))):
                chosen = scores[seen if label is None else seen & (labels == label)]
                if len(chosen):
                    yield _row(rule, degrees, label, chosen)


def _row(rule: LabelRule, degrees: float, label: int | None, scores: Tensor) -> QualityRow:
    shares = [float((scores >= threshold).double().mean()) for threshold in (0.5, 0.75)]
    return QualityRow(str(rule), degrees, label, len(scores), float(scores.double().mean()), *shares)


def dataset_quality(
    dataset: Dataset, rules: Sequence[LabelRule], angles: Sequence[float] = ANGLES, *, most: int = 5000, seed: int = 0
) -> list[QualityRow]:
    """`label_quality` on a data set's masks: of all of them, or of a random `most`. Empty where it has none.

    Labels in the rows are those of the data set, from 1.
    """
    pairs = [(record, each) for record in dataset.records for each in record.instances if each.mask and not each.crowd]
    if len(pairs) > most:
        pairs = random.Random(seed).sample(pairs, most)
    points = [each.mask.outline(record.width, record.height) for record, each in pairs if each.mask]
    labels = torch.tensor([each.label for _, each in pairs], dtype=torch.int64)
    return list(label_quality(Outlines.of_points(points), labels, rules, angles, seed=seed))
