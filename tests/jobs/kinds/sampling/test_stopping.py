"""Problems that stop when they are solved: what is drawn, whatever dies in between, and what is said of it."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.coverage import first_success_curve
from jobs import leases, services
from jobs.kinds.base import SpecError
from jobs.kinds.sampling.export import write_tables
from jobs.kinds.sampling.kind import SamplingKind
from jobs.kinds.sampling.models import Problem, Sample, Verdict
from jobs.kinds.sampling.plan import EXPORT, GENERATE, GRADE
from jobs.kinds.sampling.run import run
from jobs.kinds.sampling.stopping import settled
from jobs.kinds.sampling.wanted import Wanted
from jobs.models import Experiment, ShardStatus, Status
from tests.jobs.kinds.sampling.conftest import sample_rows, shards, verdict_row
from tests.jobs.kinds.sampling.fake_context import FakeContext
from tests.jobs.kinds.sampling.test_run import job, keys, model_dir  # noqa: F401  # a fixture
from webapp.accounts.models import Team, User

pytestmark = pytest.mark.django_db


def is_right(problem: int, index: int) -> bool:
    """The verifier of these tests: problem p is solved by every (p + 2)nd sample, from sample 3 p on; never from 4."""
    return problem < 4 and index >= 3 * problem and index % (problem + 2) == 0


FIRST = [next((i for i in range(99) if is_right(p, i)), None) for p in range(5)]  # 0, 3, 8, 10, None


class Lab:
    """Does an experiment's shards by hand; ``dice`` decides what comes when and what gets lost."""

    def __init__(self, kind: SamplingKind, experiment: Experiment, dice: random.Random) -> None:
        self.kind, self.experiment, self.dice = kind, experiment, dice
        self.drawn: list[tuple[int, int]] = []

    def row(self, stage: str, index: int) -> Any:
        return self.experiment.shards.get(stage=stage, index=index)

    def generate(self, index: int) -> None:
        """Until an attempt survives: the runner hears of solved problems in the middle, some attempts are killed."""
        while True:
            shard = self.row(GENERATE, index)
            prepared = self.kind.prepare(shard)
            rows = {(row["problem"], row["index"]): row for row in sample_rows(shard)}
            context = FakeContext()
            missing = {one["index"]: one["missing"] for one in prepared["problems"]}
            wanted = Wanted(missing, context)
            waiting = [(problem, i) for problem, indices in missing.items() for i in indices]
            self.dice.shuffle(waiting)
            killed = self.dice.random() < 0.4
            for place, key in enumerate(waiting):
                if killed and place > len(waiting) // 2:
                    break
                if self.dice.random() < 0.2:
                    self.grade_some()
                    context.news = self.kind.news(shard)
                    wanted.solved()
                if key[1] not in wanted.indices(key[0]):
                    continue
                self.drawn.append(key)
                self.kind.record(shard, [rows[key]], seq=1)
                wanted.came(*key)
                context.progress(prepared["done"] + wanted.settled)
            if not killed:
                assert prepared["done"] + wanted.settled == shard.total
                self.experiment.shards.filter(pk=shard.pk).update(status=ShardStatus.DONE)
                return

    def grade_some(self) -> None:
        """One shard whose samples are all drawn, wholly or in part."""
        ready = list(self.experiment.shards.filter(stage=GENERATE, status=ShardStatus.DONE))
        if not ready:
            return
        shard = self.row(GRADE, self.dice.choice(ready).index)
        items = self.kind.prepare(shard)["items"]
        self.dice.shuffle(items)
        self.grade(shard, items[: self.dice.randint(0, len(items))])

    def grade(self, shard: Any, items: list[dict[str, Any]]) -> None:
        found = dict(Sample.objects.filter(pk__in=[item["sample"] for item in items]).values_list("pk", "index"))
        for item in items:
            right = is_right(item["problem"], found[item["sample"]])
            self.kind.record(shard, [verdict_row(item["sample"], "correct" if right else "wrong")], seq=2)
        if not self.kind.prepare(shard)["items"]:
            self.experiment.shards.filter(pk=shard.pk).update(status=ShardStatus.DONE)

    def finish(self) -> None:
        for shard in shards(self.experiment, GENERATE):
            if shard.status != ShardStatus.DONE:
                self.generate(shard.index)
            self.grade_some()
        for shard in shards(self.experiment, GRADE):
            prepared = self.kind.prepare(shard)
            self.grade(shard, prepared["items"])
            assert self.kind.prepare(shard)["done"] == shard.total


