"""Audits as experiments: what they accept, how they are cut, done, recorded, shown and resumed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from engine.problems import Problem
from jobs import services
from jobs.kinds import get_kind
from jobs.kinds.audit import live
from jobs.kinds.audit import run as runner
from jobs.kinds.audit.kind import AuditKind
from jobs.kinds.audit.models import AuditedProblem, State
from jobs.kinds.audit.run import run
from jobs.kinds.audit.spec import AuditSpec
from jobs.kinds.sampling.problem_sets import save_problem_set
from jobs.models import Experiment, Shard, Status
from jobs.worker import ThisWorker
from tests.jobs.kinds.sampling.fake_context import FakeContext
from webapp.accounts.models import Team, User

DOUBLE = "print(2 * int(input()))"
TESTS = {"tests": [{"input": "3\n", "output": "6\n"}]}
# The clock decides: the same program prints two things.
COIN = "import time\nn = int(input())\nprint(2 * n if time.time_ns() // 1000 % 2 else n)"


def problems() -> list[Problem]:
    fine = {**TESTS, "solution": DOUBLE, "wrong": ["print(5)"]}
    loose = {**TESTS, "solution": DOUBLE, "wrong": [DOUBLE, "print(1)"]}  # a test that lets a wrong program pass
    strict = {"tests": [{"input": "3\n", "output": "7\n"}], "solution": DOUBLE}
    return [
        Problem("fine", "Double it.", "", fine),
        Problem("loose", "Double it.", "", loose),
        Problem("strict", "Double it.", "", strict),
        Problem("open", "Double it.", "", TESTS),
    ]


@pytest.fixture
def kind() -> AuditKind:
    found = get_kind("audit")
    assert isinstance(found, AuditKind)
    return found


@pytest.fixture
def submit(team: Team, alice: User, broker: None) -> Callable[..., Experiment]:
    def submit_audit(found: list[Problem] | None = None, **values: Any) -> Experiment:
        if found is not None:
            made = save_problem_set(team=team, by=alice, name=f"set {found[0].uid} of {len(found)}", problems=found)
            values = {"problems": f"set/{made.code}", "verifier": "code-stdio", **values}
        spec = AuditSpec.model_validate(values)
        return services.submit(team=team, owner=alice, kind="audit", name="Audit", spec=spec)

    return submit_audit


def do(experiment: Experiment, kind: AuditKind, seq: int = 5) -> None:
    for shard in experiment.shards.order_by("index"):
        context = FakeContext()
        run("audit", kind.prepare(shard), context)
        kind.record(shard, context.rows, seq)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"problems": "bundled/nothing"}, "problems"),
        ({"problems": "experiment/12"}, "problems"),
        ({"problems": "set/../../etc"}, "problems"),
        ({"verifier": "oracle"}, "verifier"),
        ({"verifier": "function"}, "grade_target"),
        ({"repeats": 0}, "repeats"),
        ({"repeats": 51}, "repeats"),
        ({"limit": 0}, "limit"),
        ({"grade_seconds": 0}, "grade_seconds"),
        ({"samples": 3}, "samples"),
    ],
)
def test_nonsense_is_refused_at_its_field(values: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        AuditSpec.model_validate(values)
    assert [error["loc"] for error in refused.value.errors()] == [(field,)]


@pytest.mark.django_db
def test_what_is_not_there_or_has_no_known_answer_is_refused(
    submit: Callable[..., Experiment], make_experiment: Callable[..., Experiment], charlie: User
) -> None:
    with pytest.raises(services.Refused, match="No right answer"):
        submit([problems()[3]])
    with pytest.raises(services.Refused, match="has none of tests"):
        submit([Problem("p", "q", "4")])
    with pytest.raises(services.Refused, match="no such problem set"):
        submit(problems="set/00000000-0000-0000-0000-000000000001")
    with pytest.raises(services.Refused, match="no such experiment"):
        submit(problems="experiment/00000000-0000-0000-0000-000000000001")
    theirs = make_experiment(team=charlie.memberships.first().team)  # type: ignore[union-attr]
    with pytest.raises(services.Refused, match="no such experiment"):
        submit(problems=f"experiment/{theirs.code}", verifier="gsm8k")


@pytest.mark.django_db
def test_every_problem_is_in_one_shard(submit: Callable[..., Experiment]) -> None:
    experiment = submit(problems="bundled/arithmetic-60", verifier="gsm8k")
    blocks = [shard.payload["problems"] for shard in experiment.shards.order_by("index")]
    assert [i for first, last in blocks for i in range(first, last)] == list(range(60))
    assert len(blocks) == 20 and {shard.queue for shard in experiment.shards.all()} == {"cpu"}


@pytest.mark.django_db
def test_the_verifiers_mistakes_are_found(submit: Callable[..., Experiment], kind: AuditKind) -> None:
    experiment = submit(problems(), repeats=2)
    do(experiment, kind)
    found = {row.uid: row for row in AuditedProblem.objects.filter(experiment=experiment)}
    assert {uid: (row.state, row.flags) for uid, row in found.items()} == {
        "fine": (State.AUDITED, []),
        "loose": (State.AUDITED, ["false positive"]),
        "strict": (State.AUDITED, ["false negative"]),
        "open": (State.UNKNOWN, []),
    }
    loose = found["loose"]
    assert (loose.right_correct, loose.wrong_answers, loose.wrong_correct, loose.wrong_wrong) == (2, 2, 2, 2)
    assert loose.reason.startswith("Wrong answer 1 is called correct") and loose.seconds > 0
    state = live.changes(experiment, 0)
    assert (state["audited"], state["unknown"], state["mistaken"], state["wrong_answers"]) == (3, 1, 2, 3)
    assert (state["right"], state["wrong"]) == ([4, 2, 0, 0], [2, 4, 0, 0])
    assert state["flags"] == {"false positive": 1, "false negative": 1}
    assert [row[1] for row in state["problems"]] == ["fine", "loose", "strict", "open"]
    assert live.changes(experiment, 5)["problems"] == []
    assert kind.summary(experiment)["text"] == "2 of 3"
    json.dumps(state)


@pytest.mark.django_db
def test_a_verdict_that_changes_is_flaky(submit: Callable[..., Experiment], kind: AuditKind) -> None:
    experiment = submit([Problem("coin", "Double it.", "", {**TESTS, "solution": COIN})], repeats=20)
    do(experiment, kind)
    (row,) = live.changes(experiment, 0)["problems"]
    assert row[6][:2] == ["flaky", "false negative"] and sum(row[3]) == 20


@pytest.mark.django_db
def test_only_what_is_missing_is_graded_and_nothing_twice(submit: Callable[..., Experiment], kind: AuditKind) -> None:
    experiment = submit(problems="bundled/arithmetic-60", verifier="gsm8k", limit=48)
    shard = experiment.shards.get(index=0)
    context = FakeContext(cancel_after=1)
    run("audit", kind.prepare(shard), context)
    assert len(context.rows) == 1  # it stopped before the next problem
    assert kind.record(shard, context.rows, 3) == 1
    other = [{**context.rows[0], "reason": "another verdict", "flaky": True}]
    assert kind.record(shard, other, 4) == 0
    assert not AuditedProblem.objects.get(experiment=experiment, index=0).flaky
    job = kind.prepare(shard)
    assert (job["done"], [one["index"] for one in job["problems"]]) == (1, [1, 2])


@pytest.mark.django_db
def test_an_experiments_own_problems_are_audited(
    submit: Callable[..., Experiment], make_experiment: Callable[..., Experiment], kind: AuditKind
) -> None:
    of = make_experiment(problems=3)
    of.problems.filter(index=1).update(answer="no number")
    experiment = submit(problems=f"experiment/{of.code}", verifier="gsm8k", limit=2)
    do(experiment, kind)
    assert {row.uid: row.flags for row in experiment.audited_problems.all()} == {"p0": [], "p1": ["false negative"]}


def test_no_verdict_is_used_twice() -> None:
    assert runner._grader._max_cached == 0


@pytest.mark.django_db(transaction=True)
def test_a_worker_audits_from_click_to_finish(submit: Callable[..., Experiment]) -> None:
    experiment = submit(problems="bundled/arithmetic-60", verifier="math-verify", limit=4, repeats=1)
    worker = ThisWorker("cpu@audit", "cpu")
    try:
        while worker.work("cpu"):
            pass
    finally:
        worker._runner.kill()
    experiment.refresh_from_db()
    assert experiment.status == Status.FINISHED, experiment.reason
    assert experiment.summary["text"] == "0 of 4"
    assert {shard.done for shard in Shard.objects.filter(experiment=experiment)} == {1}


@pytest.mark.django_db
def test_audits_are_neither_graded_again_nor_drawn_further_nor_scored(submit: Callable[..., Experiment]) -> None:
    experiment = submit(problems="bundled/arithmetic-60", verifier="gsm8k")
    Experiment.objects.filter(pk=experiment.pk).update(status=Status.FINISHED)
    for act in (
        lambda: services.regrade(experiment=experiment, verifier="math-verify"),
        lambda: services.score(experiment=experiment, scorer="judge"),
        lambda: services.draw_more(experiment=experiment, samples=5),
    ):
        with pytest.raises(services.Refused):
            act()
