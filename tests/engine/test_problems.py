from __future__ import annotations

import ast
import json
import operator
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import problems
from engine.problems import BUNDLED, Problem, ProblemFormatError, bundled, parse_bytes, parse_jsonl

OPERATORS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}


def compute(node: ast.expr) -> int:
    """The value of an expression of whole numbers; every division must come out even."""
    match node:
        case ast.Constant(value=int(value)):
            return value
        case ast.BinOp(left=left, op=ast.FloorDiv(), right=right):
            quotient, rest = divmod(compute(left), compute(right))
            assert rest == 0, f"{ast.unparse(node)} does not come out even"
            return quotient
        case ast.BinOp(left=left, op=op, right=right):
            return OPERATORS[type(op)](compute(left), compute(right))
    raise AssertionError(f"unexpected {ast.unparse(node)}")


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_answers_are_what_their_expressions_give(name: str) -> None:
    lines = (Path(problems.__file__).parent / "data" / f"{name}.jsonl").read_text().splitlines()
    for line in lines:
        record = json.loads(line)
        assert compute(ast.parse(record["expression"], mode="eval").body) == int(record["answer"]), record["id"]
        assert int(record["answer"]) > 0


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_expressions_use_the_numbers_of_their_question(name: str) -> None:
    """Bare sums repeat all their numbers; a word problem's first number is one of its expression's."""
    lines = (Path(problems.__file__).parent / "data" / f"{name}.jsonl").read_text().splitlines()
    for line in lines:
        record = json.loads(line)
        asked, used = (re.findall(r"\d+", record[key]) for key in ("question", "expression"))
        if record["question"].startswith("What is"):
            assert asked == used, record["id"]
        assert asked[0] in used, record["id"]


def test_the_bundled_set_is_as_large_as_it_says_and_mixes_its_levels() -> None:
    found = bundled("arithmetic-60")
    assert len(found) == 60
    assert len({problem.question for problem in found}) == 60
    assert [problem.uid.rsplit("-", 1)[0] for problem in found[:3]] == ["one-step", "two-step", "three-step"]


