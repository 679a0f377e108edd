"""The evaluate stage: a run's best weights at each test angle, and the images it is worst at. No Django."""

from __future__ import annotations

import heapq
import random
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from engine.detection import AngleResult, ModelConfig, build_model, evaluate_model
from engine.detection.batch import Batch
from engine.detection.evaluate import AP, Truth
from engine.detection.geometry import iou
from engine.detection.loader import Loader
from engine.detection.models import Detector
from engine.training.checkpoint import WeightsError, load_weights
from jobs.kinds.accelerators import device_here
from jobs.kinds.detection.data import open_data
from jobs.kinds.runner_parts import Hopeless, jpeg_text

if TYPE_CHECKING:
    from jobs.kinds.base import Context

PICTURE = 384  # pixels, the longer side
_MOST_FOUND = 60  # detections of an image that are kept, best first
_MATCH = 0.5  # IoU


def evaluate_run(job: dict[str, Any], context: Context) -> None:
    """Score the angles of a shard that have no score yet."""
    context.progress(job["done"])
    if not job["angles"]:
        return
    data = open_data(job["data"], context.data_dir, context)
    device = device_here()
    model = load_model(ModelConfig(**job["model"]), Path(job["weights"])).to(device)
    size = model.config.image_size
    loader = Loader(data.test, size, pin=device == "cuda")
    for done, angle in enumerate(job["angles"], job["done"] + 1):
        gallery = Gallery(len(data.test), worst=job["worst"], drawn=job["random"])

        def on_batch(_: float, batch: Batch, found: list[dict[str, Tensor]], truths: list[Truth]) -> None:
            if context.cancelled:
                raise _Cancelled
            gallery.add(batch, found, truths)  # noqa: B023  # called within this turn of the loop

        try:
            results = evaluate_model(
                model,
                data.test,
                size=size,
                angles=[angle],
                batch_size=job["batch"],
                device=device,
                max_detections=job["max_detections"],
                loader=loader,
                on_batch=on_batch,
            )
            result = next(results)
        except _Cancelled:
            return
        for row in gallery.rows(angle, size):
            context.row(row)
        context.row(score_row(result))
        context.progress(done)


class _Cancelled(Exception):
    """Leaves the evaluation in its middle."""


def load_model(config: ModelConfig, weights: Path) -> Detector:
    """A run's detector with its trained weights. Raises Hopeless."""
    try:
        model = build_model(config)
        load_weights(weights, model)
    except WeightsError as error:
        raise Hopeless(f"The run's weights cannot be read: {error}. Retrain it.") from None
    return model.eval()


def score_row(at: AngleResult) -> dict[str, Any]:
    result = at.result
    return {
        "is": "score",
        "angle": at.angle,
        **asdict(result.overall),
        "details": {
            "classes": {name: _three(ap) for name, ap in result.by_class.items()},
            "sizes": {name: _three(ap) for name, ap in result.by_size.items()},
            "curves": {name: [round(value, 4) for value in curve] for name, curve in result.curves.items()},
            "curves75": {name: [round(value, 4) for value in curve] for name, curve in result.curves75.items()},
            "confusion": result.confusion,
            "images": result.images,
            "objects": result.objects,
            "exact": at.exact,
        },
    }


def _three(ap: AP) -> list[float | None]:
    return [ap.ap, ap.ap50, ap.ap75]


# --- the gallery ------------------------------------------------------------------------------------------------------


@dataclass(order=True, slots=True)
class _Shown:
    badness: float
    image: int
    file: str = field(compare=False)
    canvas: Any = field(compare=False)  # (S, S, 3) uint8
    values: dict[str, Any] = field(compare=False)


class Gallery:
    """Keeps the images that a detector is worst at, and some drawn at random: the same ones at every angle and for
    every run."""

    def __init__(self, images: int, *, worst: int, drawn: int) -> None:
        self._worst_count = worst
        self._drawn = set(random.Random(0).sample(range(images), min(drawn, images)))
        self._worst: list[_Shown] = []
        self._random: list[_Shown] = []
        self._next = 0

    def add(self, batch: Batch, found: list[dict[str, Tensor]], truths: list[Truth]) -> None:
        for image, name, detections, truth in zip(batch.images, batch.names, found, truths, strict=True):
            index, self._next = self._next, self._next + 1
            badness, values = match(detections, truth)
            chosen = index in self._drawn
            is_worst = len(self._worst) < self._worst_count or badness > self._worst[0].badness
            if not chosen and not is_worst:
                continue
            canvas = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
            shown = _Shown(badness, index, name[-500:], canvas, values)
            if chosen:
                self._random.append(shown)
            elif self._worst_count:
                push = heapq.heappush if len(self._worst) < self._worst_count else heapq.heappushpop
                push(self._worst, shown)

    def rows(self, angle: float, size: int) -> list[dict[str, Any]]:
        kept = [("worst", each) for each in sorted(self._worst, reverse=True)]
        return [
            {
                "is": "prediction",
                "angle": angle,
                "image": each.image,
                "file": each.file,
                "badness": round(each.badness, 4),
                "chosen": chosen,
                "values": {"size": size, **each.values},
                "jpeg": jpeg_text(each.canvas, PICTURE),
            }
            for chosen, each in [*kept, *(("random", each) for each in self._random)]
        ]


def match(detections: dict[str, Tensor], truth: Truth) -> tuple[float, dict[str, Any]]:
    """How bad the detections of one image are, and what is shown of them (Prediction.values without the size).

    Best score first, each detection takes the free object of its class that it overlaps most, from IoU 0.5 on.
    Badness adds 1 for each object that is missed, 1 - IoU for each that is found, and the score of each detection
    where nothing is. Objects that count as neither right nor wrong add nothing.
    """
    order = detections["scores"].argsort(descending=True)
    boxes, labels, scores = (detections[key][order].detach().float().cpu() for key in ("boxes", "labels", "scores"))
    objects, classes, ignored = truth.boxes.float().cpu(), truth.labels.cpu(), truth.ignored.cpu()
    overlaps = iou(boxes[:, None], objects[None]) * (labels[:, None] == classes[None])
    taken = torch.zeros(len(objects))
    matched = torch.zeros(len(boxes))
    badness = 0.0
    for index in range(len(boxes)):
        row = torch.where(taken > 0, torch.zeros_like(taken), overlaps[index]) if len(objects) else taken
        best = int(row.argmax()) if len(row) else -1
        if best < 0 or row[best] < _MATCH:
            badness += float(scores[index])
            continue
        taken[best] = matched[index] = row[best]
    badness += float((1 - taken)[~ignored].sum())
    found = zip(labels.tolist(), scores.tolist(), boxes.tolist(), matched.tolist(), strict=True)
    there = zip(classes.tolist(), objects.tolist(), taken.tolist(), ignored.tolist(), strict=True)
    return badness, {
        "found": [
            [int(label) - 1, round(score, 4), *(round(side, 1) for side in box), round(overlap, 3)]
            for label, score, box, overlap in list(found)[:_MOST_FOUND]
        ],
        "truth": [
            [int(label) - 1, *(round(side, 1) for side in box), round(overlap, 3), int(ignore)]
            for label, box, overlap, ignore in there
        ],
    }
