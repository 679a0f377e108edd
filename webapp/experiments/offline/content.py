"""What an offline copy of an experiment shows: plain data that a small script draws, with no server behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class Line:
    """``slot``: its colour, 1 to 8 of tokens.css; ``lo`` and ``hi``: a band, or empty."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    slot: int = 1
    lo: Sequence[float] = ()
    hi: Sequence[float] = ()
    dash: str = "solid"
    markers: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """Lines, or bars, over one pair of axes. Its table twin is made of the same numbers."""

    name: str  # in addresses and file names: "coverage"
    title: str
    x_title: str
    y_title: str
    lines: Sequence[Line]
    note: str = ""
    bars: bool = False
    log_x: bool = False
    percent: bool = False  # y is a share, written as percent


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, slots=True)
class File:
    """A further file of the copy, such as a scene's picture or mesh: ``path`` inside it, ``size`` in bytes. With
    ``has_samples`` it goes along only where samples do."""

    path: str
    size: int
    stream: Callable[[], AsyncIterator[bytes]]
    has_samples: bool = False


@dataclass(frozen=True, slots=True)
class Offline:
    """A kind's part. ``files`` are for what cannot be drawn from numbers: 3D scenes put their pictures, films and
    meshes there, and the page that shows them (without modules: pages opened from disk load none) in ``pages``."""

    facts: Sequence[tuple[str, str]] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    files: Sequence[File] = field(default=())
    pages: Sequence[tuple[str, str]] = ()  # (title, path of an HTML file among ``files``)