@pytest.fixture
def lab(planned: Callable[..., Experiment], kind: SamplingKind) -> Callable[..., Lab]:
    def make(samples: int = 14, seed: int = 0) -> Lab:
        experiment = planned(problems=5, samples=samples, stop_when_solved=True)
        # Small shards, so that there is something to stop.
        for stage in (GENERATE, GRADE):
            (shard,) = shards(experiment, stage)
            shard.delete()
            for index, first in enumerate(range(0, samples, 4)):
                shard.pk, shard.index = None, index
                shard.payload = {"problems": [0, 5], "samples": [first, min(samples, first + 4)]}
                shard.total = 5 * (min(samples, first + 4) - first)
                shard.status = ShardStatus.WAITING
                shard.save(force_insert=True)
        return Lab(kind, experiment, random.Random(seed))

    return make


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32))
def test_every_sample_up_to_the_first_correct_one_is_drawn_once(lab: Callable[..., Lab], seed: int) -> None:
    """Whatever is killed, graded late or heard of in the middle: the same first correct samples, and no gap below."""
    with transaction.atomic():
        found = lab(seed=seed)
        found.finish()
        assert len(found.drawn) == len(set(found.drawn)), "a sample was drawn twice"
        for problem in Problem.objects.filter(experiment=found.experiment):
            first = FIRST[problem.index]
            assert problem.first_correct == first
            there = set(problem.samples.values_list("index", flat=True))
            assert set(range(14 if first is None else first + 1)) <= there
            assert (problem.drawn, problem.n) == (len(there), len(there)), "what is there is graded and counted"
        assert settled(found.experiment) == 14
        assert Sample.objects.filter(experiment=found.experiment).count() < 5 * 14
        transaction.set_rollback(True)


def test_drawing_more_goes_on_with_the_unsolved_ones_only(lab: Callable[..., Lab], kind: SamplingKind) -> None:
    """The plan grows as for any experiment; the first correct index of a solved problem never changes."""
    found = lab(samples=8)
    found.finish()
    assert list(Problem.objects.order_by("index").values_list("first_correct", flat=True)) == [0, 3, None, None, None]
    before = Sample.objects.count()
    experiment = found.experiment
    experiment.stages = [{"name": name, "queue": "cpu", "unit": ""} for name in (GENERATE, GRADE, EXPORT)]
    experiment.status = Status.FINISHED
    experiment.save()
    services.draw_more(experiment=experiment, samples=14)
    experiment.refresh_from_db()
    assert settled(experiment) == 8
    new = experiment.shards.filter(stage=GENERATE, payload__samples__0__gte=8)
    asked = {one["index"] for shard in new for one in kind.prepare(shard)["problems"]}
    assert asked == {2, 3, 4}
    found.finish()
    assert list(Problem.objects.order_by("index").values_list("first_correct", flat=True)) == FIRST
    assert Sample.objects.exclude(index__lt=8).values("problem").distinct().count() == 3
    assert Sample.objects.filter(index__lt=8).count() == before


def test_grading_again_is_refused_with_the_reason(lab: Callable[..., Lab], kind: SamplingKind) -> None:
    found = lab(samples=4)
    found.finish()
    with pytest.raises(SpecError, match=r"would leave gaps\. Duplicate the experiment"):
        kind.reopen(found.experiment)
    Experiment.objects.filter(pk=found.experiment.pk).update(
        status=Status.FINISHED, finished_at=timezone.now(), stages=[{"name": n} for n in (GENERATE, GRADE, EXPORT)]
    )
    with pytest.raises(services.Refused, match="would leave gaps"):
        services.regrade(experiment=found.experiment, verifier="gsm8k")
    assert Sample.objects.filter(verdict=Verdict.PENDING).count() == 0


