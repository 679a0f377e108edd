"""Writes what a runner reports: buffered, in one transaction every 0.5 s or 500 rows, and only under a valid lease."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.core.files import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils import timezone

from jobs import leases, live, logbook, metrics
from jobs.leases import Lease
from jobs.models import Artifact, Experiment, Shard, artifact_path
from jobs.protocol import Message

FLUSH_SECONDS = 0.5
FLUSH_ROWS = 500
_SUMMARY_SECONDS = 5.0


@dataclass(slots=True)
class _Buffer:
    done: int | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    reports: list[metrics.Report] = field(default_factory=list)
    lines: list[logbook.Line] = field(default_factory=list)
    files: list[Message] = field(default_factory=list)

    def __bool__(self) -> bool:
        return self.done is not None or bool(self.rows or self.reports or self.lines or self.files)


class Recorder:
    """Buffer of one shard's attempt. ``flush`` raises LeaseLost when the attempt is no longer this worker's."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._buffer = _Buffer()
        self._flushed = time.monotonic()
        self._summarised = time.monotonic()

    def take(self, message: Message) -> None:
        """Keep one message of the kinds progress, row, metrics, log and artifact; others say nothing to store."""
        buffer = self._buffer
        match message["is"]:
            case "progress":
                buffer.done = message["done"]
            case "row":
                buffer.rows.append(message["row"])
            case "metrics":
                buffer.reports.append(metrics.Report(message["values"], message["seconds"], time.time()))
            case "log":
                buffer.lines.append(logbook.Line(message["text"], message["level"]))
            case "artifact":
                buffer.files.append(message)

    @property
    def is_due(self) -> bool:
        return bool(self._buffer) and (
            len(self._buffer.rows) >= FLUSH_ROWS or time.monotonic() - self._flushed >= FLUSH_SECONDS
        )

    def flush(self) -> None:
        """Write the buffer, then announce. It is emptied only after the commit, so a failed flush can be repeated."""
        self._flushed = time.monotonic()
        if not self._buffer:
            return
        buffer = self._buffer
        stored = self._store(buffer.files)
        try:
            with leases.held(self._lease) as (shard, seq):
                self._write(buffer, shard, seq)
                for file, name in stored:
                    _keep(shard, file, name, seq)
                live.announce_on_commit(shard.experiment_id)
        except BaseException:
            for _, name in stored:
                default_storage.delete(name)
            raise
        self._buffer = _Buffer()

    def _store(self, files: list[Message]) -> list[tuple[Message, str]]:
        """Copy finished files into the storage, and their names there. Before the transaction: a large file would hold
        up every other writer."""
        if not files:
            return []
        experiment = Experiment.objects.filter(pk=self._lease.experiment_id).first()
        if experiment is None:
            raise leases.LeaseLost("the experiment was deleted")
        stored = []
        for file in files:
            path = Path(file["path"])
            with path.open("rb") as content:
                target = artifact_path(Artifact(experiment=experiment), path.name)
                stored.append((file, default_storage.save(target, File(content))))
        return stored

    def _write(self, buffer: _Buffer, shard: Shard, seq: int) -> None:
        new = shard.experiment.kind_object.record(shard, buffer.rows, seq) if buffer.rows else 0
        done = shard.done + new if buffer.done is None else buffer.done
        Shard.objects.filter(pk=shard.pk).update(done=min(done, shard.total), seq=seq)
        metrics.write(shard.experiment_id, seq, buffer.reports)
        logbook.write(shard.experiment_id, seq, buffer.lines, shard.pk)
        if time.monotonic() - self._summarised >= _SUMMARY_SECONDS:
            leases.summarise(shard.experiment_id)
            self._summarised = time.monotonic()


def _keep(shard: Shard, file: Message, stored_name: str, seq: int) -> None:
    """Record a stored file; the one it replaces is removed once that is certain."""
    artifact = Artifact.objects.filter(experiment_id=shard.experiment_id, name=file["name"]).first()
    if artifact is not None:
        old = str(artifact.file.name)
        transaction.on_commit(lambda: default_storage.delete(old), robust=True)
    else:
        artifact = Artifact(experiment_id=shard.experiment_id, name=file["name"])
    artifact.file.name = stored_name
    artifact.size = default_storage.size(stored_name)
    artifact.content_type = file["content_type"]
    artifact.created_at = timezone.now()
    artifact.seq = seq
    artifact.save()
