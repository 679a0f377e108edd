"""Removes the files of rows that are deleted. What lies on other workers' disks goes when they are cleared."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver

from jobs.kinds.detection.data import detection_folder
from jobs.kinds.detection.models import DataSet, TriedImage
from jobs.models import Experiment

logger = logging.getLogger(__name__)


@receiver(post_delete, sender=Experiment)
def _experiment(instance: Experiment, **_: Any) -> None:
    if instance.kind == "detection":
        _after_commit(None, detection_folder(settings.DATA_DIR) / str(instance.code))


@receiver(post_delete, sender=DataSet)
def _data_set(instance: DataSet, **_: Any) -> None:
    _after_commit(instance.file or None, detection_folder(settings.DATA_DIR) / "sets" / str(instance.code))


@receiver(post_delete, sender=TriedImage)
def _tried(instance: TriedImage, **_: Any) -> None:
    _after_commit(instance.file, None)


def _after_commit(stored: str | None, folder: Path | None) -> None:
    def remove() -> None:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        if stored:
            try:
                default_storage.delete(stored)
            except OSError:
                logger.exception("the file %s of a deleted row could not be removed", stored)

    transaction.on_commit(remove)
