"""What pages show of an audit: absolute counts, and the problems that changed."""

from __future__ import annotations

from collections import Counter
from typing import Any

from jobs.kinds.audit.models import OUTCOMES, AuditedProblem, State
from jobs.models import Experiment


def changes(experiment: Experiment, after: int) -> dict[str, Any]:
    """The kind's part of the live state (jobs.live).

    "problems" has a row for each that changed: [index, its name, state, verdicts on its right answer, known wrong
    answers, verdicts on these, flags, reason, seconds]; verdicts are counted as correct, wrong, error, timeout.
    """
    problems = list(_problems(experiment))
    right, wrong = ([sum(row[i] for row in rows) for i in range(4)] for rows in _verdicts(problems))
    return {
        "problems": [_row(problem) for problem in problems if problem.seq > after or not after],
        "total_problems": len(problems),
        "graded": sum(problem.state != State.PENDING for problem in problems),
        "audited": sum(problem.state == State.AUDITED for problem in problems),
        "unknown": sum(problem.state == State.UNKNOWN for problem in problems),
        "wrong_answers": sum(problem.wrong_answers for problem in problems),
        "right": right,
        "wrong": wrong,
        "flags": dict(Counter(flag for problem in problems for flag in problem.flags)),
        "mistaken": sum(bool(problem.flags) for problem in problems),
        "repeats": experiment.spec.get("repeats", 0),
        "verifier": experiment.spec.get("verifier", ""),
    }


def summary(experiment: Experiment) -> dict[str, Any]:
    """The list's figure: on how many problems the verifier is mistaken, flaky or undecided."""
    problems = [problem for problem in _problems(experiment) if problem.state == State.AUDITED]
    if not problems:
        return {"label": "Mistaken", "value": None, "text": "–", "spark": []}
    mistaken = sum(bool(problem.flags) for problem in problems)
    text = f"{mistaken:,} of {len(problems):,}"
    return {"label": "Mistaken", "value": mistaken / len(problems), "text": text, "spark": []}


def _problems(experiment: Experiment) -> Any:
    return AuditedProblem.objects.filter(experiment=experiment).order_by("index").defer("question", "answer", "checks")


def _verdicts(problems: list[AuditedProblem]) -> tuple[list[list[int]], list[list[int]]]:
    """The counts on right answers and those on wrong ones, a row for each problem."""
    return (
        [[getattr(problem, f"right_{name}") for name in OUTCOMES] for problem in problems],
        [[getattr(problem, f"wrong_{name}") for name in OUTCOMES] for problem in problems],
    )


def _row(problem: AuditedProblem) -> list[Any]:
    right, wrong = _verdicts([problem])
    return [
        problem.index,
        problem.uid,
        problem.state,
        right[0],
        problem.wrong_answers,
        wrong[0],
        problem.flags,
        problem.reason,
        round(problem.seconds, 3),
    ]
