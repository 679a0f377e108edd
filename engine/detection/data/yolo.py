"""YOLO txt: a line for each object, `class x y w h` or `class x1 y1 x2 y2 x3 y3 ...`, in shares of the image's sides.

Labels lie beside the images or in a folder `labels` that mirrors `images`; class names come from data.yaml,
classes.txt or obj.names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import yaml

from engine.detection.data.build import Found, FoundImage, build
from engine.detection.data.images import SUFFIXES
from engine.detection.data.masks import Mask, mask_of_polygons
from engine.detection.data.types import Dataset, DatasetError, Report

_MAX_BYTES = 16 << 20  # of one label file
_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names")
_SPLITS = {"train": "train", "train2017": "train", "val": "val", "val2017": "val", "valid": "val", "test": "test"}


def find(root: Path) -> Path | None:
    """The folder with class names or a `labels` folder, up to two folders down."""
    for folder in (root, *sorted(path for path in root.glob("*") if path.is_dir())):
        has_labels = (folder / "labels").is_dir() or next(folder.glob("*/labels"), None) is not None
        if has_labels or any((folder / name).is_file() for name in _NAMES):
            return folder
    return None


def read(folder: Path, report: Report) -> dict[str, Dataset]:
    """Splits by the folder an image is in (train, val or valid, test), else all in `all`."""
    images = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES and path.is_file()]
    if not images:
        raise DatasetError(f"{folder.name}: no images")
    lines = {path: _lines(path, folder, report) for path in images}
    names = _class_names(folder)
    if names is None:
        highest = max((_class_of(line) for each in lines.values() for line in each or ()), default=-1)
        names = tuple(f"class {index}" for index in range(min(highest, 9_999) + 1))
    if not names:
        raise DatasetError(f"{folder.name}: no object in any label file and no class names")
    splits: dict[str, list[FoundImage]] = {}
    for path in images:
        relative = path.relative_to(folder)
        split = next((_SPLITS[part] for part in relative.parts[:-1] if part in _SPLITS), "all")
        if lines[path] is None:
            report.add("unlabelled_image", relative.as_posix(), "no label file: it is kept as background")
        reader = _reader(lines[path] or [], names, report, relative.as_posix())
        splits.setdefault(split, []).append(FoundImage(relative.as_posix(), reader))
    return {name: build(folder, names, found, report) for name, found in splits.items()}


def write(dataset: Dataset, folder: Path) -> None:
    """Label files below `folder`/labels and `folder`/classes.txt, polygons where a mask is polygons, else boxes.

    Raises:
        DatasetError: two images would share a label file.
    """
    targets = [folder / "labels" / Path(_without_images(record.file)).with_suffix(".txt") for record in dataset.records]
    if len(set(targets)) < len(targets):
        raise DatasetError("two images have the same name but for the ending: YOLO cannot tell them apart")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in dataset.classes))
    for target, record in zip(targets, dataset.records, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        sides = (record.width, record.height)
        rows = []
        for each in record.instances:
            if each.mask and len(each.mask.polygons) == 1:
                values = [value / sides[index % 2] for index, value in enumerate(each.mask.polygons[0])]
            else:
                x1, y1, x2, y2 = each.box
                values = [
                    (x1 + x2) / 2 / sides[0],
                    (y1 + y2) / 2 / sides[1],
                    (x2 - x1) / sides[0],
                    (y2 - y1) / sides[1],
                ]
            rows.append(f"{each.label - 1} " + " ".join(f"{value:.9g}" for value in values) + "\n")
        target.write_text("".join(rows))


def _without_images(file: str) -> str:
    return file.removeprefix("images/")


def _lines(image: Path, folder: Path, report: Report) -> list[str] | None:
    """The lines of an image's label file; None without one."""
    relative = image.relative_to(folder)
    mirrored = Path(*("labels" if part == "images" else part for part in relative.parts))
    for path in dict.fromkeys((folder / mirrored, folder / "labels" / relative, image)):
        labels = path.with_suffix(".txt")
        if labels.is_file():
            if labels.stat().st_size > _MAX_BYTES:
                report.add("bad_annotation", labels.name, "larger than 16 MiB: not read")
                return []
            return [line for line in labels.read_text(errors="replace").splitlines() if line.strip()]
    return None


def _reader(
    lines: list[str], names: tuple[str, ...], report: Report, file: str
) -> Callable[[int, int], Iterable[Found]]:
    def objects(width: int, height: int) -> Iterable[Found]:
        for number, line in enumerate(lines, 1):
            try:
                yield _found(line, names, width, height)
            except ValueError:
                report.add(
                    "bad_annotation", f"{file}, line {number}", f"{line[:60]!r} is not `class x y w h` nor a polygon"
                )

    return objects


def _found(line: str, names: tuple[str, ...], width: int, height: int) -> Found:
    name, *rest = line.split()
    index = int(name)
    label = index + 1 if 0 <= index < len(names) else None
    values = [float(value) for value in rest]
    if len(values) == 4:
        x, y, w, h = values
        return Found(
            ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height), label, name
        )
    if len(values) < 6 or len(values) % 2:
        raise ValueError(line)
    polygon = [value * (width, height)[place % 2] for place, value in enumerate(values)]
    box = (min(polygon[::2]), min(polygon[1::2]), max(polygon[::2]), max(polygon[1::2]))

    def mask(_width: int, _height: int) -> Mask:
        return mask_of_polygons([polygon])

    return Found(box, label, name, mask)


def _class_of(line: str) -> int:
    try:
        return int(line.split()[0])
    except ValueError:
        return -1


def _class_names(folder: Path) -> tuple[str, ...] | None:
    for name in _NAMES:
        path = folder / name
        if not path.is_file() or path.stat().st_size > _MAX_BYTES:
            continue
        text = path.read_text(errors="replace")
        if path.suffix not in (".yaml", ".yml"):
            return tuple(line.strip() for line in text.splitlines() if line.strip())
        try:
            names = (yaml.safe_load(text) or {}).get("names")
        except (yaml.YAMLError, AttributeError, RecursionError) as error:
            raise DatasetError(f"{name} is not YAML with a list `names`: {error}") from None
        if isinstance(names, dict):
            names = [names[key] for key in sorted(names, key=str if any(isinstance(k, str) for k in names) else None)]
        # plain names only: aliases make nested lists that are short to write and endless to print
        if isinstance(names, list) and all(isinstance(each, str | int | float) for each in names):
            return tuple(str(each) for each in names)
        if names is not None:
            raise DatasetError(f"{name}: `names` should be a list of class names")
    return None
