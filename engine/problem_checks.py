"""What a problem can carry besides its answer, for verifiers that run something. docs/problem-format.md is the manual.

``read_checks`` takes a line's record and returns plain JSON values under fixed names, whatever dialect the line used:

    tests             [{"input", "output"}]              programs that read stdin and write stdout
    seconds           float                              the time limit of one test
    entry_point       name of the function to write      HumanEval, with ``prompt`` (code before it) and ``test``
    asserts, setup    [statement], code before them      MBPP
    statement         theorem statement                  Rocq and Lean, with ``theorem`` (its name)
    repo, base_commit, test_patch, fail_to_pass, pass_to_pass, test_command, instance_id      patches
    solution, wrong   a right answer, [wrong answers]    for auditing verifiers
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

MAX_TESTS = 2_000
MAX_CODE = 1_000_000  # characters of one input, output, test or patch
MAX_SECONDS = 600.0
_TEST_KEYS = ("tests", "test_cases", "public_tests", "private_tests", "generated_tests")
_NAME = re.compile(r"[^\W\d]\w*")
_THEOREM = re.compile(r"\b(?:Theorem|Lemma|Example|Corollary|Proposition|Fact|theorem|lemma)\s+([^\W\d][\w.']*)")
_COMMIT = re.compile(r"[0-9a-fA-F]{7,64}")
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)


class CheckError(ValueError):
    """A key whose value cannot be used. ``key`` names it; the text goes on after it: "must be …"."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(problem)
        self.key = key


def read_checks(record: Mapping[str, Any]) -> dict[str, Any]:
    """The checks of a line's record; empty when it has none. Raises CheckError for a value of the wrong form."""
    lowered = {key.lower(): value for key, value in record.items()}  # SWE-bench comes with capitalised keys too
    checks: dict[str, Any] = {}
    for read in (_stdio, _function, _asserts, _proof, _patch, _examples):
        checks.update(read(lowered))
    return checks


def _stdio(record: Mapping[str, Any]) -> dict[str, Any]:
    """A list of objects or pairs, or CodeContests' two lists, under one or several names."""
    tests = [test for key in _TEST_KEYS if record.get(key) for test in _tests(key, record[key])]
    if not tests:
        return {}
    if len(tests) > MAX_TESTS:
        raise CheckError("tests", f"must be a list of 1 to {MAX_TESTS:,} tests")
    checks: dict[str, Any] = {"tests": tests}
    limit = record.get("time_limit") or record.get("timeout")
    if isinstance(limit, Mapping):  # CodeContests' {"seconds": 2, "nanos": 500000000}
        limit = (limit.get("seconds") or 0) + (limit.get("nanos") or 0) * 1e-9
    if limit:
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit <= MAX_SECONDS:
            raise CheckError("time_limit", f"must be a number of seconds up to {MAX_SECONDS:g}")
        checks["seconds"] = float(limit)
    return checks


def _tests(key: str, value: Any) -> list[dict[str, str]]:
    if isinstance(value, Mapping):
        inputs, outputs = value.get("input"), value.get("output")
        if not (isinstance(inputs, list) and isinstance(outputs, list) and len(inputs) == len(outputs)):
            raise CheckError(key, 'must have two lists of the same length, "input" and "output"')
        value = list(zip(inputs, outputs, strict=True))
    if not isinstance(value, list):
        raise CheckError(key, "must be a list of tests")
    return [_test(key, number, test) for number, test in enumerate(value, start=1)]


def _test(key: str, number: int, test: Any) -> dict[str, str]:
    pair = (test.get("input"), test.get("output")) if isinstance(test, Mapping) else test
    if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):
        raise CheckError(key, f'must hold objects {{"input": text, "output": text}}; number {number} is different')
    for part in pair:
        if len(part) > MAX_CODE:
            raise CheckError(key, f"holds more than {MAX_CODE:,} characters in number {number}")
    return {"input": pair[0], "output": pair[1]}


