"""The files an experiment leaves: the best seed of each method as ONNX, all scores as CSV and Parquet. No Django."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from engine.detection import ModelConfig, export_onnx
from engine.detection.export import ExportError
from engine.detection.loader import load_sample
from jobs.kinds.accelerators import cpu
from jobs.kinds.detection.data import detection_folder, open_data
from jobs.kinds.detection.evaluate import load_model
from jobs.kinds.runner_parts import beating

if TYPE_CHECKING:
    from jobs.kinds.base import Context

COLUMNS = ("run", "architecture", "rule", "delta", "seed", "angle", "ap", "ap50", "ap75", "images", "objects", "exact")
_COMPARED = 4  # images on which onnxruntime is held against torch


def export_files(job: dict[str, Any], context: Context) -> None:
    """Write all files; a model that does not survive the conversion is said in the log and left out."""
    folder = detection_folder(context.data_dir) / job["experiment"] / "files"
    folder.mkdir(parents=True, exist_ok=True)
    data = open_data(job["data"], context.data_dir, context)
    cpu()
    done = 0
    for each in job["models"]:
        if context.cancelled:
            return
        config = ModelConfig(**each["model"])
        indices = range(min(_COMPARED, len(data.test)))
        images = torch.stack([load_sample(data.test, index, config.image_size).image for index in indices])
        path = folder / f"{each['slug']}.onnx"
        try:
            with beating(context):
                check = export_onnx(load_model(config, Path(each["weights"])), path, images.float() / 255)
        except ExportError as error:
            context.log(f"{each['label']} as ONNX: {error}.", "warning")
        else:
            context.log(
                f"{each['label']} as ONNX: onnxruntime agrees with torch on {check.detections:,} detections in "
                f"{check.images} images, boxes within {check.box_difference:.2g} px, scores within "
                f"{check.score_difference:.2g}."
            )
            context.artifact(path, path.name, "application/octet-stream")
        done += 1
        context.progress(done)
    _write_csv(folder / "scores.csv", job["scores"])
    _write_parquet(folder / "scores.parquet", job["scores"])
    context.artifact(folder / "scores.csv", "scores.csv", "text/csv")
    context.artifact(folder / "scores.parquet", "scores.parquet", "application/vnd.apache.parquet")
    context.progress(done + 2)
    context.row({"is": "exported"})  # after the files: the drafts may go now


def _write_csv(path: Path, rows: list[list[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def _write_parquet(path: Path, rows: list[list[Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number, text, whole = pa.float64(), pa.string(), pa.int64()
    types = [whole, text, text, number, whole, *[number] * 4, whole, whole, pa.bool_()]
    columns = [[row[place] for row in rows] for place in range(len(COLUMNS))]
    arrays = [pa.array(column, type=kind) for column, kind in zip(columns, types, strict=True)]
    pq.write_table(pa.table(arrays, schema=pa.schema(list(zip(COLUMNS, types, strict=True)))), path)
