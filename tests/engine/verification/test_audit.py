"""Against a made-up verifier whose faults are known, and real ones on a few problems."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.problems import Problem, bundled
from engine.verification import Grader, Settings, Verdict
from engine.verification.audit import ProblemAudit, audit, known_solution, summarise

OUTCOMES = ("correct", "wrong", "error", "timeout")


class Scripted:
    """Answers with the outcomes it was given, text by text."""

    def __init__(self, script: dict[str, list[str]]) -> None:
        self.script = {text: iter(outcomes) for text, outcomes in script.items()}

    def grade(self, verifier: str, items: Any, settings: Settings, alive: Any = None) -> Iterator[Verdict]:
        for text, _ in items:
            yield Verdict(next(self.script[text]), reason=f"about {text}")  # type: ignore[arg-type]


PROBLEMS = [
    Problem("good", "q", checks={"solution": "a", "wrong": ["b"]}),
    Problem("rejects", "q", checks={"solution": "c"}),
    Problem("accepts", "q", checks={"solution": "d", "wrong": ["e", "f"]}),
    Problem("flaky", "q", checks={"solution": "g"}),
    Problem("slow", "q", checks={"solution": "h"}),
    Problem("unknown", "q", checks={"tests": []}),
]


def test_each_fault_is_found_where_it_is() -> None:
    grader = Scripted(
        {
            "a": ["correct"] * 2,
            "b": ["wrong"] * 2,
            "c": ["wrong"] * 2,
            "d": ["correct"] * 2,
            "e": ["wrong"] * 2,
            "f": ["correct"] * 2,
            "g": ["correct", "wrong"],
            "h": ["timeout"] * 2,
        }
    )
    found = list(audit("code-stdio", PROBLEMS, repeats=2, grader=grader))
    assert {each.uid: each.flags for each in found} == {
        "good": [],
        "rejects": ["false negative"],
        "accepts": ["false positive"],
        "flaky": ["false negative", "flaky"],
        "slow": ["undecided"],
    }
    assert {each.uid: each.reason for each in found if each.flags}[
        "accepts"
    ] == "Wrong answer 2 is called correct: about f"
    summary = summarise(len(PROBLEMS), found)
    assert (summary.problems, summary.audited) == (6, 5)
    assert (summary.false_negatives, summary.false_positives, summary.flaky, summary.undecided) == (2, 1, 1, 1)


outcomes = st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=5).map(
    lambda names: tuple(Verdict(name) for name in names)  # type: ignore[arg-type]
)


@given(outcomes, st.lists(outcomes, max_size=3))
def test_flags_are_what_their_definitions_say(right: tuple[Verdict, ...], wrong: list[tuple[Verdict, ...]]) -> None:
    each = ProblemAudit("p", right, tuple(wrong))
    every = [{verdict.outcome for verdict in verdicts} for verdicts in [right, *wrong]]
    assert each.false_negative is ("wrong" in every[0])
    assert each.false_positive is any("correct" in names for names in every[1:])
    assert each.flaky is any(len(names) > 1 for names in every)
    assert each.undecided is any(names & {"error", "timeout"} for names in every)
    assert bool(each.reason) is (every[0] != {"correct"} or any(names != {"wrong"} for names in every[1:]))


def test_verifiers_of_answers_accept_the_bundled_gold_answers() -> None:
    for verifier in ("gsm8k", "math-verify"):
        found = list(audit(verifier, bundled("arithmetic-60")[:5], repeats=1))
        assert [each.flags for each in found] == [[]] * 5


@pytest.mark.usefixtures("sandbox")
def test_programs_are_really_run_each_time() -> None:
    tests = [{"input": "1", "output": "1"}]
    coin = "import os; print(os.urandom(1)[0] % 2)"
    problems = [
        Problem("right", "q", checks={"tests": tests, "solution": "print(1)", "wrong": ["print(2)"]}),
        Problem("broken", "q", checks={"tests": tests, "solution": "print(3)"}),
        Problem("coin", "q", checks={"tests": tests, "solution": coin}),
    ]
    found = {each.uid: each for each in audit("code-stdio", problems, repeats=20)}
    assert found["right"].flags == []
    assert found["broken"].flags == ["false negative"]
    assert "flaky" in found["coin"].flags  # misses with a chance of 2^-19


def test_a_cache_would_hide_flakiness_and_none_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.verification import audit as module

    sizes: list[int] = []
    monkeypatch.setattr(module, "Grader", lambda cache: sizes.append(cache) or Grader(cache=cache))
    list(audit("gsm8k", [Problem("p", "q", "4")], repeats=1))
    assert sizes == [0]


def test_what_counts_as_a_known_answer() -> None:
    assert known_solution("gsm8k", Problem("p", "q", "4", {"solution": "words"})) == "#### 4"
    assert known_solution("math-verify", Problem("p", "q", "x^2")) == "$x^2$"
    assert known_solution("code-stdio", Problem("p", "q", "", {"solution": "print(1)"})) == "print(1)"
    assert known_solution("function", Problem("p", "q", "4")) == "4"
    assert known_solution("gsm8k", Problem("p", "q")) is None
    with pytest.raises(ValueError, match="at least one"):
        list(audit("gsm8k", [], repeats=0))
