"""Everything that Canopy keeps, in one file, and back: database rows and stored files, whatever database they are in.

A backup is a tar: ``manifest.json``, then one gzipped file of JSON lines for each table, then the stored files. It is
taken while people work, from one moment of the database. Because rows are written by Django and not by the database's
own tools, a backup of SQLite can be restored into PostgreSQL: that is how a laptop's installation becomes a team's.
"""

from __future__ import annotations

import gzip
import json
import logging
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any, BinaryIO

from django.apps import apps
from django.core import serializers
from django.core.files import File
from django.core.files.storage import default_storage
from django.core.management.color import no_style
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, models, transaction
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

logger = logging.getLogger(__name__)

FORMAT = 1
_MANIFEST = "manifest.json"
_BATCH = 500  # rows written at once
# Made anew by Django, by signing in, or by workers that show up.
_LEFT_OUT = {"contenttypes.contenttype", "auth.permission", "auth.group", "sessions.session", "jobs.worker"}

Say = Callable[[str], None]


class BackupError(Exception):
    """The backup cannot be made or restored; the text says why and what to do."""


class _Exactly(DjangoJSONEncoder):
    """Django's own encoder leaves out what is below a millisecond."""

    def default(self, o: Any) -> Any:
        return o.isoformat() if isinstance(o, datetime) else super().default(o)


@dataclass(frozen=True, slots=True)
class Counted:
    """What a backup holds."""

    rows: int
    files: int


# --- writing ----------------------------------------------------------------------------------------------------------


def write_backup(target: Path, say: Say = logger.info) -> Counted:
    """Write a backup to ``target``, whole or not at all.

    Raises:
        BackupError: the target exists, or the database is not migrated.
    """
    if target.exists():
        raise BackupError(f"{target} exists already: give a new name.")
    draft = target.with_name(f".{target.name}.part")
    try:
        with tarfile.open(draft, "w") as archive, _moment():
            counted = _write(archive, say)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return counted


def _write(archive: tarfile.TarFile, say: Say) -> Counted:
    rows: dict[str, int] = {}
    for model in _models():
        with tempfile.TemporaryFile() as spool:
            rows[model._meta.label_lower] = _write_rows(model, spool)
            _add(archive, _member(model), spool)
    say(f"{sum(rows.values()):,} rows of {len(rows)} tables")
    files = sum(_add_stored(archive, name) for name in _stored_files(""))
    say(f"{files:,} files")
    manifest = {
        "format": FORMAT,
        "made_at": timezone.now().isoformat(),
        "migrations": _applied(),
        "rows": rows,
        "files": files,
    }
    with tempfile.TemporaryFile() as spool:
        spool.write(json.dumps(manifest, indent=1).encode())
        _add(archive, _MANIFEST, spool)
    return Counted(sum(rows.values()), files)


def _write_rows(model: type[models.Model], spool: BinaryIO) -> int:
    """A table as gzipped JSON lines."""
    count = 0
    with gzip.open(spool, "wt", compresslevel=3, encoding="utf-8") as lines:
        for row in model._base_manager.order_by("pk").iterator(chunk_size=2_000):
            serializers.serialize("jsonl", [row], stream=lines, cls=_Exactly)
            count += 1
    return count


def _stored_files(folder: str) -> Iterator[str]:
    """Every file of the storage, whether a row names it or not."""
    folders, files = default_storage.listdir(folder) if folder or _has_files() else ([], [])
    yield from (f"{folder}{name}" for name in sorted(files))
    for name in sorted(folders):
        yield from _stored_files(f"{folder}{name}/")


def _has_files() -> bool:
    """A folder that nothing was stored in yet does not exist."""
    try:
        default_storage.listdir("")
    except FileNotFoundError:
        return False
    return True


def _add(archive: tarfile.TarFile, name: str, spool: BinaryIO) -> None:
    member = tarfile.TarInfo(name)
    member.size = spool.tell()
    member.mtime = int(timezone.now().timestamp())
    spool.seek(0)
    archive.addfile(member, spool)


def _add_stored(archive: tarfile.TarFile, name: str) -> bool:
    """False when the file is gone since it was listed: something newer replaced it."""
    try:
        with default_storage.open(name) as stored, tempfile.TemporaryFile() as spool:
            for chunk in stored.chunks(4 * 2**20):
                spool.write(chunk)
            _add(archive, f"files/{name}", spool)
    except FileNotFoundError:
        return False
    return True


@contextmanager
def _moment() -> Iterator[None]:
    """The database stands still for whoever reads inside, and keeps nobody from writing to it."""
    if connection.vendor == "sqlite":
        # Not atomic(): that takes the write lock at once (settings.py). In WAL mode the first read fixes the moment.
        with connection.cursor() as cursor:
            cursor.execute("BEGIN DEFERRED")
            try:
                cursor.execute("SELECT count(*) FROM django_migrations")
                yield
            finally:
                cursor.execute("ROLLBACK")
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


