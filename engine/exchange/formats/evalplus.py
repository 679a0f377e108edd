"""EvalPlus and HumanEval results.

- EvalPlus: ``<samples>_eval_results.json``: ``{"eval": {task: [{"solution", "base_status", "plus_status"}, ...]}}``
- HumanEval: ``<samples>_results.jsonl``: ``{"task_id", "completion", "result", "passed"}`` a line; EvalPlus's
  statuses are read on such lines as well. A sample must have a verdict: files of samples alone are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from engine.exchange.jsonstream import JsonReader, json_lines
from engine.exchange.records import ExchangeError, Options, Record, clean, outcome_of, shown
from engine.exchange.source import Source
from engine.verification import Outcome


def detect(source: Source) -> bool:
    head = source.head
    lines = b'"task_id"' in head and (b'"solution"' in head or b'"completion"' in head)
    return lines or _is_results_file(source)


def _is_results_file(source: Source) -> bool:
    """One object with everything, not a line for each sample."""
    return (
        re.match(rb'(\xef\xbb\xbf)?\s*\{\s*"(date|hash|eval)"', source.head) is not None
        and b'base_status"' in source.head
    )


def read(source: Source, options: Options) -> Iterator[Record]:
    if options.score not in ("", "base", "plus"):
        raise ExchangeError(
            f"The score {shown(options.score)} is unknown here; choose base or plus, or leave it empty."
        )
    if _is_results_file(source):
        yield from _read_results(source, options)
        return
    with source.open() as file:
        for place, line in json_lines(file, source.limits):
            yield _record(line, str(line.get("task_id", "")), options.score, place)


def _read_results(source: Source, options: Options) -> Iterator[Record]:
    with source.open() as file:
        reader = JsonReader(file, source.limits)
        for key in reader.items():
            if key != "eval":
                reader.value()
                continue
            for task in reader.items():
                place = reader.place
                solutions = reader.value()
                if not isinstance(solutions, list):
                    raise ExchangeError(f"{place}: expected a list of solutions for {shown(task)}.")
                for solution in solutions:
                    if not isinstance(solution, dict):
                        raise ExchangeError(f"{place}: a solution of {shown(task)} is no object.")
                    yield _record(solution, task, options.score, place)


def _record(line: dict[str, Any], task: str, score: str, place: str) -> Record:
    if not task:
        raise ExchangeError(f'{place}: no "task_id"; this is no line of HumanEval or EvalPlus results.')
    text = line.get("solution", line.get("completion"))
    outcome, reason = _verdict(line, score, place)
    return Record(
        clean(task), outcome, place, text=clean(text) if isinstance(text, str) else None, reason=clean(reason)
    )


def _verdict(line: dict[str, Any], score: str, place: str) -> tuple[Outcome, str]:
    """EvalPlus counts a sample as solved when it passes the base tests and, where there are any, the plus tests."""
    base, plus = line.get("base_status"), line.get("plus_status")
    statuses = {"base": [base], "plus": [base, plus]}.get(score, [base, plus] if plus is not None else [base])
    if base is not None:
        outcomes = [outcome_of(status) for status in statuses]
        if None in outcomes:
            raise ExchangeError(f"{place}: the status {shown(statuses)} is none of pass, fail and timeout.")
        worst = next((one for one in outcomes if one and one != "correct"), None)
        return worst or "correct", f"EvalPlus: {worst}" if worst else ""
    if "passed" in line:
        result = str(line.get("result", ""))
        if outcome_of(result) == "timeout":
            return "timeout", result
        outcome = outcome_of(line["passed"])
        if outcome is not None:
            return outcome, "" if outcome == "correct" else result
    raise ExchangeError(
        f"{place}: no verdict (base_status or passed). Evaluate the samples first and import the results file, or "
        "upload the problems and let Canopy draw and grade."
    )
