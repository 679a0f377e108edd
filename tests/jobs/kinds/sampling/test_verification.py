"""Problems with tests, from a file to verdicts: the job of a grade shard is made, run in the sandbox and recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.problems import parse_jsonl
from engine.sandbox import probe
from engine.sandbox.probe import Probe, examine
from engine.sandbox.types import Level, Refused
from engine.verification import Grader
from jobs import services
from jobs.kinds.sampling import run as runner
from jobs.kinds.sampling.kind import SamplingKind
from jobs.kinds.sampling.models import Problem, ProblemSet, Sample, Verdict
from jobs.kinds.sampling.plan import GENERATE, GRADE
from jobs.kinds.sampling.run import run
from jobs.models import Experiment
from tests.jobs.kinds.sampling.conftest import sample_rows, shards
from tests.jobs.kinds.sampling.fake_context import FakeContext
from webapp.accounts.models import Team, User

pytestmark = pytest.mark.django_db

FILE = "\n".join(
    json.dumps({"id": name, "question": f"Print n {name}.", "tests": [{"input": "1", "output": a}, ["4", b]]})
    for name, a, b in [("doubled", "2", "8"), ("squared", "1", "16")]
)
PROGRAMS = [
    "```python\nprint(2 * int(input()))\n```",
    "```python\nprint(int(input()) ** 2)\n```",
    "```python\nwhile True: pass\n```",
    "I cannot do that.",
]


@pytest.fixture(autouse=True)
def fresh_grader(monkeypatch: pytest.MonkeyPatch) -> None:
    """A warm one would remember the verdicts of another test's programs."""
    monkeypatch.setattr(runner, "_grader", Grader())


def submit(team: Team, alice: User, **spec: Any) -> Experiment:
    problems = parse_jsonl(FILE)
    made = ProblemSet.objects.create(
        team=team,
        name="Programs",
        problems=[{"uid": p.uid, "question": p.question, "answer": p.answer, "checks": p.checks} for p in problems],
        count=len(problems),
    )
    values = {"problems": f"set/{made.code}", "samples": 4, "verifier": "code-stdio", "grade_seconds": 1, **spec}
    validated = SamplingKind.Spec.model_validate(values)
    return services.submit(team=team, owner=alice, kind="sampling", name="Programs", spec=validated)


def draw(experiment: Experiment, kind: SamplingKind) -> None:
    """Samples as a generator would have drawn them: of each problem the four programs above."""
    for shard in shards(experiment, GENERATE):
        kind.record(shard, [row | {"text": PROGRAMS[row["index"]]} for row in sample_rows(shard)], seq=1)


def grade(experiment: Experiment, kind: SamplingKind, seq: int = 2) -> None:
    for shard in shards(experiment, GRADE):
        context = FakeContext()
        run("grade", json.loads(json.dumps(kind.prepare(shard))), context)
        kind.record(shard, context.rows, seq)


def test_programs_are_graded_by_their_tests(team: Team, alice: User, kind: SamplingKind) -> None:
    level = examine().level
    if level == Level.NONE:
        pytest.skip(f"no sandbox on this machine: {examine().missing}")
    experiment = submit(team, alice)
    draw(experiment, kind)
    grade(experiment, kind)
    verdicts = {
        uid: list(
            Sample.objects.filter(experiment=experiment, problem__uid=uid)
            .order_by("index")
            .values_list("verdict", flat=True)
        )
        for uid in ("doubled", "squared")
    }
    assert verdicts == {
        "doubled": ["correct", "wrong", "timeout", "wrong"],
        "squared": ["wrong", "correct", "timeout", "wrong"],
    }
    counters = Problem.objects.filter(experiment=experiment).values_list("n", "c", "errors", "timeouts")
    assert set(counters) == {(4, 1, 1, 1)}
    assert set(Sample.objects.filter(experiment=experiment).values_list("level", flat=True)) == {level.label}


def test_below_the_minimum_nothing_is_run_and_nothing_graded(
    team: Team, alice: User, kind: SamplingKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "examine", lambda: Probe(Level.NONE, "none", "no namespaces here"))
    experiment = submit(team, alice)
    draw(experiment, kind)
    with pytest.raises(Refused, match=r"reaches the level none.*no namespaces here"):
        grade(experiment, kind)
    assert not Sample.objects.exclude(verdict=Verdict.PENDING).exists()


def test_the_operators_minimum_reaches_the_runner(
    team: Team, alice: User, kind: SamplingKind, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "examine", lambda: Probe(Level.CONFINED, "rlimits", "no namespaces here"))
    settings.VERIFICATION = {**settings.VERIFICATION, "minimum": "isolated"}
    experiment = submit(team, alice)
    draw(experiment, kind)
    with pytest.raises(Refused, match="at least isolated is asked for"):
        grade(experiment, kind)


@pytest.mark.parametrize(
    ("verifier", "variable"),
    [("function", "CANOPY_VERIFIER_DIR"), ("proof-lean", "CANOPY_LEAN_URL"), ("patch", "CANOPY_REPOSITORIES")],
)
def test_a_verifier_that_is_not_set_up_is_refused_at_the_door(
    team: Team, alice: User, verifier: str, variable: str
) -> None:
    with pytest.raises(services.Refused, match=f"the operator sets {variable}"):
        submit(team, alice, verifier=verifier, grade_target="mine:verify")


@pytest.mark.parametrize(("verifier", "missing"), [("proof-rocq", "statement"), ("gsm8k", "answer")])
def test_a_verifier_that_the_problems_do_not_fit_is_refused_at_the_door(
    team: Team, alice: User, verifier: str, missing: str
) -> None:
    with pytest.raises(services.Refused, match=f"doubled has none of {missing}"):
        submit(team, alice, verifier=verifier)
