"""Readers for settings that come from the environment: they refuse nonsense with a sentence, at start.

``NAME_FILE`` is read where a secret may be mounted as a file (Docker and Kubernetes secrets).
"""

from __future__ import annotations

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def text(name: str, default: str = "") -> str:
    """The variable's text, or ``default`` when unset or empty."""
    return os.environ.get(name) or default


def integer(name: str, default: int, *, least: int = 0) -> int:
    """A whole number of at least ``least``; raises ImproperlyConfigured otherwise."""
    raw = text(name)
    if not raw:
        return default
    if not raw.lstrip("-").isdigit() or int(raw) < least:
        raise ImproperlyConfigured(f"{name}={raw!r} must be a whole number of at least {least}.")
    return int(raw)


def boolean(name: str, default: bool) -> bool:
    """``1/true/yes/on`` or ``0/false/no/off``; anything else raises ImproperlyConfigured."""
    raw = text(name).lower()
    if not raw:
        return default
    if raw in {"1", "true", "yes", "on"}:
        return True
    if raw in {"0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name}={raw!r} must be one of true or false.")


def choice(name: str, default: str, choices: list[str]) -> str:
    """One of ``choices``; anything else raises ImproperlyConfigured."""
    raw = text(name, default).lower()
    if raw not in choices:
        raise ImproperlyConfigured(f"{name}={raw!r} must be one of {', '.join(choices)}.")
    return raw


def words(name: str, default: str = "") -> list[str]:
    """A comma-separated list, blanks dropped."""
    return [part.strip() for part in text(name, default).split(",") if part.strip()]


def secret(name: str) -> str:
    """The value of ``NAME``, or the content of the file that ``NAME_FILE`` points to; empty when neither is set."""
    path = text(f"{name}_FILE")
    if not path:
        return text(name)
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE={path!r} cannot be read: {error}") from error
