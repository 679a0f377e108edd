"""Problems with known answers: the JSONL format people bring, and the set that ships with the project.

The format is documented in docs/problem-format.md. It also accepts the lines of published sets: GSM8K (``answer`` ends
in ``#### 72``), MATH (``prompt`` or ``problem`` with ``answer``), CodeContests, HumanEval, MBPP, miniF2F, SWE-bench.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.problem_checks import CheckError, read_checks

MAX_BYTES = 20 * 1024 * 1024
MAX_PROBLEMS = 10_000
MAX_QUESTION = 50_000  # characters; the longest issue of SWE-bench Lite has 24,770
MAX_ANSWER = 2_000
MAX_UID = 100

BUNDLED = {"arithmetic-60": "60 short arithmetic and word problems, from one step to three"}
_DATA = Path(__file__).parent / "data"
_QUESTION_KEYS = (
    "question",
    "problem",
    "prompt",
    "problem_statement",
    "description",
    "text",
    "statement",
    "formal_statement",
)
_ID_KEYS = ("id", "uid", "unique_id", "task_id", "instance_id", "name")


class ProblemFormatError(ValueError):
    """The text is no problem set; the message names the first bad line and what to do."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A question with its gold answer, or with ``checks`` (engine.problem_checks), or with both. ``uid`` is unique
    within its set."""

    uid: str
    question: str
    answer: str = ""
    checks: dict[str, Any] = field(default_factory=dict)


def bundled(name: str) -> list[Problem]:
    """The set called ``name`` that ships with the project; KeyError lists the names there are."""
    if name not in BUNDLED:
        raise KeyError(f"no bundled problem set is called {name!r}; there are: {', '.join(BUNDLED)}")
    return parse_jsonl((_DATA / f"{name}.jsonl").read_text(encoding="utf-8"))


def parse_bytes(content: bytes) -> list[Problem]:
    """``parse_jsonl`` for an uploaded file: UTF-8, with or without a byte order mark."""
    if len(content) > MAX_BYTES:
        raise ProblemFormatError(f"The file is larger than {MAX_BYTES // 2**20} MB; split it into several sets.")
    try:
        return parse_jsonl(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ProblemFormatError(f"Line {line}: not UTF-8 text; save the file as UTF-8.") from None


def parse_jsonl(text: str) -> list[Problem]:
    """One JSON object a line -> problems, in file order. Blank lines are skipped.

    Raises ProblemFormatError for the first line that is wrong, for more than MAX_PROBLEMS, and for none at all.
    """
    problems: list[Problem] = []
    line_of: dict[str, int] = {}
    for number, line in _lines(text):
        problem = _parse_line(line, number)
        if problem.uid in line_of:
            raise ProblemFormatError(
                f"Line {number}: the id {problem.uid!r} was already used on line {line_of[problem.uid]}; "
                "give every problem its own id, or leave ids out."
            )
        line_of[problem.uid] = number
        problems.append(problem)
        if len(problems) > MAX_PROBLEMS:
            raise ProblemFormatError(f"More than {MAX_PROBLEMS:,} problems; split the file into several sets.")
    if not problems:
        raise ProblemFormatError('The file holds no problems; write one object a line: {"question": …, "answer": …}.')
    return problems


def _lines(text: str) -> Iterator[tuple[int, str]]:
    # Not splitlines(): that also breaks at U+2028 and others, which JSON allows inside a string.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line


def _parse_line(line: str, number: int) -> Problem:
    record = _load(line, number)
    record = {key.lower(): value for key, value in record.items()} | record  # SWE-bench also comes capitalised
    question = _text(record, _QUESTION_KEYS, number, MAX_QUESTION)
    checks = _checks(record, number)
    # Tests or a statement decide without a gold answer; a known solution alone does not.
    needs_answer = not set(checks) - {"solution", "wrong"}
    answer = gold_answer(_text(record, ("answer",), number, MAX_QUESTION)) if needs_answer or "answer" in record else ""
    if needs_answer and not answer:
        raise ProblemFormatError(f'Line {number}: nothing follows "####" in "answer"; write the final answer there.')
    if len(answer) > MAX_ANSWER:
        raise ProblemFormatError(f'Line {number}: "answer" is longer than {MAX_ANSWER:,} characters; shorten it.')
    uid = next((record[key] for key in _ID_KEYS if record.get(key) is not None), number)
    if isinstance(uid, bool) or not isinstance(uid, str | int) or not 0 < len(clean := _clean(str(uid))) <= MAX_UID:
        raise ProblemFormatError(f'Line {number}: "id" must be a number or a text of 1 to {MAX_UID} characters.')
    return Problem(clean, question, answer, checks)


def _checks(record: dict[str, Any], number: int) -> dict[str, Any]:
    try:
        checks: dict[str, Any] = _clean_all(read_checks(record))
    except CheckError as error:
        raise ProblemFormatError(f'Line {number}: "{error.key}" {error}; see docs/problem-format.md.') from None
    return checks


def _load(line: str, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        detail = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
        raise ProblemFormatError(
            f"Line {number}: not valid JSON ({detail}); write one whole object on each line."
        ) from None
    if not isinstance(record, dict):
        raise ProblemFormatError(
            f'Line {number}: expected an object such as {{"question": "2 + 2?", "answer": "4"}}, '
            f"got a {type(record).__name__}."
        )
    return record


def _text(record: dict[str, Any], keys: tuple[str, ...], number: int, longest: int) -> str:
    """The first of ``keys`` that the record has, as clean text."""
    key = next((key for key in keys if key in record), None)
    if key is None:
        found = ", ".join(map(repr, list(record)[:6])) or "no keys"
        raise ProblemFormatError(f'Line {number}: add the key "{keys[0]}" (the line has {found[:200]}).')
    value = record[key]
    if isinstance(value, int | float) and not isinstance(value, bool) and key == "answer":
        value = str(value)
    if not isinstance(value, str):
        raise ProblemFormatError(f'Line {number}: "{key}" must be text, not {type(value).__name__}.')
    value = _clean(value)
    if not value:
        raise ProblemFormatError(f'Line {number}: "{key}" is empty; write the text there.')
    if len(value) > longest:
        raise ProblemFormatError(f'Line {number}: "{key}" is longer than {longest:,} characters; shorten it.')
    return value


def gold_answer(answer: str) -> str:
    """The final answer: what follows the last ``####`` in GSM8K's worked solutions, else the whole text."""
    return answer.rsplit("####", 1)[-1].strip()


def _clean(text: str) -> str:
    return _storable(text).strip()


def _clean_all(value: Any) -> Any:
    """Every text in a JSON value made storable; white space stays, code and tests may depend on it."""
    if isinstance(value, str):
        return _storable(value)
    if isinstance(value, list):
        return [_clean_all(each) for each in value]
    if isinstance(value, dict):
        return {key: _clean_all(each) for key, each in value.items()}
    return value


def _storable(text: str) -> str:
    """Without what PostgreSQL (NUL) or UTF-8 (lone surrogates, legal in JSON escapes) cannot store."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
