"""Canopy's own ``samples.jsonl``, as the Files tab gives it: what was exported can be imported elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from engine.exchange.jsonstream import json_lines
from engine.exchange.records import ExchangeError, Options, Record, clean, outcome_of, shown
from engine.exchange.source import Source


def detect(source: Source) -> bool:
    return b'"problem_uid"' in source.head and b'"verdict"' in source.head


def read(source: Source, options: Options) -> Iterator[Record]:
    with source.open() as file:
        for place, line in json_lines(file, source.limits):
            yield _record(line, place)


def _record(line: dict[str, Any], place: str) -> Record:
    if not isinstance(line.get("problem_uid"), str):
        raise ExchangeError(f'{place}: no "problem_uid"; this is no line of a Canopy samples.jsonl.')
    outcome = outcome_of(line.get("verdict"))
    if outcome is None:
        raise ExchangeError(f"{place}: the verdict {shown(line.get('verdict'))} is none; import a finished experiment.")
    words = {
        name: clean(str(line.get(name) or ""))
        for name in ("question", "gold", "answer", "canonical", "finish", "reason")
    }
    text, tokens = line.get("text"), line.get("tokens")
    return Record(
        clean(line["problem_uid"]),
        outcome,
        place,
        sample=str(line.get("index", "")),
        text=clean(text) if isinstance(text, str) else None,
        tokens=tokens if isinstance(tokens, int) and 0 <= tokens < 2**31 else None,
        logprob=_finite(line.get("logprob")),
        self_certainty=_finite(line.get("self_certainty")),
        score=_finite(line.get("score")),
        **words,
    )


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
