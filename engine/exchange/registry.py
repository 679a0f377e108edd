"""The formats there are, and which one a file is in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from engine.exchange.formats import canopy, evalplus, inspect_log, lm_eval, monkeys, table
from engine.exchange.records import ExchangeError, Options, Record
from engine.exchange.source import Source

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Format:
    name: str
    title: str
    detect: Callable[[Source], bool]
    read: Callable[[Source, Options], Iterator[Record]]


# In the order in which they are asked: the surest signs first.
FORMATS = {
    one.name: one
    for one in (
        Format("inspect", "Inspect log (.eval, .json)", inspect_log.detect, inspect_log.read),
        Format("canopy", "Canopy samples.jsonl", canopy.detect, canopy.read),
        Format("lm-eval", "lm-eval samples (JSONL)", lm_eval.detect, lm_eval.read),
        Format("evalplus", "EvalPlus or HumanEval results (JSON, JSONL)", evalplus.detect, evalplus.read),
        Format("monkeys", "Large Language Monkeys (YAML, JSON, JSONL, .zip)", monkeys.detect, monkeys.read),
        Format("csv", "CSV: problem, sample, correct", table.detect, table.read),
    )
}


def detect_format(source: Source) -> Format:
    """The format that the file's first bytes or its list of files show. Raises ExchangeError."""
    if not source.path.stat().st_size:
        raise ExchangeError("The file is empty; choose the one with the results.")
    for one in FORMATS.values():
        if one.detect(source):
            return one
    raise ExchangeError(
        f"{source.name} is in none of the formats that are read ({', '.join(one.title for one in FORMATS.values())}). "
        "Choose the format if you know it, or make a CSV with the columns problem, sample, correct."
    )


def get_format(name: str, source: Source) -> Format:
    """The format called ``name``, or the detected one for "auto". Raises ExchangeError."""
    if name == AUTO:
        return detect_format(source)
    if name not in FORMATS:
        raise ExchangeError(f"No format is called {name!r}; there are: {', '.join(FORMATS)}.")
    return FORMATS[name]
