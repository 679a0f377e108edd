"""Pascal VOC XML: one file for each image in Annotations, images in JPEGImages, splits in ImageSets/Main.

Pixels count from 1 and the last one belongs to the box, so (xmin, ymin, xmax, ymax) covers (xmin - 1, ymin - 1) to
(xmax, ymax).
Format: the VOC2012 development kit, section 4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from engine.detection.data.build import Found, FoundImage, build
from engine.detection.data.images import SUFFIXES
from engine.detection.data.types import Box, Dataset, DatasetError, Report

_MAX_BYTES = 16 << 20  # of one annotation
_SPLITS = ("train", "val", "test")


def find(root: Path) -> Path | None:
    """The folder that holds Annotations, up to three folders down."""
    for pattern in ("Annotations", "*/Annotations", "*/*/Annotations"):
        for folder in sorted(root.glob(pattern)):
            if any(folder.glob("*.xml")):
                return folder.parent
    return None


def read(folder: Path, report: Report) -> dict[str, Dataset]:
    """Splits by name; all images in `all` where ImageSets/Main has no lists."""
    annotations = {path.stem: path for path in sorted((folder / "Annotations").glob("*.xml"))}
    images = {path.stem: path for path in sorted((folder / "JPEGImages").glob("*")) if path.suffix.lower() in SUFFIXES}
    parsed = {stem: _parse(path, report) for stem, path in annotations.items()}
    classes = tuple(sorted({each.class_name for objects in parsed.values() for each in objects or ()}))
    if not classes:
        raise DatasetError(f"{folder.name}: no object in any annotation")
    found: dict[str, FoundImage] = {}
    for stem in sorted(annotations.keys() | images.keys()):
        if stem not in annotations:
            report.add("unlabelled_image", images[stem].name, "no annotation: it is kept as background")
        elif parsed[stem] is None:
            continue  # reported by _parse
        file = images[stem].relative_to(folder).as_posix() if stem in images else f"JPEGImages/{stem}.jpg"
        objects = [_labelled(each, classes) for each in parsed.get(stem) or ()]
        found[stem] = FoundImage(file, _constant(objects), _stated_size(annotations.get(stem)))
    splits = _splits(folder, report, found)
    return {name: build(folder, classes, [found[stem] for stem in stems], report) for name, stems in splits.items()}


def write(dataset: Dataset, folder: Path) -> None:
    """Annotations for every record, named after the image. Masks have no place in this format.

    Raises:
        DatasetError: two images would share an annotation.
    """
    stems = [Path(record.file).stem for record in dataset.records]
    if len(set(stems)) < len(stems):
        raise DatasetError("two images have the same name but for folder and ending: VOC cannot tell them apart")
    folder.mkdir(parents=True, exist_ok=True)
    for stem, record in zip(stems, dataset.records, strict=True):
        objects = "".join(_object(dataset.classes[each.label - 1], each.box) for each in record.instances)
        (folder / f"{stem}.xml").write_text(
            f"<annotation><filename>{escape(Path(record.file).name)}</filename><size><width>{record.width}</width>"
            f"<height>{record.height}</height><depth>3</depth></size>{objects}</annotation>"
        )


def _object(name: str, box: Box) -> str:
    sides = {"xmin": box[0] + 1, "ymin": box[1] + 1, "xmax": box[2], "ymax": box[3]}
    corners = "".join(f"<{side}>{value:g}</{side}>" for side, value in sides.items())
    return f"<object><name>{escape(name)}</name><bndbox>{corners}</bndbox></object>"


def _parse(path: Path, report: Report) -> list[Found] | None:
    text = path.read_bytes() if path.stat().st_size <= _MAX_BYTES else b""
    # Entities are how a small XML file grows without end or reads other files; VOC has no use for them.
    if not text or b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        report.add("bad_annotation", path.name, "empty, larger than 16 MiB, or with a DOCTYPE: the image is left out")
        return None
    try:
        tree = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        report.add("bad_annotation", path.name, f"not XML ({error}): the image is left out")
        return None
    objects = []
    for number, element in enumerate(tree.iter("object"), 1):
        try:
            corners = [float(_text(element, f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")]
            name = _text(element, "name")
        except ValueError as error:
            report.add("bad_annotation", f"{path.name}, object {number}", f"{error}: it is left out")
            continue
        # a box of one pixel has xmin == xmax by the book, but in the wild it is a slip of the mouse: as degenerate
        shift = 1.0 if corners[2] > corners[0] and corners[3] > corners[1] else 0.0
        box = (corners[0] - shift, corners[1] - shift, corners[2], corners[3])
        objects.append(Found(box, None, name))
    return objects


def _text(element: ElementTree.Element, path: str) -> str:
    found = element.find(path)
    if found is None or not (found.text or "").strip():
        raise ValueError(f"it has no {path}")
    return (found.text or "").strip()


def _labelled(found: Found, classes: tuple[str, ...]) -> Found:
    return Found(found.box, classes.index(found.class_name) + 1, found.class_name)


def _constant(objects: list[Found]) -> Callable[[int, int], Iterable[Found]]:
    return lambda _width, _height: objects


def _stated_size(path: Path | None) -> tuple[int, int] | None:
    if path is None:
        return None
    try:
        tree = ElementTree.fromstring(path.read_bytes())
        return int(_text(tree, "size/width")), int(_text(tree, "size/height"))
    except (ValueError, ElementTree.ParseError):
        return None


def _splits(folder: Path, report: Report, found: dict[str, FoundImage]) -> dict[str, list[str]]:
    splits: dict[str, list[str]] = {}
    for name in _SPLITS:
        path = folder / "ImageSets" / "Main" / f"{name}.txt"
        if path.is_file():
            stems = [line.split()[0] for line in path.read_text(errors="replace").splitlines() if line.strip()]
            for stem in stems:
                if stem not in found:
                    report.add("missing_image", f"{name}.txt: {stem}", "listed, but there is no such image")
            splits[name] = [stem for stem in stems if stem in found]
    return splits if any(splits.values()) else {"all": list(found)}
