"""A team's own sets of problems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from django.db import IntegrityError, transaction

from engine.problems import Problem
from jobs.kinds.base import SpecError
from jobs.kinds.sampling.models import ProblemSet

LONGEST_NAME = 80


def save_problem_set(*, team: Any, by: Any, name: str, problems: Sequence[Problem]) -> ProblemSet:
    """Keep the problems for the team. Raises SpecError when it has a set of that name."""
    name = name.replace("\0", "").strip()[:LONGEST_NAME]
    records = [asdict(problem) for problem in problems]
    try:
        with transaction.atomic():
            return ProblemSet.objects.create(team=team, name=name, problems=records, count=len(records), created_by=by)
    except IntegrityError:
        raise SpecError("name", f"Your team has a set called {name} already. Give this one another name.") from None
