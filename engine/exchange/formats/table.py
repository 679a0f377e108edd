"""CSV with one sample a row: ``problem,sample,correct[,answer,tokens,logprob,score,text,question,gold,finish]``.

``sample`` may be left out. Separators are commas, semicolons or tabs; the first line names the columns, in any order.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator

from engine.exchange.records import ExchangeError, Options, Record, clean, outcome_of, shown
from engine.exchange.source import Source

_ALIASES = {
    "problem": ("problem", "problem_id", "problem_uid", "task_id", "question_id", "uid"),
    "correct": ("correct", "is_correct", "passed", "verdict", "outcome"),
    "sample": ("sample", "sample_id", "index", "epoch", "attempt", "trial"),
    "question": ("question", "prompt"),
    "gold": ("gold", "target", "gt_answer", "ground_truth"),
    "answer": ("answer", "extracted"),
    "text": ("text", "completion", "response", "output"),
    "tokens": ("tokens", "output_tokens", "completion_tokens"),
    "logprob": ("logprob", "log_prob"),
    "score": ("score", "reward"),
    "finish": ("finish", "finish_reason", "stop_reason"),
}
_NUMBERS = ("tokens", "logprob", "score")


def detect(source: Source) -> bool:
    first = source.head.split(b"\n", 1)[0]
    names = {name.strip().strip('"').lower() for name in first.decode("utf-8-sig", "replace").split(_separator(first))}
    return not names.isdisjoint(_ALIASES["problem"]) and not names.isdisjoint(_ALIASES["correct"])


def _separator(line: bytes) -> str:
    return max(",;\t", key=lambda mark: line.count(mark.encode()))


def read(source: Source, options: Options) -> Iterator[Record]:
    # One limit for the whole process: never lowered, and put back at the end.
    before = csv.field_size_limit()
    csv.field_size_limit(max(before, 2 * source.limits.text))
    with source.open() as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        rows = csv.reader(text, delimiter=_separator(source.head.split(b"\n", 1)[0]), strict=True)
        try:
            yield from _records(rows)
        except csv.Error as error:
            raise ExchangeError(f"line {rows.line_num}: not valid CSV ({error}).") from None
        except UnicodeDecodeError:
            raise ExchangeError(f"line {rows.line_num + 1}: not UTF-8 text; save the file as UTF-8.") from None
        finally:
            csv.field_size_limit(before)
            text.detach()


def _records(rows: csv._reader) -> Iterator[Record]:  # type: ignore[name-defined]
    header: list[str] = next(rows, [])
    columns = _columns(header)
    problem_at, correct_at, width = columns.pop("problem"), columns.pop("correct"), len(header)
    numbers = [(name, columns.pop(name)) for name in _NUMBERS if name in columns]
    texts = list(columns.items())
    outcomes = {word: outcome_of(word) for word in ("1", "0", "True", "False", "true", "false")}
    for row in rows:
        if not row:
            continue
        if len(row) != width:
            raise ExchangeError(f"line {rows.line_num}: {len(row)} cells, but the first line names {width} columns.")
        word = row[correct_at]
        outcome = outcomes.get(word) or outcome_of(word)
        if outcome is None:
            raise ExchangeError(
                f"line {rows.line_num}: {shown(word)} in the column {header[correct_at]!r} is no verdict; write 1 or 0 "
                "(true, false, error and timeout are read too)."
            )
        more: dict[str, object] = {name: clean(row[at]) for name, at in texts}
        for name, at in numbers:
            if row[at]:
                more[name] = _number(name, row[at], rows.line_num)
        yield Record(clean(row[problem_at]), outcome, f"line {rows.line_num}", **more)  # type: ignore[arg-type]


def _columns(header: list[str]) -> dict[str, int]:
    """Where each column that we know stands."""
    names = [name.strip().lower() for name in header]
    found = {}
    for name, aliases in _ALIASES.items():
        at = next((names.index(alias) for alias in aliases if alias in names), None)
        if at is not None:
            found[name] = at
    for name in ("problem", "correct"):
        if name not in found:
            raise ExchangeError(
                f"line 1: no column is called {name!r} (there are {shown(', '.join(header))}); name the columns "
                "problem, sample, correct on the first line."
            )
    return found


def _number(name: str, cell: str, line: int) -> float | int:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if name == "tokens":
        if not (0 <= value < 2**31 and value == int(value)):
            raise ExchangeError(f"line {line}: {shown(cell)} tokens; write a whole number, or leave the cell empty.")
        return int(value)
    if not math.isfinite(value):
        raise ExchangeError(f"line {line}: {shown(cell)} in the column {name!r} is no number; leave the cell empty.")
    return value
