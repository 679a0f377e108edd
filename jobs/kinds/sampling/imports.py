"""Starts an import: keeps the uploaded file and submits the experiment that a CPU worker fills from it."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path, PurePosixPath
from typing import Any

from django.conf import settings
from django.core.files import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils.text import get_valid_filename

from engine.exchange import AUTO, FORMATS, ExchangeError, Source, detect_format
from engine.exchange.records import clean
from jobs import services
from jobs.kinds.sampling.importing import source_name
from jobs.kinds.sampling.spec import ImportedFile, SamplingSpec
from jobs.models import Artifact, Experiment, Priority

_LONGEST_FILE = 100
_LONGEST_CHOICE = 100


def submit_import(
    *,
    team: Any,
    owner: Any,
    file: File[bytes],
    file_name: str,
    name: str = "",
    model: str = "",
    format: str = AUTO,
    score: str = "",
    filter: str = "",
    priority: int = Priority.NORMAL,
) -> Experiment:
    """An experiment that is filled from ``file``. Raises ExchangeError for a file that can be refused at a glance;
    what the worker finds wrong later fails the experiment with the same kind of sentence."""
    file_name = _file_name(file_name)
    _check(file, format, score, filter)
    digest = hashlib.sha256()
    for chunk in file.chunks(2**20):
        digest.update(chunk)
    size = int(file.size)  # before a temporary file is moved away
    stored = default_storage.save(f"imports/{uuid.uuid4().hex}-{get_valid_filename(file_name)}", file)
    try:
        _glance(stored, file_name, format)
        imported = ImportedFile(
            file=file_name, size=size, sha256=digest.hexdigest(), format=format, score=score, filter=filter
        )
        known = {"model": model} if model else {}
        spec = SamplingSpec.model_validate({"samples": 1, "imported": imported, **known})
        with transaction.atomic():
            experiment = services.submit(
                team=team,
                owner=owner,
                kind="sampling",
                name=name or _default_name(file_name),
                spec=spec,
                priority=priority,
            )
            Artifact.objects.create(
                experiment=experiment,
                name=source_name(file_name),
                content_type="application/octet-stream",
                size=size,
                file=stored,
                seq=experiment.last_seq,
            )
    except BaseException:
        default_storage.delete(stored)
        raise
    return experiment


def _check(file: File[bytes], format: str, score: str, filter: str) -> None:
    if not file.size:
        raise ExchangeError("The file is empty; choose the one with the results.")
    if file.size > settings.IMPORT_MAX_BYTES:
        raise ExchangeError(f"The file is larger than {settings.IMPORT_MAX_BYTES // 2**20:,} MB; split it, or pack it.")
    if format != AUTO and format not in FORMATS:
        raise ExchangeError(f"No format is called {clean(format)[:40]!r}; there are: {', '.join(FORMATS)}.")
    if max(len(score), len(filter)) > _LONGEST_CHOICE:
        raise ExchangeError(f"The name of a score or filter has at most {_LONGEST_CHOICE} characters.")


def _glance(stored: str, file_name: str, format: str) -> None:
    """Refuse now what no format would read. Archives are opened by the worker alone."""
    try:
        source = Source(Path(default_storage.path(stored)), file_name)
    except NotImplementedError:  # a remote storage
        return
    if format == AUTO and source.packing != "zip":
        detect_format(source)


def _file_name(name: str) -> str:
    """The last part of the path a browser or a shell gave, storable and not too long: its end tells the format."""
    last = clean(PurePosixPath(name.replace("\\", "/")).name).strip()
    return last[-_LONGEST_FILE:] or "results"


def _default_name(file_name: str) -> str:
    return PurePosixPath(file_name).stem[:120] or file_name
