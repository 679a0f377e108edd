from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from engine.detection.batch import Batch
from engine.detection.data.shapes import render_shapes
from engine.detection.evaluate import Detections, Evaluator, Truth, evaluate_model, rotated_truth
from engine.detection.loader import Loader, placement
from engine.detection.rotation import rotate_images


def noisy(seed: int, images: int = 12, classes: int = 3) -> tuple[list[Detections], list[Truth]]:
    generator = torch.Generator().manual_seed(seed)
    found, truths = [], []
    for _ in range(images):
        count = int(torch.randint(0, 8, (1,), generator=generator))
        boxes = torch.rand(count, 4, generator=generator) * 200
        boxes[:, 2:] += boxes[:, :2] + 4
        labels = torch.randint(1, classes + 1, (count,), generator=generator)
        ignored = torch.rand(count, generator=generator) < 0.15
        truths.append(Truth(boxes, labels, ignored))
        extra = torch.rand(3, 4, generator=generator) * 150
        extra[:, 2:] += extra[:, :2] + 4
        shaken = torch.cat((boxes + torch.randn(boxes.shape, generator=generator) * 4, extra))
        guess = torch.cat((labels, torch.ones(3, dtype=torch.int64)))
        found.append({"boxes": shaken, "labels": guess, "scores": torch.rand(len(shaken), generator=generator)})
    return found, truths


def with_pycocotools(found: list[Detections], truths: list[Truth], classes: int) -> list[float]:
    annotations, results = [], []
    for image, (detections, truth) in enumerate(zip(found, truths, strict=True), 1):
        for box, label, ignored in zip(truth.boxes, truth.labels, truth.ignored, strict=True):
            x1, y1, x2, y2 = box.tolist()
            area = (x2 - x1) * (y2 - y1)
            row = {"image_id": image, "category_id": int(label), "bbox": [x1, y1, x2 - x1, y2 - y1], "area": area}
            annotations.append({**row, "id": len(annotations) + 1, "iscrowd": int(ignored)})
        for box, label, score in zip(detections["boxes"], detections["labels"], detections["scores"], strict=True):
            x1, y1, x2, y2 = box.tolist()
            row = {"image_id": image, "category_id": int(label), "bbox": [x1, y1, x2 - x1, y2 - y1]}
            results.append({**row, "score": float(score)})
    truth = COCO()
    truth.dataset = {
        "images": [{"id": image} for image in range(1, len(found) + 1)],
        "annotations": annotations,
        "categories": [{"id": label, "name": str(label)} for label in range(1, classes + 1)],
        "info": {},
    }
    truth.createIndex()
    evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return list(evaluation.stats[:6])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_ap_is_that_of_pycocotools(seed: int) -> None:
    found, truths = noisy(seed)
    evaluator = Evaluator(["a", "b", "c"])
    evaluator.process(found, truths)
    result = evaluator.evaluate()
    sizes = [result.by_size[name].ap for name in ("small", "medium", "large")]
    ours = [result.overall.ap, result.overall.ap50, result.overall.ap75, *sizes]
    theirs = [None if value == -1 else pytest.approx(value, abs=1e-9) for value in with_pycocotools(found, truths, 3)]
    assert ours == theirs
    assert 0.05 < float(result.overall.ap or 0) < 0.95
    mean = np.mean([each.ap for each in result.by_class.values() if each.ap is not None])
    assert mean == pytest.approx(result.overall.ap)


def test_perfect_detections_and_none() -> None:
    _, truths = noisy(3)
    evaluator = Evaluator(["a", "b", "c", "absent"])
    evaluator.process(
        [{"boxes": t.boxes, "labels": t.labels, "scores": torch.ones(len(t.labels))} for t in truths], truths
    )
    result = evaluator.evaluate()
    assert result.overall.ap == pytest.approx(1)
    assert result.by_class["absent"].ap is None and "absent" not in result.curves
    assert np.diag(result.confusion).sum() == result.objects == np.sum(result.confusion)
    evaluator.reset()
    nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64), "scores": torch.zeros(0)}
    evaluator.process([nothing] * len(truths), truths)
    result = evaluator.evaluate()
    assert result.overall.ap == 0
    assert sum(row[-1] for row in result.confusion) == result.objects


