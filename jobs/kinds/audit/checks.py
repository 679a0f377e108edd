"""What an audit must satisfy beyond its own bounds: the problems are there, the verifier can judge them."""

from __future__ import annotations

from typing import Any

from engine.problems import Problem
from engine.verification.audit import known_solution
from jobs.kinds.audit.spec import AuditSpec
from jobs.kinds.base import SpecError
from jobs.kinds.sampling.checks import check_verifier
from jobs.kinds.sampling.checks import load_problems as load_set
from jobs.kinds.sampling.models import Problem as ProblemRow
from jobs.models import Experiment


def load_problems(spec: AuditSpec, team: Any) -> list[Problem]:
    """The problems a Spec means. Raises SpecError, also where no right answer is known."""
    problems = load_set(spec.as_sampling(), team) if spec.of_experiment is None else _of_experiment(spec, team)
    if not any(known_solution(spec.verifier, problem) is not None for problem in problems):
        raise SpecError(
            "problems",
            "No right answer of these problems is known, so there is nothing to audit the verifier with. "
            "docs/problem-format.md shows how a set tells its solutions.",
        )
    return problems


def count_verdicts(spec: AuditSpec, problems: list[Problem]) -> int:
    """How many verdicts the audit asks for."""
    known = (problem for problem in problems if known_solution(spec.verifier, problem) is not None)
    return spec.repeats * sum(1 + len(problem.checks.get("wrong", [])) for problem in known)


def _of_experiment(spec: AuditSpec, team: Any) -> list[Problem]:
    code = spec.of_experiment
    experiment = Experiment.objects.filter(code=code, team=team, kind="sampling").first() if code else None
    if experiment is None:
        raise SpecError("problems", "Your team has no such experiment. Choose another set of problems.")
    rows = ProblemRow.objects.filter(experiment=experiment).order_by("index")[: spec.limit]
    problems = [Problem(row.uid, row.question, row.answer, row.checks) for row in rows]
    check_verifier(problems, spec.verifier)
    return problems
