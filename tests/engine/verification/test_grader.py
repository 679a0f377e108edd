"""The grader survives what models write."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.sandbox import probe
from engine.sandbox.probe import Probe
from engine.sandbox.types import Level
from engine.verification import Gold, Grader, Verdict, grade_many

HOSTILE = "It is 9^9^9^9"


def outcomes(verdicts: list[Verdict]) -> list[str]:
    return [verdict.outcome for verdict in verdicts]


def test_verdicts_come_in_order_and_with_their_time() -> None:
    verdicts = grade_many("math-verify", [("#### 4", Gold("4")), ("$\\frac12$", Gold("0.5")), ("#### 5", Gold("4"))])
    assert outcomes(verdicts) == ["correct", "correct", "wrong"]
    assert all(verdict.seconds > 0 for verdict in verdicts)


def test_a_hang_is_killed_and_the_next_answer_graded() -> None:
    ticks: list[int] = []
    with Grader(item_seconds=1.0) as grader:
        items = [(HOSTILE, Gold("7")), ("$(10!)!!!$", Gold("7")), ("#### 4", Gold("4"))]
        verdicts = list(grader.grade("math-verify", items, alive=lambda: ticks.append(1)))
    assert outcomes(verdicts) == ["timeout", "timeout", "correct"]
    assert "1 s" in verdicts[0].reason
    assert ticks  # the runner is not taken for hung meanwhile


def test_a_crash_is_an_error_and_the_next_answer_is_graded() -> None:
    with Grader(item_seconds=30.0) as grader:
        (first,) = grader.grade("math-verify", [("#### 4", Gold("4"))])
        child = grader._child
        assert child is not None
        verdicts = list(
            grader.grade("math-verify", [(HOSTILE, Gold("7")), ("#### 4", Gold("4"))], alive=child.process.kill)
        )
    assert outcomes([first, *verdicts]) == ["correct", "error", "correct"]
    assert "crashed" in verdicts[0].reason


def test_a_child_that_died_while_idle_is_replaced_without_a_trace() -> None:
    with Grader() as grader:
        list(grader.grade("math-verify", [("#### 4", Gold("4"))]))
        assert grader._child is not None
        grader._child.process.kill()
        grader._child.process.wait()
        assert outcomes(list(grader.grade("math-verify", [("#### 4", Gold("4"))]))) == ["correct"]


def test_memory_is_limited() -> None:
    """Run in a child of its own: the limit is for good."""
    import subprocess
    import sys

    code = (
        "from engine.verification import child\n"
        "child._limit(child.resource.RLIMIT_AS, 2**29)\n"
        "class Greedy:\n"
        "    def grade(self, text, gold, bench): return bytearray(2**31)\n"
        "child.get_verifier = lambda name: Greedy()\n"
        "print(child._grade({'verifier': 'greedy', 'text': '', 'gold': ''}).reason)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "out of memory" in done.stdout


def test_paper_mode_needs_no_child() -> None:
    with Grader() as grader:
        assert outcomes(list(grader.grade("gsm8k", [("#### 4", Gold("4")), (HOSTILE, Gold("4"))]))) == [
            "correct",
            "wrong",
        ]
        assert grader._child is None


def test_an_unknown_verifier_is_named() -> None:
    with pytest.raises(KeyError, match="there are: gsm8k, math-verify"):
        grade_many("magic", [("", Gold(""))])


def test_what_a_verdict_keeps_is_short_and_storable() -> None:
    verdict = Verdict("wrong", answer="x" * 1_000, reason="a\0b\ud800")
    assert len(verdict.answer) == 200
    assert verdict.reason == "ab?"


def test_expressions_are_evaluated_in_the_sandbox(sandbox: Level) -> None:
    (verdict,) = grade_many("math-verify", [("$1/2$", Gold("0.5"))])
    assert (verdict.outcome, verdict.level) == ("correct", sandbox.label)


def test_without_a_sandbox_expressions_are_still_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "examine", lambda: Probe(Level.NONE, "none", "for this test"))
    (verdict,) = grade_many("math-verify", [("$1/2$", Gold("0.5"))])
    assert (verdict.outcome, verdict.level) == ("correct", "")


def test_a_closed_grader_leaves_nothing_behind() -> None:
    with Grader() as grader:
        list(grader.grade("math-verify", [("#### 4", Gold("4"))]))
        assert grader._child is not None
        before = grader._child.process.pid
    assert not Path(f"/proc/{before}").exists()
