"""Cursors: where a list goes on. Opaque to clients, so that the key behind them may change."""

from __future__ import annotations

import base64
import json
from typing import Any

from webapp.api.errors import Problem

WRONG = {"cursor": "Use next_cursor of the page before, unchanged, with the same filters and sort."}


def encode(*parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts, separators=(",", ":")).encode()).decode().rstrip("=")


def decode(cursor: str, *types: type) -> list[Any]:
    """The parts, each of its type; Problem 422 for anything that ``encode`` did not make."""
    try:
        parts = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        raise wrong() from None
    if not isinstance(parts, list) or len(parts) != len(types):
        raise wrong()
    if any(type(part) is not wanted for part, wanted in zip(parts, types, strict=True)):
        raise wrong()
    if any(isinstance(part, int) and not 0 <= part < 2**63 for part in parts):
        raise wrong()
    return parts


def wrong() -> Problem:
    return Problem(422, "The cursor is not one that this list gave.", errors=WRONG)
