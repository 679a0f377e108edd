"""Removes the files of rows that are deleted. What lies on other workers' disks goes when they are cleared."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models.signals import post_delete
from django.dispatch import receiver

from jobs.kinds.data_sets import remove_after_commit
from jobs.kinds.detection.data import detection_folder
from jobs.kinds.detection.models import DataSet, TriedImage
from jobs.models import Experiment


@receiver(post_delete, sender=Experiment)
def _experiment(instance: Experiment, **_: Any) -> None:
    if instance.kind == "detection":
        remove_after_commit(folder=detection_folder(settings.DATA_DIR) / str(instance.code))


@receiver(post_delete, sender=DataSet)
def _data_set(instance: DataSet, **_: Any) -> None:
    remove_after_commit(instance.file, folder=detection_folder(settings.DATA_DIR) / "sets" / str(instance.code))


@receiver(post_delete, sender=TriedImage)
def _tried(instance: TriedImage, **_: Any) -> None:
    remove_after_commit(instance.file)
