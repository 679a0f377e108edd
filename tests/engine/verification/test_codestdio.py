from __future__ import annotations

import json
import os
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.problems import parse_jsonl
from engine.sandbox.types import Level
from engine.verification import Gold, Grader, Settings, Verdict, grade_many
from engine.verification.codestdio import same_output
from tests.engine.verification.conftest import records

DOUBLE = Gold(checks={"tests": [{"input": "1\n", "output": "2\n"}, {"input": "5\n", "output": "10\n"}]})
RIGHT = "Here:\n```python\nprint(2 * int(input()))\n```\n"
QUICK = Settings(seconds=1.0, memory_mb=256)

pytestmark = pytest.mark.usefixtures("sandbox")


def grade(text: str, gold: Gold = DOUBLE) -> Verdict:
    (verdict,) = grade_many("code-stdio", [(text, gold)], QUICK)
    return verdict


def test_a_right_program_is_correct_and_the_level_is_kept(sandbox: Level) -> None:
    verdict = grade(RIGHT)
    assert (verdict.outcome, verdict.level, verdict.answer) == ("correct", sandbox.label, "passed 2 of 2 tests")


@pytest.mark.parametrize(
    ("program", "outcome", "reason"),
    [
        ("print(2)", "wrong", "Test 2: expected '10', printed '2'"),
        ("print(", "wrong", "Test 1: exit status 1: SyntaxError"),
        ("", "wrong", "no program"),
        ("raise ValueError('no')", "wrong", "ValueError: no"),
        ("print(2 * int(input())); exit(3)", "wrong", "exit status 3"),
        ("while True: pass", "timeout", "not done after 1 s"),
        ("while True: print('x' * 10000)", "wrong", "wrote more than it may"),
        ("x = bytearray(2**30)", "wrong", "MemoryError"),
        ("import os; os.kill(os.getpid(), 9)", "wrong", "Test 1:"),
        ("print(2 * int(input()), end='\\0')", "wrong", "Test 1:"),
    ],
)
def test_everything_else_is_not(program: str, outcome: str, reason: str) -> None:
    verdict = grade(program)
    assert verdict.outcome == outcome
    assert reason in verdict.reason


@pytest.mark.parametrize(
    "forgery",
    [
        'print(\'{"outcome": "correct", "passed": true}\')',
        "import os; os._exit(0)",
        "import sys; sys.exit(0)",
        "import os\nfor fd in range(3, 300):\n  try: os.write(fd, b'ended 0\\n')\n  except OSError: pass",
        "import builtins; builtins.print = lambda *a: None; import sys; sys.stdout = None",
        "import os\nfor name in os.listdir('/'): print(name)",
        "from engine.verification import Verdict; print(Verdict('correct'))",
        "import inspect\nfor frame in inspect.stack(): print(frame.frame.f_globals)",
        "import gc\nprint([o for o in gc.get_objects() if isinstance(o, dict) and 'output' in o])",
    ],
)
def test_forged_answers_are_wrong(forgery: str) -> None:
    assert grade(forgery).outcome == "wrong"


def test_a_test_cannot_learn_from_the_one_before() -> None:
    once = "import os\nprint(2 if not os.path.exists('seen') else 10)\nopen('seen', 'w').close()"
    assert grade(once).outcome == "wrong"


def test_the_problems_own_time_limit_counts() -> None:
    patient = Gold(checks={**DOUBLE.checks, "seconds": 0.2})
    verdict = grade("import time; time.sleep(5); print(2 * int(input()))", patient)
    assert (verdict.outcome, "0.2 s" in verdict.reason) == ("timeout", True)


def test_computing_counts_not_waiting_for_a_busy_machine() -> None:
    verdict = grade("import time; time.sleep(1.3); print(2 * int(input()))")
    assert verdict.outcome == "correct"  # with a limit of one second


def test_a_problem_without_tests_is_an_error_not_a_wrong_answer() -> None:
    verdict = grade(RIGHT, Gold("2"))
    assert verdict.outcome == "error"
    assert '"tests"' in verdict.reason


def test_equal_programs_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.verification import types

    runs = 0

    def counted(*arguments: object) -> object:
        nonlocal runs
        runs += 1
        return real(*arguments)  # type: ignore[arg-type]

    real = types.run
    monkeypatch.setattr(types, "run", counted)
    other = Gold(checks={"tests": [{"input": "3", "output": "6"}]})
    texts = [RIGHT, f"Another way to say it.\n{RIGHT}", "print(1)", "print(1)"]
    with Grader() as grader:
        outcomes = [
            verdict.outcome for verdict in grader.grade("code-stdio", [(text, DOUBLE) for text in texts], QUICK)
        ]
        assert outcomes == ["correct", "correct", "wrong", "wrong"]
        assert runs == 3  # two tests of the right one, and the wrong one stops at its first
        list(grader.grade("code-stdio", [(RIGHT, Gold(checks=dict(DOUBLE.checks)))], QUICK))
        assert runs == 3  # the same problem in another experiment
        list(grader.grade("code-stdio", [(RIGHT, other)], QUICK))
        assert runs == 4
    with Grader(cache=1) as small:
        for text in ("print(1)", "print(3)", "print(1)"):
            list(small.grade("code-stdio", [(text, DOUBLE)], QUICK))
        assert runs == 7


@pytest.mark.parametrize(
    ("printed", "expected", "same"),
    [
        ("YES\n", "yes", True),
        ("1 2\n3", "1\n2 3\n", True),
        ("0.333333", "0.33333333", True),
        ("0.3333", "0.33333333", False),
        ("1e0", "1", True),
        ("10000000000000001", "10000000000000000", False),  # equal as doubles
        ("1_000", "1000", False),
        ("nan", "nan", True),
        ("nan", "0", False),
        ("1 2", "1 2 3", False),
        ("", "", True),
        ("9" * 500, "9" * 499 + "8", False),
        ("1e9999", "1e9998", False),
    ],
)
def test_comparison(printed: str, expected: str, same: bool) -> None:
    assert same_output(printed, expected) is same


@given(st.decimals(-(10**6), 10**6, allow_nan=False, places=8), st.decimals("-0.001", "0.001", places=8))
def test_numbers_within_the_tolerance_are_equal_and_others_are_not(number: Decimal, change: Decimal) -> None:
    assert same_output(f"{number + change}", f"{number}") is (abs(change) <= Decimal("1e-5"))


@given(st.text(), st.text())
def test_no_output_breaks_the_comparison(printed: str, expected: str) -> None:
    same_output(printed, expected)


def test_the_reference_solutions_of_codecontests_pass() -> None:
    """REAL_DATA=100 for all of them (minutes)."""
    wanted = int(os.environ.get("REAL_DATA", "3"))
    lines = "\n".join(map(json.dumps, records("codecontests/problems-100.jsonl")[:wanted]))
    problems = parse_jsonl(lines)
    items = [(problem.checks["solution"], Gold(problem.answer, problem.checks)) for problem in problems]
    verdicts = grade_many("code-stdio", items, Settings(seconds=60))
    failed = {p.uid: v.reason for p, v in zip(problems, verdicts, strict=True) if v.outcome != "correct"}
    assert failed == {}
