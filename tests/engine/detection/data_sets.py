"""Small data sets on disk, in each format."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from engine.detection.data import coco, voc, yolo
from engine.detection.data.shapes import render_shapes
from engine.detection.data.types import Dataset


def shapes_in(folder: Path, format: str, count: int = 6) -> Dataset:
    """Rendered shapes with annotations of one format."""
    dataset = render_shapes(folder, count, size=64, seed=1)
    if format == "coco":
        coco.write(dataset, folder / "annotations.json")
    elif format == "yolo":
        yolo.write(dataset, folder)
    else:
        voc.write(dataset, folder / "Annotations")
        shutil.move(folder / "images", folder / "JPEGImages")
    return dataset


def zipped(folder: Path) -> Path:
    target = folder.with_suffix(".zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return target
