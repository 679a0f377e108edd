"""Ids that every log line carries: of the request or of the shard that it belongs to.

with log_context(shard=12, experiment="0b5c..."):
    logger.info("...")      # ... shard=12 experiment=0b5c...
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_fields: ContextVar[dict[str, str]] = ContextVar("log_fields")


@contextmanager
def log_context(**fields: object) -> Iterator[None]:
    """Lines written inside, in this thread or task and what it calls, carry ``fields``."""
    token = _fields.set({**_fields.get({}), **{name: str(value) for name, value in fields.items()}})
    try:
        yield
    finally:
        _fields.reset(token)


class ContextFilter(logging.Filter):
    """Gives each record the fields of its context: as attributes, and as ``record.context`` for lines of text."""

    def filter(self, record: logging.LogRecord) -> bool:
        fields = _fields.get({})
        for name, value in fields.items():
            setattr(record, name, value)
        record.context = "".join(f" {name}={value}" for name, value in fields.items())
        return True
