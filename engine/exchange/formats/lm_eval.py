"""lm-evaluation-harness, ``--log_samples``: ``samples_<task>_<time>.jsonl``, one line for each document and filter.

A line holds ``doc_id``, ``doc``, ``target``, ``resps`` (what the model wrote), ``filtered_resps``, ``filter`` and a key
for each of its ``metrics``. A task with two filters writes every document twice; only one filter is read, or each
sample would count twice. Several runs' files joined into one give several samples of each document. A metric may be one
number, or a list with one for each response.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from engine.exchange.jsonstream import json_lines
from engine.exchange.records import ExchangeError, Options, Record, clean, outcome_of, shown
from engine.exchange.source import Source


def detect(source: Source) -> bool:
    return b'"doc_id"' in source.head and (b'resps"' in source.head or b'"target"' in source.head)


def read(source: Source, options: Options) -> Iterator[Record]:
    wanted = options.filter
    with source.open() as file:
        for place, line in json_lines(file, source.limits):
            found = str(line.get("filter", "none"))
            wanted = wanted or found  # the first filter of the file
            if found == wanted:
                yield from _records(line, options.score, place)


def _records(line: dict[str, Any], metric: str, place: str) -> Iterator[Record]:
    if "doc_id" not in line:
        raise ExchangeError(f'{place}: no "doc_id"; this is no line of an lm-eval samples file.')
    verdicts = _verdicts(line, metric, place)
    raw, filtered = _responses(line.get("resps")), _responses(line.get("filtered_resps"))
    question, gold = _question(line), line.get("target", "")
    for number, verdict in enumerate(verdicts):
        outcome = outcome_of(verdict)
        if outcome is None:
            raise ExchangeError(
                f"{place}: the score {shown(verdict)} is neither 0 nor 1, so it says nothing about right and wrong; "
                f"choose another score (the line has {shown(', '.join(_metrics(line)))})."
            )
        yield Record(
            str(line["doc_id"]),
            outcome,
            place,
            question=clean(question),
            gold=clean(gold if isinstance(gold, str) else json.dumps(gold)),
            answer=clean(filtered[number]) if number < len(filtered) else "",
            text=clean(raw[number]) if number < len(raw) else None,
        )


def _metrics(line: dict[str, Any]) -> list[str]:
    named = line.get("metrics")
    return [name for name in named if name in line] if isinstance(named, list) else []


def _verdicts(line: dict[str, Any], metric: str, place: str) -> list[Any]:
    names = _metrics(line) or [name for name in ("exact_match", "acc", "pass@1", "pass_at_1") if name in line]
    name = metric or next(iter(names), "")
    if name not in line:
        listed = shown(", ".join(names)) if names else "none"
        raise ExchangeError(f"{place}: no score is called {shown(name)}; the line has {listed}.")
    value = line[name]
    return value if isinstance(value, list) else [value]


def _responses(value: Any) -> list[str]:
    """``[["a", "b"]]`` or ``["a"]`` -> the texts; log-likelihood tasks, whose responses are pairs, give none."""
    while isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    if isinstance(value, str):
        return [value]
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _question(line: dict[str, Any]) -> str:
    doc = line.get("doc")
    if isinstance(doc, dict):
        for key in ("question", "problem", "query", "prompt", "text"):
            if isinstance(doc.get(key), str):
                return str(doc[key])
    return json.dumps(doc, ensure_ascii=False) if doc is not None else ""