def _function(record: Mapping[str, Any]) -> dict[str, Any]:
    """HumanEval: ``test`` defines check(candidate)."""
    if not record.get("entry_point"):
        return {}
    name = _text(record, "entry_point")
    if not _NAME.fullmatch(name):
        raise CheckError("entry_point", "must be the name of a function")
    if not isinstance(record.get("test"), str):
        raise CheckError("test", "must be the code of a function check(candidate), because there is an entry_point")
    return {"entry_point": name, "test": _text(record, "test"), "prompt": _text(record, "prompt", default="")}


def _asserts(record: Mapping[str, Any]) -> dict[str, Any]:
    """MBPP: ``test_list`` of statements, after ``test_setup_code`` and ``test_imports``."""
    if not record.get("test_list"):
        return {}
    imports = _texts(record, "test_imports")
    return {
        "asserts": _texts(record, "test_list"),
        "setup": "\n".join([*imports, _text(record, "test_setup_code", default="")]),
    }


def _proof(record: Mapping[str, Any]) -> dict[str, Any]:
    """``formal_statement``, or ``statement`` with ``thm``: everything before the proof, the last theorem being it."""
    key = "formal_statement" if record.get("formal_statement") else "statement"
    if not record.get(key) or (key == "statement" and not (record.get("thm") or record.get("theorem"))):
        return {}
    statement = _text(record, key)
    if isinstance(record.get("header"), str) and record["header"].strip() not in statement:
        statement = f"{record['header'].rstrip()}\n\n{statement}"
    named = record.get("thm") or record.get("theorem")
    found = _THEOREM.findall(statement)
    if not found or (isinstance(named, str) and named not in found):
        raise CheckError(key, "must state a theorem or lemma with a name")
    return {"statement": statement, "theorem": named if isinstance(named, str) else found[-1]}


def _patch(record: Mapping[str, Any]) -> dict[str, Any]:
    """SWE-bench: FAIL_TO_PASS and PASS_TO_PASS are lists, or such lists as JSON text."""
    if not record.get("repo"):
        return {}
    repo, commit = _text(record, "repo"), _text(record, "base_commit")
    if not _REPOSITORY.fullmatch(repo):
        raise CheckError("repo", "must be a name such as owner/project")
    if not _COMMIT.fullmatch(commit):
        raise CheckError("base_commit", "must be a commit's hexadecimal name")
    fail_to_pass = _texts(record, "fail_to_pass")
    if not fail_to_pass:
        raise CheckError("FAIL_TO_PASS", "must name at least one test")
    checks: dict[str, Any] = {
        "repo": repo,
        "base_commit": commit,
        "test_patch": _text(record, "test_patch", default=""),
        "fail_to_pass": fail_to_pass,
        "pass_to_pass": _texts(record, "pass_to_pass"),
    }
    for key in ("instance_id", "test_command"):
        if record.get(key):
            checks[key] = _text(record, key)
    return checks


def _examples(record: Mapping[str, Any]) -> dict[str, Any]:
    """One answer that is right and some that are wrong, under the names that published sets use."""
    checks: dict[str, Any] = {}
    for key in (
        "solution",
        "canonical_solution",
        "reference",
        "patch",
        "proof",
        *(["code"] if record.get("test_list") else []),
    ):
        if isinstance(record.get(key), str) and record[key].strip():
            checks["solution"] = _text(record, key)
            break
    if record.get("wrong"):
        checks["wrong"] = _texts(record, "wrong")
    return checks


def _text(record: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = record.get(key, default)
    if value is None:
        value = default
    if not isinstance(value, str):
        raise CheckError(key, "must be text")
    if len(value) > MAX_CODE:
        raise CheckError(key, f"is longer than {MAX_CODE:,} characters")
    return value


def _texts(record: Mapping[str, Any], key: str) -> list[str]:
    value = record.get(key) or []
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = [value]
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value) or len(value) > MAX_TESTS:
        raise CheckError(key, f"must be a list of at most {MAX_TESTS:,} texts")
    return [str(each) for each in value]
