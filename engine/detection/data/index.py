"""A checked data set as one JSON file, so that it is read a second time without decoding every image again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.data_report import Problem
from engine.detection.data.masks import Mask, decode_counts, encode_counts
from engine.detection.data.types import Dataset, DatasetError, Instance, Record, Report

_FORMAT = 1


def write_index(path: Path, format: str, splits: Mapping[str, Dataset], report: Report) -> None:
    """Write, in one step, what `load_dataset` found. Roots are kept relative to the file's folder where they can be."""
    content = {
        "version": _FORMAT,
        "format": format,
        "splits": {name: _plain_set(each, path.parent) for name, each in splits.items()},
        "problems": [[each.kind, each.where, each.message] for each in report.problems],
        "counts": dict(report.counts),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content))
    part.replace(path)


def read_index(path: Path) -> tuple[str, dict[str, Dataset], Report]:
    """(format, splits by name, report) as `write_index` wrote them. Raises DatasetError for another or damaged file."""
    try:
        content = json.loads(path.read_text())
        if content["version"] != _FORMAT:
            raise ValueError("another version")
        splits = {name: _data_set(each, path.parent) for name, each in content["splits"].items()}
        report = Report([Problem(*row) for row in content["problems"]])
        report.counts.update(content["counts"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path.name} is no index of a data set ({error}): remove it") from None
    return str(content["format"]), splits, report


def _plain_set(dataset: Dataset, folder: Path) -> dict[str, Any]:
    root = dataset.root.resolve()
    inside = root.is_relative_to(folder.resolve())
    return {
        "root": root.relative_to(folder.resolve()).as_posix() if inside else str(root),
        "classes": dataset.classes,
        "records": [
            [record.file, record.width, record.height, [_plain_object(each) for each in record.instances]]
            for record in dataset.records
        ],
    }


def _plain_object(each: Instance) -> list[Any]:
    mask = None
    if each.mask is not None:
        mask = each.mask.polygons or {"size": each.mask.size, "counts": encode_counts(each.mask.runs)}
    return [each.box, each.label, mask, each.crowd]


def _data_set(content: Any, folder: Path) -> Dataset:
    records = tuple(
        Record(file, width, height, tuple(_object(*each) for each in objects))
        for file, width, height, objects in content["records"]
    )
    return Dataset(folder / content["root"], tuple(content["classes"]), records)


def _object(box: Any, label: int, mask: Any, crowd: bool) -> Instance:
    kept = None
    if isinstance(mask, dict):
        kept = Mask(runs=tuple(decode_counts(mask["counts"])), size=(mask["size"][0], mask["size"][1]))
    elif mask is not None:
        kept = Mask(polygons=tuple(tuple(polygon) for polygon in mask))
    return Instance((box[0], box[1], box[2], box[3]), label, kept, crowd)
