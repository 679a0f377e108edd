"""A task's data -> problems: from a file (JSONL, JSON, packed with gzip or not) or from the Hugging Face hub."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from engine.problems import MAX_BYTES, MAX_PROBLEMS, Problem, ProblemFormatError, parse_jsonl
from engine.tasks.convert import RowError
from engine.tasks.task import Row, Task

_GZIP = b"\x1f\x8b"


class HubError(ValueError):
    """The hub's data cannot be had here; the message says what to do."""


def problems_of_file(task: Task, content: bytes, limit: int | None = None) -> list[Problem]:
    """The problems of a data file. Raises ProblemFormatError, which names the first row that is wrong."""
    return problems_of_rows(task, read_rows(content), limit)


def problems_of_hub(task: Task, limit: int | None = None) -> list[Problem]:
    """The problems of the task's data set on the hub, or in its local cache. Raises HubError, ProblemFormatError."""
    return problems_of_rows(task, hub_rows(task), limit)


def problems_of_rows(task: Task, rows: Iterable[Row], limit: int | None = None) -> list[Problem]:
    lines = []
    for number, row in enumerate(rows, start=1):
        try:
            line = task.convert(row)
        except (RowError, KeyError, TypeError, ValueError) as error:
            reason = str(error) if isinstance(error, RowError) else f"its values have an unknown form ({error!r})"
            raise ProblemFormatError(f"Row {number} is none of {task.title}: {reason}.") from None
        if line is not None:
            lines.append(json.dumps(line))
        if len(lines) >= min(limit or MAX_PROBLEMS, MAX_PROBLEMS):
            break
    return parse_jsonl("\n".join(lines))


def read_rows(content: bytes) -> list[dict[str, Any]]:
    """The objects of a JSONL file or of a JSON array. Raises ProblemFormatError."""
    if content.startswith(_GZIP):
        content = _unpack(content)
    if len(content) > MAX_BYTES:
        raise ProblemFormatError(f"The file is larger than {MAX_BYTES // 2**20} MB; split it into several sets.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ProblemFormatError(f"Line {line}: not UTF-8 text; save the file as UTF-8.") from None
    if text.lstrip()[:1] == "[":
        rows = _load(text, "The file")
        rows = rows if isinstance(rows, list) else [rows]
    else:
        rows = [_load(line, f"Line {i}") for i, line in enumerate(text.split("\n"), start=1) if line.strip()]
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise ProblemFormatError(f"Row {number} is no object; write one object for each problem.")
    return rows


def _load(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProblemFormatError(f"{where}: not valid JSON ({error}).") from None


def _unpack(content: bytes) -> bytes:
    """gzip, but never more than a set may hold."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        text = unpacker.decompress(content, MAX_BYTES + 1)
    except zlib.error as error:
        raise ProblemFormatError(f"The file is no whole gzip file ({error}); upload it once more.") from None
    if not unpacker.eof and len(text) <= MAX_BYTES:
        raise ProblemFormatError("The file is no whole gzip file; upload it once more.")
    return text


def hub_rows(task: Task) -> Iterator[Row]:
    """The rows of the task's data set through the optional package ``datasets``. Raises HubError."""
    if task.hub is None:
        raise HubError(f"{task.title} has no data set on the hub that we know of; bring a file.")
    try:
        import datasets
    except ImportError:
        raise HubError(
            "Reading from the hub needs the package datasets: pip install datasets. Or bring the file yourself."
        ) from None
    for config in task.hub.configs or (None,):
        try:
            rows = datasets.load_dataset(task.hub.path, config, split=task.hub.split)
        except Exception as error:  # its errors share no base: no network, no such set, a broken cache
            raise HubError(
                f"{task.hub.path} is not in the hub's local cache and could not be downloaded "
                f"({type(error).__name__}: {str(error)[:200]}). Check the network, or bring the file yourself."
            ) from error
        yield from rows
