"""What a data set is, whatever format it came in."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.data_report import DataReport
from engine.detection.data.masks import Mask

Box = tuple[float, float, float, float]
ProblemKind = Literal[
    "missing_image",  # named by an annotation, not there
    "empty_image",  # 0 bytes
    "broken_image",  # not an image, or cut short
    "huge_image",  # more pixels than the limit
    "unlabelled_image",  # no annotation names it: kept, as background
    "size_mismatch",  # the annotation states another size than the file has
    "degenerate_box",  # no area, or not a number: left out
    "box_outside",  # reaches out of the image: cut, or left out where nothing is left
    "unknown_class",  # an object of a class that is not declared: left out
    "bad_mask",  # does not fit its image: the box is kept
    "bad_annotation",  # cannot be read: left out
]


class DatasetError(ValueError):
    """A data set that cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One object: box (x1, y1, x2, y2) in pixels, label from 1, its mask if there is one."""

    box: Box
    label: int
    mask: Mask | None = None
    crowd: bool = False  # a group in one box: neither trained on nor counted


@dataclass(frozen=True, slots=True)
class Record:
    """One image: its file below the root and its objects."""

    file: str
    width: int
    height: int
    instances: tuple[Instance, ...]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Images below one root. Label k is `classes[k - 1]`."""

    root: Path
    classes: tuple[str, ...]
    records: tuple[Record, ...]

    def __len__(self) -> int:
        return len(self.records)

    def path(self, record: Record) -> Path:
        return self.root / record.file

    @property
    def has_masks(self) -> bool:
        """Whether every object that is trained on has a mask, so that perfect labels exist."""
        objects = [each for record in self.records for each in record.instances if not each.crowd]
        return bool(objects) and all(each.mask is not None for each in objects)

    def class_counts(self) -> dict[str, int]:
        counts = Counter(each.label for record in self.records for each in record.instances)
        return {name: counts[label] for label, name in enumerate(self.classes, 1)}

    def fingerprint(self) -> str:
        """The same for the same files, sizes, boxes and labels, in the same order."""
        digest = hashlib.sha256(repr(self.classes).encode())
        for record in self.records:
            objects = [(each.box, each.label, each.crowd, each.mask is not None) for each in record.instances]
            digest.update(repr((record.file, record.width, record.height, objects)).encode())
        return digest.hexdigest()

    def subset(self, indices: Iterable[int]) -> Dataset:
        return Dataset(self.root, self.classes, tuple(self.records[index] for index in indices))


class Report(DataReport[ProblemKind]):
    """What was wrong with a data set."""

    error = DatasetError
