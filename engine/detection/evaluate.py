"""Average precision by class, size and test angle, with ground truth from rotated masks where there are masks.

AP is COCO's: 101 recalls, IoU 0.5 to 0.95 by 0.05, computed by faster-coco-eval. Sizes are box areas in pixels of the
canvas, with COCO's limits 32^2 and 96^2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from faster_coco_eval import COCO, COCOeval_faster
from torch import Tensor, nn

from engine.detection.batch import Batch
from engine.detection.data.types import Dataset
from engine.detection.geometry import iou
from engine.detection.loader import Loader
from engine.detection.rotation import rotate_images, rotated_labels
from engine.detection.rules import LabelRule

ANGLES = (0.0, 10.0, 20.0, 30.0, 40.0)
SIZES = ("all", "small", "medium", "large")
CONFUSION_SCORE, CONFUSION_IOU = 0.5, 0.5
Detections = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Truth:
    """What is in one image: boxes (n, 4), labels (n,), and which of them are neither right nor wrong when found
    (n,)."""

    boxes: Tensor
    labels: Tensor
    ignored: Tensor


@dataclass(frozen=True, slots=True)
class AP:
    """Average precisions in 0..1; None where there is nothing to find."""

    ap: float | None  # mean over IoU 0.5 to 0.95
    ap50: float | None
    ap75: float | None


@dataclass(frozen=True, slots=True)
class Result:
    """One evaluation.

    Attributes:
        overall: over all classes.
        by_class: by class name.
        by_size: `small`, `medium` and `large`.
        curves, curves75: precision at 101 recalls from 0 to 1, at IoU 0.5 and 0.75, by class name; classes without
            objects are left out.
        confusion: (classes + 1) x (classes + 1) counts, rows true and columns found, the last for background, of
            detections with a score of at least 0.5 at IoU 0.5.
        images, objects: how many; ignored objects are not counted.
    """

    overall: AP
    by_class: dict[str, AP]
    by_size: dict[str, AP]
    curves: dict[str, list[float]]
    curves75: dict[str, list[float]]
    confusion: list[list[int]]
    images: int
    objects: int


@dataclass(frozen=True, slots=True)
class AngleResult:
    """A result at one test angle. `exact` says whether the truth comes from masks, or from boxes by the ellipse
    rule."""

    angle: float  # degrees
    exact: bool
    result: Result


class Evaluator:
    """Collects detections and truth image by image.

    Args:
        classes: names; label k is classes[k - 1].
        max_detections: best ones looked at in each image; COCO's 100, more for crowded images.
    """

    def __init__(self, classes: Sequence[str], max_detections: int = 100) -> None:
        self._classes, self._most = tuple(classes), max_detections
        self.reset()

    def reset(self) -> None:
        self._images = 0
        self._truth: list[dict[str, Any]] = []
        self._found: list[dict[str, Any]] = []
        self._confusion = np.zeros((len(self._classes) + 1,) * 2, np.int64)

    def process(self, detections: Sequence[Detections], truths: Sequence[Truth]) -> None:
        """Add images: detections with boxes (m, 4), labels (m,) and scores (m,), and what is there."""
        for (boxes, labels, scores), truth in zip(_on_host(detections), truths, strict=True):
            self._images += 1
            here = Truth(truth.boxes.float().cpu(), truth.labels.cpu(), truth.ignored.cpu())
            self._add_truth(here)
            for box, label, score in zip(_xywh(boxes), labels.tolist(), scores.tolist(), strict=True):
                self._found.append({"image_id": self._images, "category_id": label, "bbox": box, "score": score})
            self._confuse(boxes, labels, scores, here)

    def evaluate(self) -> Result:
        """Everything about the images processed since `reset`."""
        precision = self._precision()
        objects = sum(not each["iscrowd"] for each in self._truth)
        return Result(
            overall=_ap(precision[..., 0]),
            by_class={name: _ap(precision[:, :, k : k + 1, 0]) for k, name in enumerate(self._classes)},
            by_size={name: _ap(precision[..., index]) for index, name in enumerate(SIZES) if index},
            curves=self._curves(precision[0]),
            curves75=self._curves(precision[5]),
            confusion=self._confusion.tolist(),
            images=self._images,
            objects=objects,
        )

    def _curves(self, precision: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, list[float]]:
        """By class, from (101 recalls, classes, 4 sizes)."""
        by_class = zip(self._classes, precision[..., 0].T, strict=True)
        return {name: curve.tolist() for name, curve in by_class if (curve > -1).all()}

    def _precision(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """(10 IoU, 101 recalls, classes, 4 sizes), -1 where there is nothing to find."""
        categories = [{"id": label, "name": name} for label, name in enumerate(self._classes, 1)]
        images = [{"id": number} for number in range(1, self._images + 1)]
        truth = COCO({"images": images, "annotations": self._truth, "categories": categories})
        # one detection of no class keeps the library's reader happy where nothing was found
        nothing = {"image_id": 1, "category_id": 0, "bbox": [0.0, 0.0, 1.0, 1.0], "score": 0.0}
        evaluation = COCOeval_faster(truth, truth.loadRes(self._found or [nothing]), "bbox", print_function=_silent)
        evaluation.params.maxDets = [1, 10, self._most]
        evaluation.params.catIds = list(range(1, len(self._classes) + 1))
        evaluation.evaluate()
        evaluation.accumulate()
        return np.asarray(evaluation.eval["precision"], np.float64)[..., -1]

    def _add_truth(self, truth: Truth) -> None:
        rows = zip(_xywh(truth.boxes), truth.labels.tolist(), truth.ignored.tolist(), strict=True)
        for box, label, ignored in rows:
            self._truth.append(
                {
                    "id": len(self._truth) + 1,
                    "image_id": self._images,
                    "category_id": label,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": int(ignored),
                }
            )

    def _confuse(self, boxes: Tensor, labels: Tensor, scores: Tensor, truth: Truth) -> None:
        """Match by IoU alone, best score first, so that a right box with a wrong class shows as a confusion."""
        background = len(self._classes)
        sure = scores >= CONFUSION_SCORE
        order = scores[sure].argsort(descending=True)
        overlaps = iou(boxes[sure][order][:, None], truth.boxes[None]).numpy()
        there, ignored = truth.labels.tolist(), truth.ignored.tolist()
        free = np.ones(len(there), np.bool_)
        for label, overlap in zip(labels[sure][order].tolist(), overlaps, strict=True):
            row = np.where(free, overlap, 0)
            best = int(row.argmax()) if len(row) else -1
            if best < 0 or row[best] < CONFUSION_IOU:
                self._confusion[background, label - 1] += 1
                continue
            free[best] = False
            if not ignored[best]:
                self._confusion[there[best] - 1, label - 1] += 1
        for index in np.flatnonzero(free):
            if not ignored[index]:
                self._confusion[there[index] - 1, background] += 1


def rotated_truth(batch: Batch, degrees: float, *, exact: bool) -> list[Truth]:
    """What is in each image of an upright batch after a turn by `degrees`, where the batch is.

    From masks if `exact`, else by the ellipse rule. Objects of which little is left on the canvas count as ignored, as
    crowds do: finding them is neither right nor wrong.
    """
    if degrees == 0:
        boxes, seen = batch.boxes, torch.ones_like(batch.crowd)
    else:
        angles = torch.full((len(batch),), math.radians(degrees), device=batch.boxes.device)
        boxes, seen = rotated_labels(batch, angles, LabelRule("perfect" if exact else "ellipse"))
    ignored = batch.crowd | ~seen
    on_canvas = (boxes[:, 2:] > boxes[:, :2]).all(-1)
    truths = []
    for index in range(len(batch)):
        mine = (batch.owner == index) & on_canvas
        truths.append(Truth(boxes[mine], batch.labels[mine], ignored[mine]))
    return truths


@torch.no_grad()
def evaluate_model(
    model: nn.Module,
    dataset: Dataset,
    *,
    size: int,
    angles: Sequence[float] = ANGLES,
    batch_size: int = 8,
    device: torch.device | str = "cpu",
    max_detections: int = 100,
    loader: Loader | None = None,
    on_batch: Callable[[float, Batch, list[Detections], list[Truth]], None] | None = None,
) -> Iterator[AngleResult]:
    """The model on a data set turned by each angle (degrees, counter-clockwise), one result after the other.

    Args:
        model: images (B, 3, size, size) in 0..1 -> detections; put into evaluation mode here.
        loader: of `dataset` at `size`, to share its cache; made here if None.
        on_batch: called with (angle, batch, detections, truth), for galleries; the batch's images are turned, its
        boxes not.
    """
    model.eval()
    loader = loader or Loader(dataset, size)
    chunks = [range(at, min(at + batch_size, len(dataset))) for at in range(0, len(dataset), batch_size)]
    exact = dataset.has_masks
    for degrees in angles:
        evaluator = Evaluator(dataset.classes, max_detections)
        for upright in loader.batches(chunks):
            batch = upright.to(device)
            turn = torch.full((len(batch),), math.radians(degrees), device=batch.images.device)
            images = rotate_images(batch.images, turn) if degrees else batch.images
            detections, truths = model(images), rotated_truth(upright, degrees, exact=exact)  # truth on the host
            evaluator.process(detections, truths)
            if on_batch is not None:
                on_batch(degrees, replace(batch, images=images, angles=turn, outlines=None), detections, truths)
        yield AngleResult(degrees, exact or degrees % 90 == 0, evaluator.evaluate())


def _ap(precision: np.ndarray[Any, np.dtype[np.float64]]) -> AP:
    """From (10 IoU, 101, classes): the mean of what is defined, at all IoUs, at 0.5 and at 0.75."""
    values = []
    for part in (precision, precision[0], precision[5]):
        defined = part[part > -1]
        values.append(float(defined.mean()) if defined.size else None)
    return AP(*values)


def _on_host(detections: Sequence[Detections]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Boxes, labels and scores of each image, copied from a GPU together: each copy waits for it."""
    parts = []
    for key in ("boxes", "labels", "scores"):
        joined = torch.cat([each[key].detach() for each in detections]).cpu()
        parts.append(joined.split([len(each[key]) for each in detections]))  # type: ignore[no-untyped-call]
    for boxes, labels, scores in zip(*parts, strict=True):
        yield boxes.float(), labels.long(), scores.float()


def _xywh(boxes: Tensor) -> list[list[float]]:
    rows: list[list[float]] = torch.cat((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), 1).tolist()
    return rows


def _silent(*_: object) -> None:
    pass
