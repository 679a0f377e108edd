from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from faster_coco_eval.core import mask as coco_mask

from engine.detection.data.shapes import render_shapes
from engine.detection.geometry import Outlines
from engine.detection.quality import dataset_quality, label_quality
from engine.detection.rules import LabelRule
from tests.engine.detection.conftest import SHARED

RULES = [LabelRule("largest"), LabelRule("ellipse")]
NUCLEI = SHARED / "nuclei" / "train.json"


def discs_and_bars() -> tuple[Outlines, torch.Tensor]:
    y, x = np.mgrid[:80, :80] + 0.5
    disc = (x - 40) ** 2 + (y - 40) ** 2 < 30**2
    bar = (abs(x - 40) < 30) & (abs(y - 40) < 20)
    return Outlines.of_masks([disc, bar, np.zeros((80, 80), bool)]), torch.tensor([1, 2, 2])


def test_discs_want_the_ellipse_and_bars_the_largest_box() -> None:
    outlines, labels = discs_and_bars()
    rows = {(row.rule, row.label): row for row in label_quality(outlines, labels, RULES, [30])}
    assert rows["ellipse", 1].mean_iou > 0.95 > 0.6 > rows["largest", 1].mean_iou
    assert rows["largest", 2].mean_iou > 0.95 > 0.8 > rows["ellipse", 2].mean_iou
    assert rows["ellipse", None].count == 2, "the empty mask is left out"
    assert rows["ellipse", None].share75 == 0.5


def test_it_refuses_rules_without_a_guess() -> None:
    with pytest.raises(ValueError, match="perfect does not"):
        next(label_quality(*discs_and_bars(), [LabelRule("perfect")]))


@pytest.mark.skipif(not NUCLEI.exists(), reason="the nuclei are not on this machine")
def test_nuclei_as_measured_before() -> None:
    """The figures of an independent measurement on 2,864 other nuclei of the set: share >= .75 and mean IoU."""
    masks = _nuclei(NUCLEI, 80)
    rows = {
        (row.rule, row.angle): row for row in label_quality(Outlines.of_masks(masks), torch.ones(len(masks)), RULES)
    }
    expected = {
        ("largest", 10): (0.885, 0.803),
        ("ellipse", 10): (0.989, 0.877),
        ("largest", 20): (0.164, 0.681),
        ("ellipse", 20): (0.786, 0.809),
        ("largest", 30): (0.042, 0.609),
        ("ellipse", 30): (0.618, 0.771),
    }
    for key, (share, mean) in expected.items():
        assert rows[key].share75 == pytest.approx(share, abs=0.06), key
        assert rows[key].mean_iou == pytest.approx(mean, abs=0.02), key


def _nuclei(path: Path, images: int) -> list[np.ndarray]:
    data = json.loads(path.read_text())
    chosen = {image["id"] for image in data["images"][:images]}
    return [
        coco_mask.decode(each["segmentation"]).astype(bool)
        for each in data["annotations"]
        if each["image_id"] in chosen
    ]


def test_a_data_set_is_measured_on_its_masks(tmp_path: Path) -> None:
    dataset = render_shapes(tmp_path, 12, size=96, seed=1)
    rows = {(row.rule, row.label): row for row in dataset_quality(dataset, RULES, [25])}
    objects = sum(len(record.instances) for record in dataset.records)
    assert rows["ellipse", None].count == objects
    assert rows["ellipse", 1].mean_iou > rows["largest", 1].mean_iou, "ellipses want the ellipse"
    assert rows["ellipse", 2].mean_iou < rows["largest", 2].mean_iou, "rectangles want the largest box"
    assert {row.count for row in dataset_quality(dataset, RULES, [25], most=5) if row.label is None} == {5}
