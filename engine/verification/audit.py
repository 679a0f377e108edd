"""Audits a verifier: does it accept what is right, reject what is wrong, and say the same thing twice?

Verifiers are wrong often enough to matter: 35 of 122 CodeContests problems reject some correct solution, 34 of 300
SWE-bench Lite suites are flaky (Brown et al. 2024, section 4.2 and appendices B.2, E). For each problem its known
solution and known wrong answers are graded several times, without reusing verdicts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.problems import Problem
from engine.verification.grader import Grader, Item
from engine.verification.settings import Settings
from engine.verification.types import Gold, Verdict

# How a gold answer is written so that the verifiers of answers find it.
_AS_ANSWER = {
    "gsm8k": "#### {}",
    "math-minerva": "Final Answer: The final answer is {}. I hope it is correct.",
    "math-verify": "${}$",
}


@dataclass(frozen=True, slots=True)
class ProblemAudit:
    """The verdicts on one problem's known answers: ``right`` on its solution, ``wrong`` on each known wrong answer."""

    uid: str
    right: tuple[Verdict, ...]
    wrong: tuple[tuple[Verdict, ...], ...] = ()

    @property
    def false_negative(self) -> bool:
        """A right answer was called wrong, at least once. Errors and timeouts say nothing about it."""
        return any(verdict.outcome == "wrong" for verdict in self.right)

    @property
    def false_positive(self) -> bool:
        """A wrong answer was called correct, at least once."""
        return any(verdict.outcome == "correct" for verdicts in self.wrong for verdict in verdicts)

    @property
    def flaky(self) -> bool:
        """The same answer got different verdicts."""
        return any(len({verdict.outcome for verdict in verdicts}) > 1 for verdicts in (self.right, *self.wrong))

    @property
    def undecided(self) -> bool:
        """A verdict was error or timeout."""
        return any(v.outcome in {"error", "timeout"} for verdicts in (self.right, *self.wrong) for v in verdicts)

    @property
    def flags(self) -> list[str]:
        names = ("false_negative", "false_positive", "flaky", "undecided")
        return [name.replace("_", " ") for name in names if getattr(self, name)]

    @property
    def reason(self) -> str:
        """Which known answer got the first unexpected verdict, and what was said of it."""
        named = [("The right answer", "correct", verdicts) for verdicts in (self.right,)]
        named += [(f"Wrong answer {number}", "wrong", verdicts) for number, verdicts in enumerate(self.wrong, 1)]
        return next(
            (
                f"{name} is called {verdict.outcome}{': ' if verdict.reason else ''}{verdict.reason}"
                for name, expected, verdicts in named
                for verdict in verdicts
                if verdict.outcome != expected
            ),
            "",
        )


class Grades(Protocol):
    """What an audit needs of a Grader."""

    def grade(
        self, verifier: str, items: Sequence[Item], settings: Settings, alive: Callable[[], None] | None = None
    ) -> Iterator[Verdict]: ...


def audit(
    verifier: str,
    problems: Sequence[Problem],
    settings: Settings | None = None,
    repeats: int = 3,
    grader: Grades | None = None,
    alive: Callable[[], None] | None = None,
) -> Iterator[ProblemAudit]:
    """Grade the known answers of each problem ``repeats`` times. Problems without a known right answer are left out.

    Raises Refused where the worker's sandbox does not hold, ValueError for less than one repeat.
    """
    if repeats < 1:
        raise ValueError("an audit needs at least one repeat")
    if grader is None:
        with Grader(cache=0) as own:
            yield from audit(verifier, problems, settings, repeats, own, alive)
        return
    for problem in problems:
        solution = known_solution(verifier, problem)
        if solution is None:
            continue
        gold = Gold(problem.answer, problem.checks)
        texts = [solution, *problem.checks.get("wrong", [])]
        items = [(text, gold) for text in texts for _ in range(repeats)]
        verdicts = list(grader.grade(verifier, items, settings or Settings(), alive))
        runs = [tuple(verdicts[i : i + repeats]) for i in range(0, len(verdicts), repeats)]
        yield ProblemAudit(problem.uid, runs[0], tuple(runs[1:]))


def known_solution(verifier: str, problem: Problem) -> str | None:
    """A text that must be graded correct: the problem's solution, else its gold answer as a model would state it."""
    if verifier in _AS_ANSWER:
        return _AS_ANSWER[verifier].format(problem.answer) if problem.answer else None
    solution: str | None = problem.checks.get("solution")
    return solution or problem.answer or None


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts of problems. ``audited`` is the number that had a known right answer."""

    problems: int
    audited: int
    false_negatives: int
    false_positives: int
    flaky: int
    undecided: int


def summarise(problems: int, audits: Sequence[ProblemAudit]) -> Summary:
    return Summary(
        problems=problems,
        audited=len(audits),
        false_negatives=sum(each.false_negative for each in audits),
        false_positives=sum(each.false_positive for each in audits),
        flaky=sum(each.flaky for each in audits),
        undecided=sum(each.undecided for each in audits),
    )
