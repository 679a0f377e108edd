"""Model-written programs, some hostile, graded by a real CPU worker that is killed in the middle."""

from __future__ import annotations

import pytest
from django.db import transaction

from engine.problems import parse_jsonl
from engine.sandbox.probe import examine
from engine.sandbox.types import Level
from jobs import leases, services
from jobs.kinds import get_kind
from jobs.kinds.sampling.models import Problem, ProblemSet, Sample
from jobs.kinds.sampling.plan import GENERATE
from jobs.models import Experiment, ShardStatus, Status, next_seq
from tests.engine.sandbox.attacks import left_over
from tests.stack import Stack, wait_for
from webapp.accounts.models import Team, User

pytestmark = [pytest.mark.faults, pytest.mark.django_db(transaction=True)]

PROBLEMS = '{"id": "double", "question": "2n", "tests": [["1", "2"], ["4", "8"]]}'
MARK = "mark-of-a-graded-program"
# (what it does, the program, the verdict)
PROGRAMS = [
    ("right", "print(2 * int(input()))", "correct"),
    ("wrong", "print(2)", "wrong"),
    ("slow", f"import time; time.sleep(600)  # {MARK}", "timeout"),
    ("fork bomb", "import os\nwhile True: os.fork()", "wrong"),
    ("memory bomb", "x = []\nwhile True: x.append(bytes(2**24))", "wrong"),
    ("flood", "while True: print('y' * 9999)", "wrong"),
    ("killer", "import os, signal\nos.kill(os.getppid(), 9)\nos.kill(-1, 9)", "wrong"),
    ("liar", "print('correct'); import os; os._exit(0)", "wrong"),
]
ROUNDS = 3


@pytest.fixture
def experiment(stack: Stack, person: User) -> Experiment:
    """Samples as a generator would have drawn them, waiting to be graded."""
    if examine().level == Level.NONE:
        pytest.skip(f"no sandbox on this machine: {examine().missing}")
    team = Team.objects.get(memberships__user=person)
    (problem,) = parse_jsonl(PROBLEMS)
    record = {"uid": problem.uid, "question": problem.question, "checks": problem.checks}
    made = ProblemSet.objects.create(team=team, name="Programs", problems=[record], count=1)
    kind = get_kind("sampling")
    spec = kind.Spec.model_validate(
        {
            "problems": f"set/{made.code}",
            "samples": len(PROGRAMS) * ROUNDS,
            "verifier": "code-stdio",
            "grade_seconds": 0.5,
            "grade_memory": 256,
        }
    )
    submitted = services.submit(team=team, owner=person, kind="sampling", name="Programs", spec=spec)
    with transaction.atomic():
        seq = next_seq(submitted.pk)
        for shard in submitted.shards.filter(stage=GENERATE):
            first, last = shard.payload["samples"]
            rows = [
                {"problem": 0, "index": i, "seed": i, "tokens": 1, "logprob": -1.0, "finish": "eos", "text": program(i)}
                for i in range(first, last)
            ]
            kind.record(shard, rows, seq)
        submitted.shards.filter(stage=GENERATE).update(status=ShardStatus.DONE)
        leases.roll_up(submitted.pk, seq)
    return submitted


def program(index: int) -> str:
    """A comment of its own, so that no verdict is reused."""
    return f"{PROGRAMS[index % len(PROGRAMS)][1]}\n# sample {index}"


def graded(experiment: Experiment) -> int:
    return Sample.objects.filter(experiment=experiment).exclude(verdict="pending").count()


def has_ended(experiment: Experiment) -> bool:
    experiment.refresh_from_db()
    return experiment.has_ended


def test_a_worker_killed_among_hostile_programs(stack: Stack, experiment: Experiment) -> None:
    stack.start("cpu", "reconciler")
    wait_for(lambda: graded(experiment) > 0, 60)
    at_kill = graded(experiment)
    stack.kill("cpu")
    stack.start("cpu")
    wait_for(lambda: has_ended(experiment), 120)
    total = len(PROGRAMS) * ROUNDS
    assert at_kill < total, "the kill came too late to test anything"
    assert (experiment.status, experiment.reason) == (Status.FINISHED, "")
    verdicts = dict(Sample.objects.filter(experiment=experiment).values_list("index", "verdict"))
    assert verdicts == {index: PROGRAMS[index % len(PROGRAMS)][2] for index in range(total)}
    problem = Problem.objects.get(experiment=experiment)
    assert (problem.n, problem.c, problem.timeouts) == (total, ROUNDS, ROUNDS)
    assert set(Sample.objects.filter(experiment=experiment).values_list("level", flat=True)) == {examine().level.label}
    assert left_over("engine.sandbox.launcher") == []