def test_the_live_curve_is_the_share_solved_within_k_as_far_as_all_is_known(
    lab: Callable[..., Lab], kind: SamplingKind, tmp_path: Path
) -> None:
    found = lab()
    found.generate(0)
    found.generate(1)
    grade = shards(found.experiment, GRADE)
    found.grade(grade[1], kind.prepare(grade[1])["items"])
    state = kind.changes(found.experiment, 0)
    assert state["stops"] and state["curve"]["complete_to"] == 0, "the first samples are not graded yet"
    found.grade(grade[0], kind.prepare(grade[0])["items"])
    state = kind.changes(found.experiment, 0)
    assert state["curve"]["k"] == [1, 2, 3, 4, 6, 8]
    assert state["curve"]["coverage"] == pytest.approx([0.2] * 3 + [0.4] * 3)
    found.finish()
    state = kind.changes(found.experiment, 0)
    wanted = first_success_curve([1, 4, 9, 11, 0], 14)
    assert state["curve"]["coverage"] == pytest.approx(wanted.coverage.tolist(), abs=1e-5)
    assert state["kpis"]["coverage"] == pytest.approx(0.8) and state["kpis"]["solved"] == 4
    assert state["kpis"]["first_success"]["mean"] == pytest.approx((1 + 4 + 9 + 11 + 14) / 5)
    assert state["kpis"]["first_success"]["per_solved"] == pytest.approx(39 / 4)
    assert [row[4] for row in state["problems"]] == [1, 4, 9, 11, 0]
    assert kind.summary(found.experiment)["text"] == "80.0%"

    (shard,) = shards(found.experiment, EXPORT)
    shard.status, shard.claim = ShardStatus.RUNNING, 1
    shard.save()
    context = FakeContext(tmp_path)
    prepared = kind.prepare(shard)
    write_tables(prepared, context)
    with (Path(prepared["folder"]) / "coverage.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["coverage"]) for row in rows] == pytest.approx(
        first_success_curve([1, 4, 9, 11, 0], 14, range(1, 15)).coverage.tolist()
    )
    with (Path(prepared["folder"]) / "problems.csv").open() as file:
        assert [row["first_correct"] for row in csv.DictReader(file)] == ["0", "3", "8", "10", ""]


def test_an_ordinary_experiment_hears_nothing_and_draws_everything(
    planned: Callable[..., Experiment], kind: SamplingKind
) -> None:
    experiment = planned(problems=2, samples=3)
    (shard,) = shards(experiment, GENERATE)
    kind.record(shard, sample_rows(shard)[:2], seq=1)
    (grade,) = shards(experiment, GRADE)
    kind.record(grade, [verdict_row(item["sample"], "correct") for item in kind.prepare(grade)["items"]], seq=2)
    assert kind.news(shard) == {} and settled(experiment) is None
    assert sum(len(one["missing"]) for one in kind.prepare(shard)["problems"]) == 4
    assert set(Problem.objects.values_list("first_correct", flat=True)) == {None}


class Hears(FakeContext):
    """Is told in the engine's second step that problem 0 is solved by sample 2."""

    steps = 0

    def alive(self) -> None:
        self.steps += 1
        if self.steps == 2:
            self.news = {"solved": [[0, 2]]}


def test_the_engine_stops_what_the_supervisor_says_is_solved(model_dir: Path) -> None:  # noqa: F811
    context = Hears()
    run("generate", job(model_dir, {0: list(range(40)), 1: [0, 1]}, done=3), context)
    found = keys(context)
    assert {(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)} <= set(found) and len(found) < 20
    assert context.done == 45, "what is not needed any more is settled too"


def test_a_worker_does_the_whole_experiment(team: Team, alice: User, kind: SamplingKind) -> None:
    """Planned by services: rows double, leases move on, the experiment ends although samples are missing."""
    spec = kind.Spec(limit=5, samples=60, stop_when_solved=True, max_tokens=4)
    experiment = services.submit(team=team, owner=alice, kind="sampling", name="Stop", spec=spec)
    found = Lab(kind, experiment, random.Random(1))
    while lease := leases.claim_next("gpu", "gpu@a") or leases.claim_next("cpu", "cpu@a"):
        shard = experiment.shards.get(pk=lease.shard_id)
        prepared = kind.prepare(shard)
        if shard.stage == GENERATE:
            wanted = {(one["index"], index) for one in prepared["problems"] for index in one["missing"]}
            kind.record(shard, [row for row in sample_rows(shard) if (row["problem"], row["index"]) in wanted], 1)
        elif shard.stage == GRADE:
            for item in prepared["items"]:
                index = Sample.objects.get(pk=item["sample"]).index
                right = is_right(item["problem"], index)
                kind.record(shard, [verdict_row(item["sample"], "correct" if right else "wrong")], 2)
        leases.finish(lease)
    experiment.refresh_from_db()
    assert experiment.status == Status.FINISHED
    assert found.experiment.shards.exclude(status=ShardStatus.DONE).count() == 0
    assert list(Problem.objects.order_by("index").values_list("first_correct", flat=True)) == FIRST
