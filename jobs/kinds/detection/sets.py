"""A team's data sets: uploaded as a zip, or named by a path below a folder that the operator allows.

A data set is read by a small experiment of its own, which trains nothing: its page shows how the reading goes and the
quality of the labels, and the data set's page shows the report.
"""

from __future__ import annotations

import uuid
import zipfile
from pathlib import PurePosixPath
from typing import Any

from django.conf import settings
from django.core.files import File
from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction
from django.utils.text import get_valid_filename

from jobs import services
from jobs.kinds.detection.checks import allowed_path
from jobs.kinds.detection.models import DataSet
from jobs.kinds.detection.spec import DetectionSpec
from jobs.models import ENDED, Experiment, Status
from jobs.services import Refused

LONGEST_NAME = 80
FORMATS = {"": "Find out", "coco": "COCO JSON", "voc": "Pascal VOC XML", "yolo": "YOLO txt"}


def add_upload(*, team: Any, by: Any, file: File[bytes], name: str = "", format: str = "") -> DataSet:
    """Keep a zip for the team and have it read. Raises Refused for what is wrong at a glance; the rest is found by the
    worker that reads it, see DataSet.status."""
    file_name = PurePosixPath((file.name or "").replace("\\", "/")).name
    _check_format(format)
    if not file.size:
        raise Refused("The file is empty; choose a zip with images and labels.")
    if file.size > settings.DETECTION_MAX_BYTES:
        raise Refused(
            f"The file is larger than {settings.DETECTION_MAX_BYTES // 2**20:,} MB. Ask the operator to put it into a "
            "folder on the workers, and name its path."
        )
    if not zipfile.is_zipfile(file):
        raise Refused("That is no zip file: pack the folder with images and labels as a zip.")
    file.seek(0)
    size = int(file.size)  # before a temporary file is moved away
    stored = default_storage.save(f"datasets/{uuid.uuid4().hex}-{get_valid_filename(file_name) or 'set'}", file)
    try:
        return _create(
            team=team,
            by=by,
            name=name or PurePosixPath(file_name).stem,
            source=DataSet.Source.UPLOAD,
            file=stored,
            size=size,
            format=format,
        )
    except BaseException:
        default_storage.delete(stored)
        raise


def add_path(*, team: Any, by: Any, path: str, name: str = "", format: str = "") -> DataSet:
    """Have a folder on the workers read. Raises Refused."""
    _check_format(format)
    path = path.replace("\0", "").strip()
    if not settings.DETECTION_DIRS:
        raise Refused("The operator has allowed no folder (CANOPY_DETECTION_DIRS): upload a zip instead.")
    try:
        found = allowed_path(path, settings.DETECTION_DIRS) if path else None
    except ValueError as error:
        raise Refused(f"{error}.") from None
    if found is None or not found.is_dir():
        raise Refused("Write the path of a folder with images and labels.")
    return _create(
        team=team, by=by, name=name or found.name, source=DataSet.Source.PATH, path=str(found), format=format
    )


def delete(*, data_set: DataSet) -> None:
    """Delete a data set with its files. Raises Refused while an experiment that uses it is open."""
    with transaction.atomic():
        uses = Experiment.objects.filter(team=data_set.team, kind="detection", spec__data=f"set/{data_set.code}")
        running = uses.exclude(status__in=ENDED).first()
        if running is not None:
            raise Refused(f"{running.name} uses it and has not ended: cancel that first.")
        data_set.delete()


def standing(data_set: DataSet) -> tuple[str, str]:
    """(state, reason): "reading", "ready", "refused" or "failed", which is an end that tells nothing about the data."""
    if data_set.status != DataSet.Status.NEW:
        return str(data_set.status), data_set.reason
    reader = data_set.reader
    if reader is None or reader.status in (Status.FAILED, Status.CANCELLED):
        return "failed", (reader.reason if reader else "") or "It was not read to the end."
    return "reading", ""


def _check_format(format: str) -> None:
    if format not in FORMATS:
        raise Refused(f"There is no such format; use one of {', '.join(filter(None, FORMATS))}, or none to find out.")


@transaction.atomic
def _create(*, team: Any, by: Any, name: str, **fields: Any) -> DataSet:
    name = name.replace("\0", "").encode("utf-8", "replace").decode().strip()[:LONGEST_NAME] or "Data set"
    try:
        with transaction.atomic():
            made = DataSet.objects.create(
                team=team, name=name, created_by=by if getattr(by, "pk", None) else None, **fields
            )
    except IntegrityError:
        raise Refused(f"Your team has a data set called {name} already. Give this one another name.") from None
    spec = DetectionSpec.model_validate({"data": f"set/{made.code}", "train": False})
    made.reader = services.submit(
        team=team,
        owner=made.created_by,
        kind="detection",
        name=f"{name}: label quality",
        spec=spec,
        by="" if made.created_by else str(by),
    )
    made.save(update_fields=["reader"])
    return made
