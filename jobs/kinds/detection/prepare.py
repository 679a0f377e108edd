"""The prepare stage: read and check the data, measure the quality of its labels, show its first images. No Django."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.detection import LabelRule
from engine.detection.data import Dataset, DatasetError, Record
from engine.detection.data.images import read_image
from jobs.kinds.detection.data import Data, open_data
from jobs.kinds.runner_parts import Hopeless, beating, jpeg_text

if TYPE_CHECKING:
    from jobs.kinds.base import Context

SHOWN_IMAGES = 2_000  # of a set, in its browser
SHOWN_OBJECTS = 300  # of one image
THUMBNAIL = 320  # pixels, the longer side
_STRICT = ("unlabelled_image", "size_mismatch")  # no faults: background images, and a wrong note beside a good image
_SENTENCES = 20


def prepare(job: dict[str, Any], context: Context) -> None:
    try:
        data = open_data(job["data"], context.data_dir, context)
        _check(job, data)
    except Hopeless as error:
        context.row({"is": "refused", "reason": str(error)})
        raise
    context.progress(40)
    for sentence in data.report.sentences():
        context.log(f"Data: {sentence}", "warning")
    context.row({"is": "data", "values": facts(job["name"], data), "set": set_fields(data)})
    _label_quality(job, data, context)
    context.progress(60)
    if job["show"]:
        _show(data, context)
    context.progress(100)


def _check(job: dict[str, Any], data: Data) -> None:
    if job["strict"]:
        try:
            data.report.refuse([kind for kind in data.report.counts if kind not in _STRICT])  # type: ignore[misc]
        except DatasetError as error:
            raise Hopeless(f"{error}. Mend it, or do not stop at faults in the data.") from None
    if job["train"] and not data.train.has_masks and any(LabelRule.parse(rule).needs_masks for rule in job["rules"]):
        raise Hopeless("Perfect labels need a mask for every object, and this data set lacks some: drop that rule.")
    for name, part in (("train", data.train), ("test", data.test)):
        if not any(record.instances for record in part.records):
            raise Hopeless(f"No image to {name} with has an object: change the share kept for tests.")


def facts(name: str, data: Data) -> dict[str, Any]:
    """What a page says about the data, Prepared.values."""
    return {
        "name": name,
        "format": data.format,
        "classes": list(data.classes),
        "has_masks": data.has_masks,
        "images": {"train": len(data.train), "val": len(data.val), "test": len(data.test)},
        "objects": {part: sum(len(record.instances) for record in each.records) for part, each in _named(data)},
        "own_test": data.test is not data.val,
        "report": data.report.sentences()[:_SENTENCES],
        "fingerprint": data.fingerprint,
    }


def _named(data: Data) -> list[tuple[str, Dataset]]:
    return [("train", data.train), ("val", data.val), *([("test", data.test)] if data.test is not data.val else [])]


def set_fields(data: Data) -> dict[str, Any]:
    """What reading a set tells about it, by field of DataSet."""
    by_class: dict[str, int] = dict.fromkeys(data.classes, 0)
    for _, part in _named(data):
        for name, count in part.class_counts().items():
            by_class[name] += count
    sizes = {name: len(part) for name, part in _named(data)}
    return {
        "format": data.format,
        "classes": list(data.classes),
        "has_masks": data.has_masks,
        "counts": {
            "images": sum(sizes.values()),
            "objects": sum(by_class.values()),
            "by_class": by_class,
            "parted": data.parted,
            "shown": min(SHOWN_IMAGES, sum(sizes.values())),
            **sizes,
        },
        "report": {
            "problems": [
                {"kind": each.kind, "where": each.where, "message": each.message} for each in data.report.problems
            ],
            "counts": dict(data.report.counts),
        },
    }


def _label_quality(job: dict[str, Any], data: Data, context: Context) -> None:
    rules = [LabelRule.parse(rule) for rule in job["rules"]]
    measured = [rule for rule in rules if rule.rotates and not rule.needs_masks]
    if not measured:
        return
    from engine.detection.quality import dataset_quality  # brings torch

    with beating(context):
        rows = [row for row in dataset_quality(data.train, measured, job["angles"]) if row.label is None]
    if not rows:
        context.log("The objects have no masks, so the quality of rotated labels cannot be measured.")
    for row in rows:
        context.row(
            {
                "is": "quality",
                "rule": row.rule,
                "angle": row.angle,
                "share50": row.share50,
                "share75": row.share75,
                "mean_iou": row.mean_iou,
                "objects": row.count,
            }
        )


# --- the browser's images ---------------------------------------------------------------------------------------------


def _show(data: Data, context: Context) -> None:
    """Small copies of the first images, from all parts in turn."""
    parts = [[(name, part, record) for record in part.records] for name, part in _named(data)]
    chosen = [each for part in parts for each in part[: SHOWN_IMAGES * len(part) // max(1, sum(map(len, parts))) + 1]]
    for index, (name, part, record) in enumerate(chosen[:SHOWN_IMAGES]):
        if context.cancelled:
            return
        context.row(_set_image(index, name, part, record))
        context.progress(60 + 40 * index // len(chosen))


def _set_image(index: int, split: str, dataset: Dataset, record: Record) -> dict[str, Any]:
    labels = [[each.label - 1, *(round(side, 2) for side in each.box)] for each in record.instances[:SHOWN_OBJECTS]]
    return {
        "is": "set image",
        "index": index,
        "split": split,
        "file": record.file[-500:],
        "width": record.width,
        "height": record.height,
        "objects": len(record.instances),
        "labels": labels,
        "jpeg": jpeg_text(read_image(dataset.path(record)), THUMBNAIL),
    }
