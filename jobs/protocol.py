"""What a supervisor and its runner process tell each other: JSON objects, one per line, over two pipes of their own.

Whatever libraries print goes to stdout and stderr, which are captured apart, so it can never be taken for a message.

To the runner:    {"do": "run", "id", "module", "stage", "job", "data_dir"} · {"do": "cancel", "id"}
                  {"do": "tell", "id", "news"}
From the runner:  {"is": kind, "id": job, ...} with kind one of
    alive · progress {done} · row {row} · metrics {values, seconds} · log {text, level}
    artifact {path, name, content_type} · done · stopped (saw the cancel) · failed {reason, trace, final}
"""

from __future__ import annotations

import json
from typing import IO, Any

Message = dict[str, Any]


def write(stream: IO[bytes], message: Message) -> None:
    stream.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")
    stream.flush()


def parse(line: bytes) -> Message:
    """The message in a line, its strings safe for any database: no NUL, no half of a surrogate pair."""
    message: Message = json.loads(line)
    if b"\\u0000" in line or b"\\ud" in line:
        message = _clean(message)
    return message


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {clean_text(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return value


def clean_text(text: str) -> str:
    """Without NUL (PostgreSQL refuses it); lone surrogates (no UTF-8 exists for them) become question marks."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
