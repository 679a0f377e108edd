"""Opens an uploaded file: plain, .gz or .zip, within limits. Nothing is ever unpacked to disk.

A .zip is refused as a whole when one of its names, flags or sizes shows that somebody plays tricks: paths that lead
out of a folder, links, encryption, sizes beyond the limits, and ratios that only a bomb has.
"""

from __future__ import annotations

import gzip
import io
import lzma
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, cast

from engine.exchange.records import ExchangeError, Limits, shown

HEAD = 256 * 1024  # bytes that tell the format
_SMALL = 2**20  # below this no ratio is suspicious: a short file of spaces packs very well
_BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, gzip.BadGzipFile, EOFError, NotImplementedError, OSError)


class _Counted(io.RawIOBase):
    """A stream that ends with an error when it gives more than ``most`` bytes."""

    def __init__(self, inner: IO[bytes], most: int, name: str) -> None:
        self._inner, self._left, self._name = inner, most, name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        try:
            data = self._inner.read(min(len(view), 2**18))
        except _BROKEN as error:
            raise ExchangeError(f"{self._name} is damaged ({error}); upload it once more.") from None
        self._left -= len(data)
        if self._left < 0:
            raise ExchangeError(f"{self._name} unpacks to more than is allowed; split it into several imports.")
        view[: len(data)] = data
        return len(data)


@dataclass
class Source:
    """A file of results. ``name``: what its owner calls it, for messages and for the format's suffix."""

    path: Path
    name: str
    limits: Limits = field(default_factory=Limits)
    _raw: IO[bytes] | None = None  # while it is read

    @property
    def share_read(self) -> float:
        """From 0 to 1: how much of the file was read by whoever reads it now."""
        size = self.path.stat().st_size
        return min(1.0, self._raw.tell() / size) if self._raw and not self._raw.closed and size else 0.0

    @cached_property
    def packing(self) -> str:
        """ "zip", "gzip" or "" by the file's first bytes."""
        with self.path.open("rb") as file:
            magic = file.read(4)
        if magic[:2] == b"\x1f\x8b":
            return "gzip"
        return "zip" if magic in (b"PK\x03\x04", b"PK\x05\x06") else ""

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """The bytes of a plain or gzip file."""
        with self.path.open("rb") as file:
            self._raw = file
            if self.packing == "gzip":
                unpacked = _Counted(cast(IO[bytes], gzip.GzipFile(fileobj=file)), self.limits.unpacked_bytes, self.name)
                yield io.BufferedReader(unpacked, 2**18)
            else:
                yield file

    @cached_property
    def head(self) -> bytes:
        """The first bytes of a plain or gzip file, unpacked; b"" for a .zip."""
        if self.packing == "zip":
            return b""
        with self.open() as file:
            return file.read(HEAD)

    @contextmanager
    def archive(self) -> Iterator[zipfile.ZipFile]:
        """The .zip, after a look at every entry."""
        try:
            archive = zipfile.ZipFile(self.path)
        except _BROKEN as error:
            raise ExchangeError(f"{self.name} is no whole .zip file ({error}); upload it once more.") from None
        with archive:
            check_entries(archive, self.limits)
            self._raw = archive.fp
            yield archive

    def member(self, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
        """One file of the .zip as a whole; its size was checked."""
        with self.open_member(archive, entry) as file:
            return file.read()

    @contextmanager
    def open_member(self, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[IO[bytes]]:
        try:
            inner = archive.open(entry)
        except NotImplementedError:
            raise ExchangeError(
                f"{entry.filename} is packed with a method that Python's zipfile cannot read; pack the file again "
                "with the usual one (deflate)."
            ) from None
        except (*_BROKEN, RuntimeError) as error:
            raise ExchangeError(f"{entry.filename} is damaged ({error}); upload the file once more.") from None
        with inner:
            yield io.BufferedReader(_Counted(inner, max(entry.file_size, 1), entry.filename), 2**16)


def check_entries(archive: zipfile.ZipFile, limits: Limits) -> None:
    """Raise ExchangeError for an archive that is too large or plays tricks."""
    entries = archive.infolist()
    if len(entries) > limits.members:
        raise ExchangeError(f"The .zip holds more than {limits.members:,} files; split it into several imports.")
    total = 0
    for entry in entries:
        name = shown(entry.filename)
        if _leads_out(entry.filename):
            raise ExchangeError(f"The .zip has a file called {name}, which leads out of its folder; pack it again.")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise ExchangeError(f"The .zip has a link, {name}; pack the files themselves.")
        if entry.flag_bits & 1:
            raise ExchangeError(f"{name} in the .zip is encrypted; pack it without a password.")
        if entry.file_size > limits.value_bytes:
            raise ExchangeError(f"{name} in the .zip unpacks to more than {limits.value_bytes // 2**20} MB; split it.")
        if entry.file_size > max(_SMALL, limits.ratio * entry.compress_size):
            raise ExchangeError(
                f"{name} in the .zip unpacks to {entry.file_size // max(1, entry.compress_size)} times its size, as "
                "only a zip bomb does; upload it unpacked."
            )
        total += entry.file_size
    if total > limits.unpacked_bytes:
        raise ExchangeError(f"The .zip unpacks to more than {limits.unpacked_bytes // 2**30} GB; split it.")


def _leads_out(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name