def test_an_unknown_bundled_set_is_named() -> None:
    with pytest.raises(KeyError, match="there are: arithmetic-60"):
        bundled("nothing")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"question": "2+2?", "answer": "4"}', Problem("1", "2+2?", "4")),
        ('{"question": "2+2?", "answer": 4}', Problem("1", "2+2?", "4")),
        ('{"id": 17, "problem": "2+2?", "answer": "4"}', Problem("17", "2+2?", "4")),
        ('{"unique_id": "a/b", "prompt": "2+2?", "answer": "4", "level": 1}', Problem("a/b", "2+2?", "4")),
        ('{"question": "Q", "answer": "6 * 12 = 72.\\n#### 72"}', Problem("1", "Q", "72")),
        ('{"question": "a\\u0000b\\ud800", "answer": "4"}', Problem("1", "ab?", "4")),
        ('{"question": "two\\u2028lines", "answer": "4"}', Problem("1", "two\u2028lines", "4")),
        (
            '{"question": "Q", "tests": [{"input": "1\\n", "output": " 2"}, ["3", "4"]], "time_limit": 2}',
            Problem(
                "1",
                "Q",
                checks={
                    "tests": [{"input": "1\n", "output": " 2"}, {"input": "3", "output": "4"}],
                    "seconds": 2.0,
                },
            ),
        ),
        (
            '{"name": "1_A", "description": "Q", "public_tests": {"input": ["1"], "output": ["2"]}, '
            '"generated_tests": {"input": ["3"], "output": ["4"]}, "time_limit": {"seconds": 1, "nanos": 500000000}}',
            Problem(
                "1_A",
                "Q",
                checks={"tests": [{"input": "1", "output": "2"}, {"input": "3", "output": "4"}], "seconds": 1.5},
            ),
        ),
        (
            '{"task_id": "HumanEval/0", "prompt": "def f():\\n    1\\n", "entry_point": "f", '
            '"test": "def check(c): c()", "canonical_solution": "    return 1\\n"}',
            Problem(
                "HumanEval/0",
                "def f():\n    1",
                checks={
                    "entry_point": "f",
                    "test": "def check(c): c()",
                    "prompt": "def f():\n    1\n",
                    "solution": "    return 1\n",
                },
            ),
        ),
        (
            '{"task_id": 2, "text": "Q", "code": "f = 1", "test_list": ["assert f"], "test_setup_code": "a = 1"}',
            Problem("2", "Q", checks={"asserts": ["assert f"], "setup": "a = 1", "solution": "f = 1"}),
        ),
        (
            '{"name": "t1", "thm": "t1", "statement": "Theorem t1 : True."}',
            Problem("t1", "Theorem t1 : True.", checks={"statement": "Theorem t1 : True.", "theorem": "t1"}),
        ),
        (
            '{"id": "l", "formal_statement": "theorem x : 1 = 1 := by sorry", "header": "import Mathlib"}',
            Problem(
                "l",
                "theorem x : 1 = 1 := by sorry",
                checks={"statement": "import Mathlib\n\ntheorem x : 1 = 1 := by sorry", "theorem": "x"},
            ),
        ),
        (
            '{"Instance_id": "a__b-1", "Repo": "a/b", "Base_commit": "abcdef0", "Problem_statement": "Q", '
            '"Patch": "P", "Test_patch": "T", "FAIL_TO_PASS": "[\\"t1\\"]", "PASS_TO_PASS": "[]"}',
            Problem(
                "a__b-1",
                "Q",
                checks={
                    "repo": "a/b",
                    "base_commit": "abcdef0",
                    "test_patch": "T",
                    "fail_to_pass": ["t1"],
                    "pass_to_pass": [],
                    "instance_id": "a__b-1",
                    "solution": "P",
                },
            ),
        ),
        (
            '{"question": "Q", "answer": "4", "solution": "so 4", "wrong": ["5", "6"]}',
            Problem("1", "Q", "4", {"solution": "so 4", "wrong": ["5", "6"]}),
        ),
    ],
)
def test_accepted_lines(line: str, problem: Problem) -> None:
    assert parse_jsonl(line) == [problem]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no problems"),
        ('{"question": "a", "answer": "1"}\n\n{"question": "b"}', 'Line 3: add the key "answer"'),
        ('{"q": "a", "answer": "1"}', "Line 1: add the key \"question\" (the line has 'q', 'answer')."),
        ('{"question": "a", "answer": "1"', "Line 1: not valid JSON (Expecting ',' delimiter at column 32)"),
        ('[{"question": "a"}]', "Line 1: expected an object"),
        ('{"question": ["a"], "answer": "1"}', 'Line 1: "question" must be text, not list.'),
        ('{"question": "  ", "answer": "1"}', 'Line 1: "question" is empty'),
        ('{"question": "a", "answer": "7 ####"}', 'Line 1: nothing follows "####"'),
        ('{"question": "a", "answer": true}', 'Line 1: "answer" must be text'),
        ('{"id": "x", "question": "a", "answer": 1}\n' * 2, "Line 2: the id 'x' was already used on line 1"),
        ('{"id": {}, "question": "a", "answer": 1}', 'Line 1: "id" must be'),
        ('{"question": "%s", "answer": "1"}' % ("x" * 50_001), 'Line 1: "question" is longer than 50,000'),
        ('{"question": "a", "answer": "%s"}' % ("1" * 2_001), 'Line 1: "answer" is longer than 2,000'),
        ("[" * 100_000, "Line 1: not valid JSON"),
        ('{"question": "a", "solution": "b"}', 'Line 1: add the key "answer"'),
        ('{"question": "a", "tests": 3}', 'Line 1: "tests" must be a list'),
        ('{"question": "a", "tests": [["1", 2]]}', 'Line 1: "tests" must hold objects'),
        ('{"question": "a", "tests": {"input": ["1"], "output": []}}', 'Line 1: "tests" must have two lists'),
        ('{"question": "a", "tests": [["1", "2"]], "time_limit": -1}', 'Line 1: "time_limit" must be a number'),
        ('{"question": "a", "entry_point": "f g"}', 'Line 1: "entry_point" must be the name'),
        ('{"question": "a", "entry_point": "f"}', 'Line 1: "test" must be the code'),
        ('{"question": "a", "test_list": [1]}', 'Line 1: "test_list" must be a list'),
        ('{"statement": "Check nat.", "thm": "x"}', 'Line 1: "statement" must state a theorem'),
        ('{"question": "a", "repo": "../x", "base_commit": "abcdef0"}', 'Line 1: "repo" must be a name'),
        ('{"question": "a", "repo": "x", "base_commit": "HEAD"}', 'Line 1: "base_commit" must be'),
        ('{"question": "a", "repo": "x", "base_commit": "abcdef0"}', 'Line 1: "FAIL_TO_PASS" must name'),
    ],
)
def test_the_first_bad_line_is_named(text: str, message: str) -> None:
    with pytest.raises(ProblemFormatError) as caught:
        parse_jsonl(text)
    assert message in str(caught.value)


def test_too_many_problems_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problems, "MAX_PROBLEMS", 2)
    with pytest.raises(ProblemFormatError, match="More than 2 problems"):
        parse_jsonl('{"question": "a", "answer": 1}\n' * 3)


def test_files_may_begin_with_a_byte_order_mark_and_must_be_utf8() -> None:
    line = '{"question": "é", "answer": "1"}'
    assert parse_bytes(line.encode("utf-8-sig")) == [Problem("1", "é", "1")]
    assert parse_bytes(line.encode().replace(b"\n", b"\r\n")) == [Problem("1", "é", "1")]
    with pytest.raises(ProblemFormatError, match="Line 2: not UTF-8"):
        parse_bytes(b"\n" + line.encode("latin-1"))


def test_a_file_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problems, "MAX_BYTES", 10)
    with pytest.raises(ProblemFormatError, match="larger than"):
        parse_bytes(b"x" * 11)


@given(st.text() | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_any_other_text_is_a_format_error(text: str) -> None:
    try:
        parse_jsonl(text)
    except ProblemFormatError as error:
        assert str(error)


stored_text = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=50)


@given(st.lists(st.tuples(stored_text, stored_text), min_size=1, max_size=5))
def test_what_is_written_is_read(pairs: list[tuple[str, str]]) -> None:
    pairs = [(q.strip() or "q", a.replace("#", "").strip() or "a") for q, a in pairs]
    lines = "\n".join(json.dumps({"question": question, "answer": answer}) for question, answer in pairs)
    assert [(problem.question, problem.answer) for problem in parse_jsonl(lines)] == pairs
