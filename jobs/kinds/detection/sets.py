"""A team's data sets for detection (jobs.kinds.data_sets)."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.files import File

from jobs.kinds.data_sets import LONGEST_NAME, Sets, standing
from jobs.kinds.detection.models import DataSet
from jobs.kinds.detection.spec import DetectionSpec
from jobs.services import Refused

__all__ = ["FORMATS", "LONGEST_NAME", "add_path", "add_upload", "delete", "standing"]

FORMATS = {"": "Find out", "coco": "COCO JSON", "voc": "Pascal VOC XML", "yolo": "YOLO txt"}
SETS = Sets(
    model=DataSet,
    kind="detection",
    reading=lambda made: DetectionSpec.model_validate({"data": f"set/{made.code}", "train": False}),
    reading_title="label quality",
    content="images and labels",
    folders=lambda: settings.DETECTION_DIRS,
    folders_setting="CANOPY_DETECTION_DIRS",
    most_bytes=lambda: settings.DETECTION_MAX_BYTES,
)
delete = SETS.delete


def add_upload(*, team: Any, by: Any, file: File[bytes], name: str = "", format: str = "") -> DataSet:
    """Sets.add_upload with the labels' format, empty to find out. Raises Refused."""
    _check_format(format)
    return SETS.add_upload(team=team, by=by, file=file, name=name, format=format)


def add_path(*, team: Any, by: Any, path: str, name: str = "", format: str = "") -> DataSet:
    """Sets.add_path with the labels' format, empty to find out. Raises Refused."""
    _check_format(format)
    return SETS.add_path(team=team, by=by, path=path, name=name, format=format)


def _check_format(format: str) -> None:
    if format not in FORMATS:
        raise Refused(f"There is no such format; use one of {', '.join(filter(None, FORMATS))}, or none to find out.")