# --- reading ----------------------------------------------------------------------------------------------------------


def restore_backup(source: Path, say: Say = logger.info) -> Counted:
    """Bring a backup into this installation's empty database and storage: everything or nothing of the rows.

    Raises:
        BackupError: the file is no backup, of another version of Canopy, or the database is not empty.
    """
    try:
        with tarfile.open(source) as archive:
            return _restore(archive, say)
    except (tarfile.TarError, OSError, EOFError, KeyError, json.JSONDecodeError) as error:
        raise BackupError(f"{source} cannot be read as a backup: {error}") from error


def _restore(archive: tarfile.TarFile, say: Say) -> Counted:
    manifest = json.load(_open(archive, _MANIFEST))
    _refuse_other_version(manifest)
    _refuse_used_database()
    # Files first: rows that name files must not be seen before these exist. Files nobody names do no harm.
    files = _restore_files(archive)
    say(f"{files:,} files")
    if files != manifest["files"]:
        raise BackupError(f"The backup has {files:,} of {manifest['files']:,} files: it was cut short.")
    with transaction.atomic(), connection.constraint_checks_disabled():
        for model in _models():
            count = _restore_rows(model, archive)
            if count != manifest["rows"].get(model._meta.label_lower, 0):
                raise BackupError(f"{model._meta.label} has {count:,} rows, not those of the manifest: cut short.")
        connection.check_constraints()
        with connection.cursor() as cursor:
            for statement in connection.ops.sequence_reset_sql(no_style(), _models()):
                cursor.execute(statement)
    say(f"{sum(manifest['rows'].values()):,} rows of {len(manifest['rows'])} tables")
    return Counted(sum(manifest["rows"].values()), files)


def _restore_files(archive: tarfile.TarFile) -> int:
    count = 0
    for member in archive:
        if not member.isfile() or not member.name.startswith("files/"):
            continue
        name = member.name.removeprefix("files/")
        content = archive.extractfile(member)
        assert content is not None
        if default_storage.exists(name):  # of an earlier try
            default_storage.delete(name)
        # The storage refuses names that lead outside of it.
        default_storage.save(name, File(content))
        count += 1
    return count


def _restore_rows(model: type[models.Model], archive: tarfile.TarFile) -> int:
    count = 0
    with gzip.open(_open(archive, _member(model)), "rt", encoding="utf-8") as lines:
        found = (each.object for each in serializers.deserialize("jsonl", lines))
        while batch := list(islice(found, _BATCH)):
            if any(type(each) is not model for each in batch):
                raise BackupError(f"{_member(model)} holds rows of another table.")
            model._base_manager.bulk_create(batch)
            count += len(batch)
    return count


def _refuse_other_version(manifest: dict[str, Any]) -> None:
    if manifest.get("format") != FORMAT:
        raise BackupError(f"The backup has format {manifest.get('format')!r}; this Canopy reads {FORMAT}.")
    theirs, ours = {(app, name) for app, name in manifest["migrations"]}, set(_applied())
    if theirs == ours:
        return
    if theirs < ours:
        raise BackupError(
            "The backup is of an older Canopy. Restore it with that version, then update and run manage.py migrate. "
            f"It lacks {_named(ours - theirs)}."
        )
    raise BackupError(
        f"This database lacks migrations that the backup has ({_named(theirs - ours)}): "
        "run manage.py migrate, with the version of Canopy that made the backup or a newer one."
    )


def _refuse_used_database() -> None:
    used = [model._meta.verbose_name_plural for model in _models() if model._base_manager.exists()]
    if used:
        raise BackupError(f"The database holds {used[0]} already: restore into a new one, after manage.py migrate.")


# --- both -------------------------------------------------------------------------------------------------------------


def _models() -> list[type[models.Model]]:
    return [
        model
        for model in apps.get_models(include_auto_created=True)
        if model._meta.managed and not model._meta.proxy and model._meta.label_lower not in _LEFT_OUT
    ]


def _member(model: type[models.Model]) -> str:
    return f"tables/{model._meta.label_lower}.jsonl.gz"


def _open(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    content = archive.extractfile(name)
    if content is None:
        raise BackupError(f"{name} in the backup is no file.")
    return content


def _applied() -> list[tuple[str, str]]:
    """Migrations of the apps that are backed up."""
    labels = {model._meta.app_label for model in _models()}
    applied = MigrationExecutor(connection).loader.applied_migrations
    return sorted(name for name in applied if name[0] in labels)


def _named(migrations: set[tuple[str, str]]) -> str:
    first = sorted(migrations)[:3]
    return ", ".join(".".join(each) for each in first) + (" ..." if len(migrations) > 3 else "")
