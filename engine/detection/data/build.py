"""From what a format's reader found to checked records: the one place that decides what is kept, cut or left out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from engine.detection.data.images import MAX_PIXELS, ImageError, check_image
from engine.detection.data.masks import Mask
from engine.detection.data.types import Box, Dataset, Instance, Record, Report

_THREADS = 4  # decoding lets go of the interpreter


@dataclass(frozen=True, slots=True)
class Found:
    """An object as read: box (x1, y1, x2, y2) in pixels or None where only a mask is given, and how to make the mask.

    `mask` gets the image's (width, height) and may raise ValueError.
    """

    box: Box | None
    label: int | None  # None for a class that is not declared
    class_name: str
    mask: Callable[[int, int], Mask] | None = None
    crowd: bool = False


@dataclass(frozen=True, slots=True)
class FoundImage:
    """An image as read. `objects` gets the true (width, height), for formats in which boxes are relative."""

    file: str  # below the root
    objects: Callable[[int, int], Iterable[Found]]
    stated_size: tuple[int, int] | None = None  # (width, height)


def build(
    root: Path, classes: tuple[str, ...], found: Iterable[FoundImage], report: Report, max_pixels: int = MAX_PIXELS
) -> Dataset:
    """Checked records of every image that can be read; all else goes into the report."""
    images = list(found)

    def size_or_error(image: FoundImage) -> tuple[int, int] | ImageError:
        try:
            return check_image(_inside(root, image.file), max_pixels)
        except ImageError as error:
            return error

    with ThreadPoolExecutor(_THREADS) as pool:
        sizes = list(pool.map(size_or_error, images))
    records = []
    for image, size in zip(images, sizes, strict=True):
        if isinstance(size, ImageError):
            report.add(size.kind, image.file, str(size))
            continue
        if image.stated_size not in (None, size):
            stated = image.stated_size
            message = (
                f"the annotation says {stated[0]} x {stated[1]}, the file is {size[0]} x {size[1]}" if stated else ""
            )
            report.add("size_mismatch", image.file, message)
        kept = (
            _instance(each, f"{image.file}, object {n}", *size, report)
            for n, each in enumerate(image.objects(*size), 1)
        )
        records.append(Record(image.file, *size, tuple(each for each in kept if each is not None)))
    return Dataset(root, classes, tuple(records))


def _inside(root: Path, file: str) -> Path:
    """The image's path, if it lies below the root. An annotation file is as hostile as an archive."""
    try:
        path = (root / file).resolve()
    except (ValueError, OSError):  # a NUL in the name, or a loop of links
        raise ImageError("missing_image", "the path is not one of a file") from None
    if not path.is_relative_to(root.resolve()):
        raise ImageError("missing_image", "the path leads out of the data set's folder")
    return path


def _instance(found: Found, where: str, width: int, height: int, report: Report) -> Instance | None:
    if found.label is None:
        report.add("unknown_class", where, f"class {found.class_name!r} is not declared; the object is left out")
        return None
    mask = None
    if found.mask is not None:
        try:
            mask = found.mask(width, height)
        except (ValueError, TypeError, OverflowError) as error:
            report.add("bad_mask", where, f"{error}; only the box is kept")
    box = found.box
    if box is None and mask is not None:
        box = mask.box(width, height)
    if box is None or not all(math.isfinite(side) for side in box) or box[2] <= box[0] or box[3] <= box[1]:
        report.add("degenerate_box", where, f"the box {_shown(box)} has no area; the object is left out")
        return None
    cut = (max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(width)), min(box[3], float(height)))
    if cut[2] <= cut[0] or cut[3] <= cut[1]:
        report.add("box_outside", where, f"the box {_shown(box)} lies outside the image; the object is left out")
        return None
    if max(abs(a - b) for a, b in zip(cut, box, strict=True)) > 1:  # rounding by a pixel is common and harmless
        report.add(
            "box_outside", where, f"the box {_shown(box)} reaches out of the {width} x {height} image; it is cut"
        )
    return Instance(cut, found.label, mask, found.crowd)


def _shown(box: Box | None) -> str:
    return "(none)" if box is None else "(" + ", ".join(f"{side:g}" for side in box) + ")"
