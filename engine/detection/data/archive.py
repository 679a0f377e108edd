"""Unpacking an uploaded zip: nothing outside its folder, no links, no more than the limits, and nothing left on
refusal."""

from __future__ import annotations

import shutil
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from engine.detection.data.types import DatasetError

_CHUNK = 1 << 20
_RATIO_FROM = 1 << 20  # bytes; below this a high ratio does no harm


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may unpack to."""

    files: int = 200_000
    bytes: int = 20 << 30
    file_bytes: int = 4 << 30  # of one file; annotation files of large sets reach 1 GiB
    ratio: float = 200.0  # unpacked over packed, of one file


class ArchiveError(DatasetError):
    """An archive that is refused; the message names the entry."""


def unpack(archive: Path, folder: Path, limits: Limits = Limits()) -> Path:
    """Unpack a zip into a new folder and return it.

    Sizes are counted while reading: what the archive claims about itself is not believed.

    Raises:
        ArchiveError: not a zip, encrypted, an entry that leads outside or is a link, or over a limit. `folder` is
            removed again.
        FileExistsError: `folder` exists.
    """
    folder.mkdir(parents=True)
    try:
        _unpack(archive, folder, limits)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        shutil.rmtree(folder)
        raise ArchiveError(f"{archive.name} is not a zip that can be read: {error}") from None
    except BaseException:
        shutil.rmtree(folder)
        raise
    return folder


def _unpack(archive: Path, folder: Path, limits: Limits) -> None:
    with zipfile.ZipFile(archive) as source:
        entries = [entry for entry in source.infolist() if not _is_junk(entry.filename)]
        if len(entries) > limits.files:
            raise ArchiveError(f"{archive.name} holds {len(entries):,} files, more than the {limits.files:,} allowed")
        left = limits.bytes
        for entry in entries:
            target = folder / _safe_name(entry)
            if entry.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            left -= _copy(source, entry, target, min(left, limits.file_bytes), limits.ratio)


def _copy(source: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, most: int, ratio: float) -> int:
    written = 0
    # "x": a second entry of the same name, or one below a file, is an error and not an overwrite
    try:
        with source.open(entry) as packed, target.open("xb") as out:
            while chunk := packed.read(_CHUNK):
                written += len(chunk)
                if written > most:
                    raise ArchiveError(f"{entry.filename} unpacks to more than is allowed")
                if written > _RATIO_FROM and written > ratio * max(entry.compress_size, 1):
                    raise ArchiveError(
                        f"{entry.filename} unpacks to over {ratio:g} times its size: refused as a zip bomb"
                    )
                out.write(chunk)
    except (FileExistsError, IsADirectoryError, NotADirectoryError):
        raise ArchiveError(f"{entry.filename} is in the archive twice") from None
    except zipfile.error:
        raise
    except OSError as error:
        raise ArchiveError(f"{entry.filename} cannot be unpacked: {error.strerror or error}") from None
    return written


def _safe_name(entry: zipfile.ZipInfo) -> PurePosixPath:
    name = entry.orig_filename
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name or not path.parts:
        raise ArchiveError(f"{name!r} leads out of the archive's folder")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise ArchiveError(f"{name!r} is a link; put the file itself into the archive")
    if entry.flag_bits & 1:
        raise ArchiveError(f"{name!r} is encrypted; upload an archive without a password")
    return path


def _is_junk(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or (bool(parts) and parts[-1] in (".DS_Store", "Thumbs.db"))
