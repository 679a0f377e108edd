"""Which files of this machine a program sees: system libraries and programs, this Python without its packages."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

# World-readable on every system; links such as /lib -> usr/lib are made again.
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives")
_NULL = ("/dev/null", "/dev/zero", "/dev/full")
_RANDOM = ("/dev/random", "/dev/urandom")

PROGRAMS = "/usr/local/bin:/usr/bin:/bin"  # the PATH inside
PYTHON = os.path.realpath(sys.executable)  # not the virtual environment's link, whose packages are out of view


@cache
def _base() -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """(folders and files, links) that every program sees."""
    links = tuple((path, str(Path(path).readlink())) for path in _SYSTEM if Path(path).is_symlink())
    paths = [path for path in _SYSTEM if Path(path).exists() and not Path(path).is_symlink()]
    prefix = os.path.realpath(sys.base_prefix)
    if not any(Path(prefix).is_relative_to(path) for path in paths):
        paths.append(prefix)
    return tuple(paths), links


def view(extra: Iterable[Path]) -> tuple[list[str], list[tuple[str, str]]]:
    """(paths to show, links to make), the most outward first so that an inner one is mounted on top."""
    paths, links = _base()
    return sorted({*paths, *(os.path.realpath(path) for path in extra)}), list(links)


def grants(paths: Iterable[str], home: str | None) -> list[tuple[str, str]]:
    """What Landlock lets the program do with them; see ``engine.sandbox.landlock.restrict``."""
    granted = [(path, "read") for path in (*paths, *_RANDOM)] + [(path, "write") for path in _NULL]
    return granted + ([(home, "everything"), ("/etc/passwd", "read")] if home else [])