def test_a_confusion_shows_the_wrong_class() -> None:
    truth = Truth(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([1]), torch.tensor([False]))
    boxes = torch.tensor([[0.0, 0, 10, 9], [50, 50, 60, 60], [0, 0, 9, 10]])
    found = {"boxes": boxes, "labels": torch.tensor([2, 1, 1]), "scores": torch.tensor([0.9, 0.8, 0.3])}
    evaluator = Evaluator(["a", "b"])
    evaluator.process([found], [truth])
    assert evaluator.evaluate().confusion == [[0, 1, 0], [0, 0, 0], [1, 0, 0]]


class Oracle(torch.nn.Module):
    """Finds what is bright, by looking at the pixels: right at every angle if images and truth turn alike."""

    def forward(self, images: torch.Tensor) -> list[Detections]:
        found = []
        for image in images:
            ys, xs = torch.where(image[0] > 0.5)
            boxes = torch.stack((xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)).float()[None]
            found.append({"boxes": boxes, "labels": torch.ones(1, dtype=torch.int64), "scores": torch.ones(1)})
        return found


def test_truth_turns_with_the_pixels(tmp_path: Path) -> None:
    from PIL import Image

    from engine.detection.data.masks import Mask
    from engine.detection.data.types import Dataset, Instance, Record

    mask = np.zeros((100, 160), bool)
    mask[20:60, 40:52] = True
    mask[48:60, 40:110] = True
    Image.fromarray(mask).convert("L").save(tmp_path / "a.png")
    full = Mask.of_array(mask)
    record = Record("a.png", 160, 100, (Instance(full.box(160, 100) or (0, 0, 0, 0), 1, full),))
    dataset = Dataset(tmp_path, ("corner",), (record,))
    seen: list[float] = []
    results = list(
        evaluate_model(Oracle(), dataset, size=320, angles=[0, -25, 60], on_batch=lambda angle, *_: seen.append(angle))
    )
    assert seen == [0, -25, 60]
    for each in results:
        assert each.exact and each.result.overall.ap75 == 1 and float(each.result.overall.ap or 0) > 0.9, each.angle
    boxes_only = Dataset(tmp_path, ("corner",), (Record("a.png", 160, 100, (Instance(record.instances[0].box, 1),)),))
    guessed = list(evaluate_model(Oracle(), boxes_only, size=320, angles=[0, 25]))
    assert [each.exact for each in guessed] == [True, False]


def test_what_is_hardly_left_is_ignored(tmp_path: Path) -> None:
    dataset = render_shapes(tmp_path, 4, size=64, seed=3)
    (batch,) = Loader(dataset, 64).batches([range(4)])
    crowded = batch.to("cpu")
    upright = rotated_truth(crowded, 0, exact=True)
    assert sum(len(each.labels) for each in upright) == len(batch.labels)
    assert not any(each.ignored.any() for each in upright)
    turned = rotated_truth(crowded, 45, exact=True)
    assert all(((each.boxes >= 0) & (each.boxes <= 64)).all() for each in turned)
    images = rotate_images(crowded.images, torch.full((4,), math.pi / 4))
    assert images.shape == crowded.images.shape


def test_the_loader_puts_images_in_the_middle_and_keeps_order(tmp_path: Path) -> None:
    dataset = render_shapes(tmp_path, 6, size=64, seed=4)
    small = Loader(dataset, 96, cache_bytes=96 * 96 * 3 * 2)  # room for two images
    order = [[3, 1], [0, 5], [2, 4], [3, 1]]
    batches: list[Batch] = list(small.batches(order))
    names = [[dataset.records[index].file for index in each] for each in order]
    assert [list(batch.names) for batch in batches] == names
    assert torch.equal(batches[0].images, batches[3].images)
    first = dataset.records[3].instances[0].box
    assert batches[0].boxes[0].tolist() == pytest.approx([side * 1.5 for side in first], abs=1e-4)
    assert placement(200, 100, 64) == (0.32, 0, 16)
    outlines = batches[0].outlines
    assert outlines is not None
    boxes, _ = outlines.boxes(torch.zeros(outlines.count), torch.zeros(2))
    assert torch.allclose(boxes, batches[0].boxes, atol=1e-3)
    next(iter(small.batches(order)))  # leaving early lets the threads go
