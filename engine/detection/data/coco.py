"""COCO JSON: boxes, polygons and run lengths. One file is one split, named after the file.

Format: https://cocodataset.org/#format-data
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from engine.detection.data.build import Found, FoundImage, build
from engine.detection.data.masks import Mask, encode_counts, mask_of_polygons, mask_of_rle
from engine.detection.data.types import Dataset, DatasetError, Report

MAX_BYTES = 2 << 30  # of an annotation file
_IMAGE_FOLDERS = ("", "images", "train2017", "val2017", "train", "val", "test")


def find(root: Path) -> list[Path]:
    """Files that look like COCO annotations of objects, up to three folders down."""
    candidates = sorted(path for depth in ("*", "*/*", "*/*/*") for path in root.glob(f"{depth}.json"))
    return [path for path in candidates if path.is_file() and _looks_right(path)]


def read(path: Path, root: Path, report: Report) -> Dataset:
    """One annotation file; images are looked for at their name below the file's folder and `root`, and in `images`.

    Raises:
        DatasetError: the file is not COCO JSON at all.
    """
    data = _load(path)
    categories = _list_of(data, "categories", path)
    try:
        ordered = sorted(categories, key=lambda each: int(each["id"]))
        labels = {int(each["id"]): label for label, each in enumerate(ordered, 1)}
        classes = tuple(str(each["name"]) for each in ordered)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise DatasetError(f"{path.name}: a category without an id and a name") from None
    by_image: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for number, annotation in enumerate(_list_of(data, "annotations", path), 1):
        if isinstance(annotation, dict) and isinstance(annotation.get("image_id"), int | str):
            by_image[annotation["image_id"]].append(annotation)
        else:
            report.add("bad_annotation", f"{path.name}, annotation {number}", "it names no image")
    found = []
    for number, image in enumerate(_list_of(data, "images", path), 1):
        if not (
            isinstance(image, dict)
            and isinstance(image.get("file_name"), str)
            and isinstance(image.get("id"), int | str)
        ):
            report.add("bad_annotation", f"{path.name}, image {number}", "it has no id or no file_name")
            continue
        file = _locate(image["file_name"], path.parent, root)
        annotations = by_image.pop(image["id"], [])
        if not annotations:
            report.add("unlabelled_image", image["file_name"], "no annotation: it is kept as background")
        found.append(FoundImage(file, _reader(annotations, labels, report, image["file_name"]), _stated(image)))
    for image_id, annotations in by_image.items():
        report.add(
            "missing_image", f"{path.name}, image id {image_id}", f"{len(annotations)} annotations, no such image"
        )
    return build(root, classes, found, report)


def write(dataset: Dataset, path: Path) -> None:
    """One annotation file; `file_name` is the image's path below the data set's root."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, record in enumerate(dataset.records, 1):
        images.append({"id": image_id, "file_name": record.file, "width": record.width, "height": record.height})
        for each in record.instances:
            x1, y1, x2, y2 = each.box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": each.label,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": each.mask.area() if each.mask else (x2 - x1) * (y2 - y1),
                    "iscrowd": int(each.crowd),
                    **({"segmentation": segmentation(each.mask)} if each.mask else {}),
                }
            )
    categories = [{"id": label, "name": name} for label, name in enumerate(dataset.classes, 1)]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))


def segmentation(mask: Mask) -> list[list[float]] | dict[str, Any]:
    """A mask as COCO's `segmentation`, polygons as polygons and run lengths compressed."""
    if mask.polygons:
        return [list(polygon) for polygon in mask.polygons]
    return {"size": list(mask.size), "counts": encode_counts(mask.runs)}


def _reader(
    annotations: list[dict[str, Any]], labels: dict[int, int], report: Report, file: str
) -> Callable[[int, int], Iterable[Found]]:
    def objects(_width: int, _height: int) -> Iterable[Found]:
        for annotation in annotations:
            try:
                yield _found(annotation, labels)
            except (KeyError, TypeError, ValueError, OverflowError):
                report.add("bad_annotation", file, f"annotation {annotation.get('id')} has no category_id or no bbox")

    return objects


def _found(annotation: dict[str, Any], labels: dict[int, int]) -> Found:
    category = int(annotation["category_id"])
    box = None
    if "bbox" in annotation:
        x, y, width, height = (float(value) for value in annotation["bbox"])
        box = (x, y, x + width, y + height)
    return Found(
        box,
        labels.get(category),
        str(category),
        _mask_maker(annotation.get("segmentation")),
        bool(annotation.get("iscrowd", 0)),
    )


def _mask_maker(given: object) -> Callable[[int, int], Mask] | None:
    if not given:
        return None
    if isinstance(given, dict):
        return lambda width, height: mask_of_rle(given, width, height)
    return lambda _width, _height: mask_of_polygons(given)


def _stated(image: dict[str, Any]) -> tuple[int, int] | None:
    width, height = image.get("width"), image.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None


def _locate(name: str, folder: Path, root: Path) -> str:
    """Where the image is, as a path below `root`; the plain name where it is nowhere."""
    for base in dict.fromkeys((folder, root, folder.parent)):
        for sub in _IMAGE_FOLDERS:
            path = base / sub / name
            if _is_file(path) and path.resolve().is_relative_to(root.resolve()):
                return path.resolve().relative_to(root.resolve()).as_posix()
    return name


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than the file system takes
        return False


def _looks_right(path: Path) -> bool:
    """Two of the three keys near the file's ends: in a large file the third is somewhere in the middle."""
    with path.open("rb") as file:
        start, size = file.read(1 << 16), path.stat().st_size
        file.seek(max(0, size - (1 << 16)))
        text = start + file.read()
    keys = (b'"images"', b'"annotations"', b'"categories"')
    return size <= MAX_BYTES and sum(key in text for key in keys) >= 2


def _load(path: Path) -> dict[str, Any]:
    if path.stat().st_size > MAX_BYTES:
        raise DatasetError(f"{path.name} is larger than {MAX_BYTES >> 30} GiB")
    try:
        data = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path.name} is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise DatasetError(f"{path.name} is not COCO JSON: it should be an object with images, annotations, categories")
    return data


def _list_of(data: dict[str, Any], key: str, path: Path) -> list[Any]:
    if not isinstance(data.get(key), list):
        raise DatasetError(f"{path.name} is not COCO JSON: it has no list {key!r}")
    values: list[Any] = data[key]
    return values
