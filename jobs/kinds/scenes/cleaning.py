"""Removes the files of rows that are deleted. What lies on other workers' disks goes when they are cleared."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models.signals import post_delete
from django.dispatch import receiver

from jobs.kinds.data_sets import remove_after_commit
from jobs.kinds.scenes.models import GeneratedScene, SceneSet
from jobs.kinds.scenes.places import scenes_folder
from jobs.models import Experiment


@receiver(post_delete, sender=Experiment)
def _experiment(instance: Experiment, **_: Any) -> None:
    if instance.kind == "scenes":
        remove_after_commit(folder=scenes_folder(settings.DATA_DIR) / str(instance.code))


@receiver(post_delete, sender=SceneSet)
def _scene_set(instance: SceneSet, **_: Any) -> None:
    remove_after_commit(instance.file, folder=scenes_folder(settings.DATA_DIR) / "sets" / str(instance.code))


@receiver(post_delete, sender=GeneratedScene)
def _scene(instance: GeneratedScene, **_: Any) -> None:
    remove_after_commit(instance.map_file, instance.image_file)
