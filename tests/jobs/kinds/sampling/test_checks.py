from __future__ import annotations

import uuid
from typing import Any

import pytest

from jobs.kinds.base import SpecError
from jobs.kinds.sampling.checks import check_spec, load_problems
from jobs.kinds.sampling.kind import SamplingKind
from jobs.kinds.sampling.models import ProblemSet
from jobs.kinds.sampling.spec import SamplingSpec
from jobs.models import Experiment
from webapp.accounts.models import Team

pytestmark = pytest.mark.django_db


def upload(team: Team, count: int = 3) -> str:
    problems = [{"uid": f"q{i}", "question": f"{i}?", "answer": str(i)} for i in range(count)]
    made = ProblemSet.objects.create(team=team, name="Mine", problems=problems, count=count)
    return f"set/{made.code}"


def test_bundled_and_uploaded_sets_are_found(team: Team) -> None:
    assert len(load_problems(SamplingSpec(), team)) == 60
    assert [problem.uid for problem in load_problems(SamplingSpec(problems=upload(team), limit=2), team)] == [
        "q0",
        "q1",
    ]
    assert check_spec(SamplingSpec(), team) == []


def test_another_teams_set_is_as_good_as_none(team: Team) -> None:
    foreign = upload(Team.objects.create(name="Elsewhere"))
    for name in (foreign, f"set/{uuid.uuid4()}"):
        (error,) = check_spec(SamplingSpec(problems=name), team)
        assert (error.field, str(error).startswith("Your team has no such problem set")) == ("problems", True)


def test_too_many_samples_in_all_are_refused_with_what_would_fit(team: Team) -> None:
    with pytest.raises(SpecError, match="at most 5,000 samples"):
        load_problems(SamplingSpec(problems=upload(team, 1_000), samples=10_000), team)


def test_a_bad_model_and_a_bad_set_are_both_reported(team: Team) -> None:
    errors = check_spec(SamplingSpec(model="/etc", problems=f"set/{uuid.uuid4()}"), team)
    assert [error.field for error in errors] == ["model", "problems"]


def test_problems_are_copied_into_the_experiment(make_experiment: Any, kind: SamplingKind, team: Team) -> None:
    experiment: Experiment = make_experiment(problems=0, spec={"problems": upload(team), "limit": 2})
    kind.create_rows(experiment, kind.Spec.model_validate(experiment.spec))
    ProblemSet.objects.all().delete()
    assert list(experiment.problems.order_by("index").values_list("index", "uid", "answer")) == [
        (0, "q0", "0"),
        (1, "q1", "1"),
    ]
