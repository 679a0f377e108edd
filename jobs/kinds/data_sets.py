"""A team's data sets, whatever the kind of experiment: uploaded as a zip, or named by a path below a folder that the
operator allows.

A data set is read by a small experiment of its own, which trains nothing: its page shows how the reading goes, and the
data set's page shows the report.
"""

from __future__ import annotations

import logging
import shutil
import uuid
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.core.files import File
from django.core.files.storage import default_storage
from django.db import IntegrityError, models, transaction
from django.utils import timezone
from django.utils.text import get_valid_filename
from pydantic import BaseModel

from jobs import services
from jobs.models import ENDED, Experiment, Status
from jobs.services import Refused

logger = logging.getLogger(__name__)
LONGEST_NAME = 80


class TeamDataSet(models.Model):
    """A team's data. What is in it is known once a worker has read it (status "ready")."""

    class Source(models.TextChoices):
        UPLOAD = "upload", "Uploaded zip"
        PATH = "path", "Folder on the workers"

    class Status(models.TextChoices):
        NEW = "new", "Not read yet"
        READY = "ready", "Ready"
        REFUSED = "refused", "Cannot be used"

    code = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team: models.ForeignKey[Any, Any]  # each kind names its own way back
    name = models.CharField(max_length=LONGEST_NAME)
    source = models.CharField(max_length=6, choices=Source)
    file = models.CharField(max_length=255, blank=True)  # of an upload: its name in the default storage
    path = models.CharField(max_length=500, blank=True)  # of a folder
    size = models.PositiveBigIntegerField(default=0)  # bytes of the upload
    status = models.CharField(max_length=7, choices=Status, default=Status.NEW)
    reason = models.TextField(blank=True)  # why it cannot be used
    # {"problems": [{"kind", "where", "message"}, ...], "counts": {kind: n}}: engine.data_report.DataReport
    report = models.JSONField(default=dict)
    counts = models.JSONField(default=dict)
    # The experiment that read it first: its log and progress tell how the reading goes.
    reader = models.ForeignKey(Experiment, on_delete=models.SET_NULL, null=True, related_name="+")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name


Set = TypeVar("Set", bound=TeamDataSet)


@dataclass(frozen=True, slots=True)
class Sets(Generic[Set]):
    """The data sets of one kind of experiment."""

    model: type[Set]
    kind: str
    reading: Callable[[Set], BaseModel]  # the Spec of the experiment that reads a set
    reading_title: str  # of that experiment, after the set's name
    content: str  # what is in a set: "images and labels"
    folders: Callable[[], Sequence[Path]]  # those that the operator allows
    folders_setting: str
    most_bytes: Callable[[], int]

    def add_upload(self, *, team: Any, by: Any, file: File[bytes], name: str = "", **fields: Any) -> Set:
        """Keep a zip for the team and have it read. Raises Refused for what is wrong at a glance; the rest is found by
        the worker that reads it, see ``status``."""
        file_name = PurePosixPath((file.name or "").replace("\\", "/")).name
        if not file.size:
            raise Refused(f"The file is empty; choose a zip with {self.content}.")
        if file.size > self.most_bytes():
            raise Refused(
                f"The file is larger than {self.most_bytes() // 2**20:,} MB. Ask the operator to put it into a "
                "folder on the workers, and name its path."
            )
        if not zipfile.is_zipfile(file):
            raise Refused(f"That is no zip file: pack the folder with {self.content} as a zip.")
        file.seek(0)
        size = int(file.size)  # before a temporary file is moved away
        stored = default_storage.save(f"datasets/{uuid.uuid4().hex}-{get_valid_filename(file_name) or 'set'}", file)
        try:
            title = name or PurePosixPath(file_name).stem
            return self._create(team, by, title, source=TeamDataSet.Source.UPLOAD, file=stored, size=size, **fields)
        except BaseException:
            default_storage.delete(stored)
            raise

    def add_path(self, *, team: Any, by: Any, path: str, name: str = "", **fields: Any) -> Set:
        """Have a folder on the workers read. Raises Refused."""
        path = path.replace("\0", "").strip()
        if not self.folders():
            raise Refused(f"The operator has allowed no folder ({self.folders_setting}): upload a zip instead.")
        try:
            found = allowed_path(path, self.folders()) if path else None
        except ValueError as error:
            raise Refused(f"{error}.") from None
        if found is None or not found.is_dir():
            raise Refused(f"Write the path of a folder with {self.content}.")
        return self._create(team, by, name or found.name, source=TeamDataSet.Source.PATH, path=str(found), **fields)

    def delete(self, *, data_set: Set) -> None:
        """Delete a data set with its files. Raises Refused while an experiment that uses it is open."""
        with transaction.atomic():
            uses = Experiment.objects.filter(team=data_set.team, kind=self.kind, spec__data=f"set/{data_set.code}")
            running = uses.exclude(status__in=ENDED).first()
            if running is not None:
                raise Refused(f"{running.name} uses it and has not ended: cancel that first.")
            data_set.delete()

    @transaction.atomic
    def _create(self, team: Any, by: Any, name: str, **fields: Any) -> Set:
        name = name.replace("\0", "").encode("utf-8", "replace").decode().strip()[:LONGEST_NAME] or "Data set"
        person = by if getattr(by, "pk", None) else None
        try:
            with transaction.atomic():
                made = self.model._default_manager.create(team=team, name=name, created_by=person, **fields)
        except IntegrityError:
            raise Refused(f"Your team has a data set called {name} already. Give this one another name.") from None
        made.reader = services.submit(
            team=team,
            owner=made.created_by,
            kind=self.kind,
            name=f"{name}: {self.reading_title}",
            spec=self.reading(made),
            by="" if person else str(by),
        )
        made.save(update_fields=["reader"])
        return made


def standing(data_set: TeamDataSet) -> tuple[str, str]:
    """(state, reason): "reading", "ready", "refused" or "failed", which is an end that tells nothing about the data."""
    if data_set.status != TeamDataSet.Status.NEW:
        return str(data_set.status), data_set.reason
    reader = data_set.reader
    if reader is None or reader.status in (Status.FAILED, Status.CANCELLED):
        return "failed", (reader.reason if reader else "") or "It was not read to the end."
    return "reading", ""


def allowed_path(text: str, folders: Sequence[Path]) -> Path:
    """``text`` as a path below one of ``folders``, links followed. Raises ValueError: anything else would be a way to
    look at any file of the workers."""
    if not folders:
        raise ValueError("The operator has allowed no folder to read from")
    for folder in folders:
        try:
            path = (folder / text).resolve()
        except (OSError, ValueError, RuntimeError):
            continue
        if path.is_relative_to(folder.resolve()) and path.exists():
            return path
    raise ValueError(f"There is no such path below {', '.join(map(str, folders))}: these the operator allows")


def remove_after_commit(*stored: str, folder: Path | None = None) -> None:
    """Once the transaction is certain: delete files of the default storage (empty names are none) and a folder."""

    def remove() -> None:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        for name in filter(None, stored):
            try:
                default_storage.delete(name)
            except OSError:
                logger.exception("the file %s of a deleted row could not be removed", name)

    transaction.on_commit(remove)
