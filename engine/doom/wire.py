"""Messages from a game's process: one JSON line, then the bytes of the arrays it names. Nothing is unpickled."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def send(stream: IO[bytes], kind: str, fields: Mapping[str, Any], arrays: Mapping[str, Array] | None = None) -> None:
    shapes = {name: [str(array.dtype), *array.shape] for name, array in (arrays or {}).items()}
    stream.write(json.dumps({"kind": kind, "fields": fields, "arrays": shapes}).encode() + b"\n")
    for array in (arrays or {}).values():
        stream.write(np.ascontiguousarray(array).tobytes())
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[str, dict[str, Any], dict[str, Array]] | None:
    """(kind, fields, arrays), or None where the stream ends, be it within a message."""
    head = stream.readline()
    if not head.endswith(b"\n"):
        return None
    message = json.loads(head)
    arrays = {}
    for name, (dtype, *shape) in message["arrays"].items():
        size = np.dtype(dtype).itemsize * math.prod(shape)
        data = stream.read(size)
        if len(data) < size:
            return None
        arrays[name] = np.frombuffer(bytearray(data), dtype).reshape(shape)
    return message["kind"], message["fields"], arrays
