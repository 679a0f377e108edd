"""Inspect (inspect_ai) logs: ``.eval``, a .zip with ``header.json`` and ``samples/<id>_epoch_<n>.json``; or the same as
one JSON file with ``eval`` and ``samples``.

A sample's ``id`` is the problem, its ``epoch`` the sample. ``scores`` holds a value for each scorer: "C" is correct;
"I" (incorrect), "P" (partial) and "N" (no answer) are not; numbers count as correct from 1. A sample that ended with an
error and has no score is an error, never wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from engine.exchange.jsonstream import JsonReader, parse_object
from engine.exchange.records import ExchangeError, Options, Record, clean, shown
from engine.exchange.source import Source
from engine.verification import Outcome

_FOLDER = "samples/"


def detect(source: Source) -> bool:
    if source.packing != "zip":
        start = source.head.lstrip(b"\xef\xbb\xbf \r\n\t")
        return start.startswith(b"{") and b'"eval"' in start and b'"version"' in start[:200] and b'"status"' in start
    with source.archive() as archive:
        names = archive.namelist()
        return "header.json" in names or "_journal/start.json" in names


def model_of(source: Source) -> str:
    """The model that the log names; "" when it names none."""
    if source.packing != "zip":
        with source.open() as file:
            reader = JsonReader(file, source.limits)
            for key in reader.items():
                value = reader.value() if key != "samples" else None
                if key == "eval":
                    return _model({"eval": value})
                if key == "samples":
                    return ""  # the header comes first in every log
        return ""
    with source.archive() as archive:
        for name in ("header.json", "_journal/start.json"):
            if name in archive.namelist():
                header = parse_object(source.member(archive, archive.getinfo(name)), name)
                return _model(header)
    return ""


def _model(header: dict[str, Any]) -> str:
    told = header.get("eval")
    model = told.get("model") if isinstance(told, dict) else None
    return clean(model) if isinstance(model, str) else ""


def read(source: Source, options: Options) -> Iterator[Record]:
    if source.packing != "zip":
        yield from _read_json(source, options)
        return
    with source.archive() as archive:
        entries = [
            one for one in archive.infolist() if one.filename.startswith(_FOLDER) and one.filename.endswith(".json")
        ]
        for entry in entries:
            yield _record(parse_object(source.member(archive, entry), entry.filename), options.score, entry.filename)


def _read_json(source: Source, options: Options) -> Iterator[Record]:
    with source.open() as file:
        reader = JsonReader(file, source.limits)
        for key in reader.items():
            if key != "samples" or reader.peek() != "[":
                reader.value()
                continue
            for _ in reader.elements():
                place = reader.place
                sample = reader.value()
                if not isinstance(sample, dict):
                    raise ExchangeError(f"{place}: expected a sample in braces.")
                yield _record(sample, options.score, place)


def _record(sample: dict[str, Any], scorer: str, place: str) -> Record:
    if "id" not in sample:
        raise ExchangeError(f'{place}: no "id"; this is no sample of an Inspect log.')
    output = sample.get("output") if isinstance(sample.get("output"), dict) else {}
    assert isinstance(output, dict)
    choice = next((one for one in output.get("choices") or [] if isinstance(one, dict)), {})
    usage = output.get("usage") if isinstance(output.get("usage"), dict) else {}
    tokens = usage.get("output_tokens") if isinstance(usage, dict) else None
    outcome, answer, reason = _verdict(sample, scorer, place)
    message = choice.get("message")
    return Record(
        clean(str(sample["id"])),
        outcome,
        place,
        sample=str(sample.get("epoch", "")),
        question=clean(_text(sample.get("input"))),
        gold=clean(_text(sample.get("target"))),
        answer=clean(answer),
        text=clean(_text(message.get("content")) if isinstance(message, dict) else str(output.get("completion", ""))),
        tokens=tokens if isinstance(tokens, int) and not isinstance(tokens, bool) and 0 <= tokens < 2**31 else None,
        finish=clean(str(choice.get("stop_reason") or "")),
        reason=clean(reason),
    )


def _verdict(sample: dict[str, Any], scorer: str, place: str) -> tuple[Outcome, str, str]:
    """(outcome, extracted answer, reason)."""
    scores = sample.get("scores")
    if not isinstance(scores, dict) or not scores:
        if sample.get("error") is not None:
            error = sample["error"]
            message = error.get("message", "") if isinstance(error, dict) else error
            return "error", "", str(message)
        if sample.get("limit") is not None:
            return "timeout", "", "The sample hit a limit of Inspect before it was scored."
        raise ExchangeError(f"{place}: the sample has no score; score the log first (inspect score).")
    name = scorer or next(iter(scores))
    score = scores.get(name)
    if score is None:
        raise ExchangeError(f"{place}: no scorer is called {shown(name)}; there are {shown(', '.join(scores))}.")
    value, answer, reason = (
        (score.get("value"), score.get("answer"), score.get("explanation"))
        if isinstance(score, dict)
        else (score, None, None)
    )
    outcome = _outcome(value)
    if outcome is None:
        raise ExchangeError(
            f"{place}: the score {shown(value)} of {shown(name)} says nothing about right and wrong; choose another "
            f"scorer (there are {shown(', '.join(scores))})."
        )
    return outcome, _text(answer), "" if outcome == "correct" else _text(reason)


def _outcome(value: Any) -> Outcome | None:
    if isinstance(value, str):
        return {"C": "correct", "I": "wrong", "P": "wrong", "N": "wrong"}.get(value)  # type: ignore[return-value]
    if isinstance(value, int | float):
        return "correct" if value >= 1 else "wrong"
    return None


def _text(value: Any) -> str:
    """The text in a string, in a list of strings, messages or content parts, or in nothing."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list):
        return "\n".join(part for part in map(_text, value) if part)
    if isinstance(value, dict):
        return _text(value.get("text", value.get("content")))
    return json.dumps(value)
