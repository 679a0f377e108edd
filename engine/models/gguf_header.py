"""Reads the header of a GGUF file: metadata and tensor sizes, no weights.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3, little-endian). The gguf
package's reader builds an array for every vocabulary entry, which takes seconds; a web form cannot wait.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True, slots=True)
class GgufHeader:
    metadata: dict[str, Any]  # arrays are left out, their lengths kept under "<key>.length"
    n_params: int


def read_gguf_header(path: Path) -> GgufHeader:
    """Raises ValueError when the file is not a GGUF file of a known version."""
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ValueError(f"{path} is not a GGUF file")
        version = _scalar(file, 4)
        if version not in (2, 3):
            raise ValueError(f"{path} has GGUF version {version}; versions 2 and 3 can be read")
        tensors, pairs = _scalar(file, 10), _scalar(file, 10)
        metadata: dict[str, Any] = {}
        for _ in range(pairs):
            key, kind = _string(file), _scalar(file, 4)
            if kind == _ARRAY:
                metadata[f"{key}.length"] = _skip_array(file)
            else:
                metadata[key] = _string(file) if kind == _STRING else _scalar(file, kind)
        return GgufHeader(metadata, sum(_tensor_size(file) for _ in range(tensors)))


def _scalar(file: BinaryIO, kind: int) -> Any:
    layout = _SCALARS.get(kind)
    if layout is None:
        raise ValueError(f"unknown GGUF value type {kind}")
    return struct.unpack(layout, file.read(struct.calcsize(layout)))[0]


def _string(file: BinaryIO) -> str:
    return file.read(_scalar(file, 10)).decode("utf-8", errors="replace")


def _skip_array(file: BinaryIO) -> int:
    kind, length = _scalar(file, 4), _scalar(file, 10)
    if kind == _STRING:
        for _ in range(length):
            file.seek(struct.unpack("<Q", file.read(8))[0], 1)
    elif kind in _SCALARS:
        file.seek(length * struct.calcsize(_SCALARS[kind]), 1)
    else:
        raise ValueError(f"unknown GGUF array type {kind}")
    return int(length)


def _tensor_size(file: BinaryIO) -> int:
    """Elements of the next tensor description: name, dimensions, type, offset."""
    _string(file)
    size: int = prod(_scalar(file, 10) for _ in range(_scalar(file, 4)))
    file.seek(4 + 8, 1)
    return size
