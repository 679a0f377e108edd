"""Kinds of experiments. A kind is a folder (a Django app) whose AppConfig.ready() calls ``register``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs.kinds.base import Kind

_kinds: dict[str, Kind] = {}


def register(kind: Kind) -> None:
    _kinds[kind.name] = kind


def get_kind(name: str) -> Kind:
    """The kind called ``name``; KeyError names the kinds there are."""
    if name not in _kinds:
        raise KeyError(f"no kind of experiment is called {name!r}; there are: {', '.join(sorted(_kinds))}")
    return _kinds[name]


def all_kinds() -> list[Kind]:
    """Those that people can choose."""
    return [kind for kind in _kinds.values() if kind.is_offered]
