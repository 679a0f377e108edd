"""The rows of published data sets -> lines of Canopy's problem format.

Each function takes a row as the data set's own files and its hub version have it. Extra material for verifiers goes
under the names that docs/problem-format.md gives.
"""

from __future__ import annotations

import json
from typing import Any

from engine.tasks.task import Row


class RowError(ValueError):
    """A row that is not of the data set it should be of; the message says what is missing."""


def gsm8k(row: Row) -> dict[str, Any]:
    return {"question": _text(row, "question"), "answer": _text(row, "answer")}


def math(row: Row) -> dict[str, Any]:
    r"""``problem`` and ``answer``, or the content of the last ``\boxed{}`` of ``solution``."""
    answer = row.get("answer")
    if not isinstance(answer, str):
        answer = last_boxed(_text(row, "solution"))
        if answer is None:
            raise RowError(r"the solution has no \boxed{...}")
    return _with_id(row, {"question": _text(row, "problem", "question", "prompt"), "answer": answer})


def last_boxed(text: str) -> str | None:
    r"""The content of the last ``\boxed{...}``, braces matched; None when there is none.

    >>> last_boxed(r"so $\boxed{1}$, that is $\boxed{\frac{1}{2}}$.")
    '\\frac{1}{2}'
    """
    start = text.rfind("\\boxed")
    if start < 0:
        return None
    opening = text.find("{", start)
    if opening < 0:
        return None
    depth = 0
    for at in range(opening, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return text[opening + 1 : at]
    return None


def human_eval(row: Row) -> dict[str, Any]:
    prompt = _text(row, "prompt")
    line = {
        "id": _text(row, "task_id"),
        "question": prompt,
        "prompt": prompt,
        "entry_point": _text(row, "entry_point"),
        "test": _text(row, "test"),
    }
    solution = row.get("canonical_solution")
    return line | ({"solution": solution} if isinstance(solution, str) else {})


def mbpp(row: Row) -> dict[str, Any]:
    """The tests are part of the question: without them a model cannot know the function's name."""
    tests = _texts(row, "test_list")
    # The sanitized version calls the text "prompt" and the set-up "test_imports".
    text = _text(row, "text", "prompt")
    line = {
        "id": f"MBPP/{row.get('task_id')}",
        "question": f"{text}\n\n" + "\n".join(tests),
        "test_list": tests,
        "test_setup_code": str(row.get("test_setup_code") or ""),
        "test_imports": _texts(row, "test_imports") if row.get("test_imports") else [],
    }
    return line | ({"solution": row["code"]} if isinstance(row.get("code"), str) else {})


def code_contests(row: Row) -> dict[str, Any] | None:
    """All public, private and generated tests, in this order. Problems that need a picture are left out, as in the
    paper: their text holds an image tag."""
    question = _text(row, "description", "statement", "question")
    if "<image>" in question:
        return None
    tests = _pairs(row.get("tests") or row.get("test_cases"))
    for key in ("public_tests", "private_tests", "generated_tests"):
        tests += _pairs(row.get(key))
    if not tests:
        raise RowError("there are no tests")
    line = _with_id(row, {"question": question, "tests": tests})
    for key in ("time_limit", "reference", "solution"):
        if row.get(key):
            line["solution" if key == "reference" else key] = row[key]
    solution = _python_solution(row.get("solutions"))
    return line | ({"solution": solution} if solution and "solution" not in line else {})


def _pairs(value: Any) -> list[dict[str, str]]:
    if not value:
        return []
    if isinstance(value, dict):  # two lists side by side
        value = [
            {"input": i, "output": o} for i, o in zip(value.get("input", []), value.get("output", []), strict=True)
        ]
    return [{"input": str(one["input"]), "output": str(one["output"])} for one in value]


def _python_solution(solutions: Any) -> str | None:
    """The first right solution in Python 3 (language 3 in the data set), for audits of the verifier."""
    if not isinstance(solutions, dict):
        return None
    languages, texts = solutions.get("language") or [], solutions.get("solution") or []
    return next((text for language, text in zip(languages, texts, strict=False) if language == 3), None)


def minif2f(row: Row) -> dict[str, Any]:
    """Lean (``formal_statement``, ``header``) or Rocq (``statement``, ``thm``): the statement is the question."""
    if "formal_statement" in row:
        statement = _text(row, "formal_statement").removesuffix("sorry").rstrip()
        line = {"id": _text(row, "name", "id"), "question": statement, "formal_statement": statement}
        return line | ({"header": row["header"]} if isinstance(row.get("header"), str) else {})
    statement = _text(row, "statement")
    # A few files end in "Proof.": what follows is the model's part.
    statement = statement.split("\nProof.")[0].rstrip()
    split = f"{row['split']}/" if row.get("split") else ""
    name = _text(row, "thm", "theorem", "name")
    return {"id": f"{split}{_text(row, 'name', 'thm')}", "question": statement, "statement": statement, "thm": name}


def swe_bench(row: Row) -> dict[str, Any]:
    lowered = {str(key).lower(): value for key, value in row.items()}  # some copies have capitalised keys
    line = {
        "id": _text(lowered, "instance_id"),
        "question": _text(lowered, "problem_statement"),
        "repo": _text(lowered, "repo"),
        "base_commit": _text(lowered, "base_commit"),
        "test_patch": _text(lowered, "test_patch"),
        "FAIL_TO_PASS": _texts(lowered, "fail_to_pass"),
        "PASS_TO_PASS": _texts(lowered, "pass_to_pass"),
        "instance_id": _text(lowered, "instance_id"),
    }
    return line | ({"solution": lowered["patch"]} if isinstance(lowered.get("patch"), str) else {})


def _with_id(row: Row, line: dict[str, Any]) -> dict[str, Any]:
    name = next((row[key] for key in ("id", "unique_id", "name", "idx") if isinstance(row.get(key), str | int)), None)
    return line if name is None else {"id": name, **line}


def _text(row: Row, *keys: str) -> str:
    for key in keys:
        if isinstance(row.get(key), str) and row[key].strip():
            return str(row[key])
    found = ", ".join(map(repr, list(row)[:8])) or "nothing"
    raise RowError(f"there is no text {keys[0]!r} (the row has {found})")


def _texts(row: Row, key: str) -> list[str]:
    value = row.get(key)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise RowError(f"{key!r} is no list") from None
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise RowError(f"{key!r} is no list of texts")
    return value
