"""Checks that the Specs of several kinds share."""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection


def storable(text: str) -> str:
    """The text without NUL bytes, which databases refuse. Raises ValueError for halves of surrogate pairs."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("contains characters that are not valid Unicode text; remove them") from None
    return text.replace("\0", "")


def reference(value: str, places: Collection[str]) -> str | None:
    """``place/code`` with the code as a UUID is written, if it is one of these places and a UUID."""
    place, _, code = value.partition("/")
    if place in places and re.fullmatch(r"[0-9a-fA-F-]{32,36}", code):
        try:
            return f"{place}/{uuid.UUID(code)}"
        except ValueError:
            pass
    return None
