"""One door for every data set: a folder or a zip, in any of the formats."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.detection.data import coco, voc, yolo
from engine.detection.data.archive import Limits, unpack
from engine.detection.data.types import Dataset, DatasetError, Report

Format = Literal["coco", "voc", "yolo"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was found: splits by name, all with the same classes, and what was wrong."""

    format: Format
    splits: dict[str, Dataset]
    report: Report

    def train_val(self, val_share: float = 0.2, seed: int = 0) -> tuple[Dataset, Dataset]:
        """The data set's own `train` and `val` (or `test`) if it has them, else a random split of everything."""
        val = self.splits.get("val") or self.splits.get("test")
        if "train" in self.splits and val:
            return self.splits["train"], val
        first = next(iter(self.splits.values()))
        records = tuple(record for each in self.splits.values() for record in each.records)
        return split(Dataset(first.root, first.classes, records), val_share, seed)


def load_dataset(
    source: Path,
    *,
    format: Format | None = None,
    unpack_to: Path | None = None,
    limits: Limits = Limits(),  # noqa: B008
) -> Loaded:
    """Read a data set and check every image and object.

    Args:
        source: a folder, or a zip, which is unpacked into the new folder `unpack_to` first.
        format: None finds out.

    Raises:
        DatasetError: nothing in it can be read, or the archive is refused. What is wrong with single images and objects
            goes into the report instead; `report.refuse(kinds)` makes it fatal.
    """
    if source.is_file():
        if unpack_to is None:
            raise DatasetError(f"{source.name} is a file: a zip is read once it is known where to unpack it")
        source = unpack(source, unpack_to, limits)
    if not source.is_dir():
        raise DatasetError(f"there is no folder {source}")
    report = Report()
    name, splits = _read(source, format, report)
    if not any(len(each) for each in splits.values()):
        raise DatasetError("no image of the data set can be read. " + " · ".join(report.sentences()[:3]))
    if len({each.classes for each in splits.values()}) > 1:
        raise DatasetError("the splits declare different classes: give them the same categories in the same order")
    if not any(record.instances for each in splits.values() for record in each.records):
        raise DatasetError("no image has an object. " + " · ".join(report.sentences()[:3]))
    return Loaded(name, splits, report)


def split(dataset: Dataset, val_share: float, seed: int = 0) -> tuple[Dataset, Dataset]:
    """A random (train, val), the same for a seed; each gets at least one image.

    Raises:
        DatasetError: fewer than two images, or a share outside (0, 1).
    """
    if not 0 < val_share < 1 or len(dataset) < 2:
        raise DatasetError(f"a split needs two images and a share between 0 and 1, got {len(dataset)} and {val_share}")
    order = list(range(len(dataset)))
    random.Random(seed).shuffle(order)
    cut = min(max(round(val_share * len(order)), 1), len(order) - 1)
    return dataset.subset(sorted(order[cut:])), dataset.subset(sorted(order[:cut]))


def _read(source: Path, format: Format | None, report: Report) -> tuple[Format, dict[str, Dataset]]:
    if format in (None, "voc") and (folder := voc.find(source)):
        return "voc", voc.read(folder, report)
    if format in (None, "coco") and (files := coco.find(source)):
        return "coco", _read_coco(files, source, report)
    if format in (None, "yolo") and (folder := yolo.find(source)):
        return "yolo", yolo.read(folder, report)
    wanted = {"coco": "COCO JSON", "voc": "Pascal VOC (Annotations/*.xml)", "yolo": "YOLO (labels/*.txt)"}
    raise DatasetError(f"no {wanted[format] if format else ', '.join(wanted.values())} annotations in {source.name}")


def _read_coco(files: list[Path], source: Path, report: Report) -> dict[str, Dataset]:
    """Each file that can be read.

    Of two files for one split the one of objects (`instances_...`) is taken, not that of captions or poses.
    """
    splits: dict[str, Dataset] = {}
    failure: DatasetError | None = None
    for path in sorted(files, key=lambda path: (not path.name.startswith("instances"), path)):
        if _split_name(path) in splits:
            continue
        try:
            splits[_split_name(path)] = coco.read(path, source, report)
        except DatasetError as error:
            report.add("bad_annotation", path.name, str(error))
            failure = error
    if not splits and failure is not None:
        raise failure
    return splits


def _split_name(path: Path) -> str:
    """`instances_train2017.json` -> train; the file's name where it says nothing."""
    stem = path.stem.lower()
    if stem in ("_annotations.coco", "annotations"):
        stem = path.parent.name.lower()
    return next((split for split in ("train", "val", "test") if split in stem), stem)
