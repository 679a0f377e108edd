"""Extra draws: further samples of some problems, chosen by what was seen. Nothing lost, nothing twice, no bias."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.coverage import coverage_curve
from jobs import leases, services
from jobs.kinds.sampling.kind import SamplingKind
from jobs.kinds.sampling.models import Problem, Sample
from jobs.kinds.sampling.plan import (
    EXPORT,
    GENERATE,
    GRADE,
    LARGEST_SHARD,
    MAX_PROBLEM_BLOCK,
    Work,
    samples_planned,
    shard_samples,
    work_of,
    works,
)
from jobs.kinds.sampling.spec import ExtraDraw, SamplingSpec
from jobs.leases import Lease
from jobs.models import Experiment, Shard, Status
from tests.jobs.kinds.sampling.conftest import verdict_row
from webapp.accounts.models import Team, User

PROBLEMS = 70  # more than one block's height
Step = int | dict[int, int]
steps = st.lists(
    st.one_of(st.integers(1, 40), st.dictionaries(st.integers(0, PROBLEMS - 1), st.integers(1, 300), min_size=1)),
    min_size=1,
    max_size=5,
)


def keys(plan: Sequence[Work]) -> Counter[tuple[int, int]]:
    return Counter(
        (problem, index)
        for work in plan
        for part in work.parts
        for problem in part.problems
        for index in range(part.first, part.last)
    )


@given(steps)
def test_plans_grow_by_rows_and_by_extra_draws_and_miss_nothing(history: list[Step]) -> None:
    plan: list[Work] = []
    samples, extra = 1, []
    for step in history:
        if isinstance(step, int):
            samples = max(samples, step)
        else:
            extra.append(step)
        longer = works(PROBLEMS, samples, extra, plan)
        assert longer[: len(plan)] == plan
        targets = samples_planned(PROBLEMS, samples, extra)
        assert targets == [max([samples, *(draw.get(p, 0) for draw in extra)]) for p in range(PROBLEMS)]
        assert keys(longer) == {(p, i): 1 for p in range(PROBLEMS) for i in range(targets[p])}
        plan = longer
    assert keys(works(PROBLEMS, samples, extra)) == keys(plan)  # in one go from the Spec alone


@given(st.dictionaries(st.integers(0, 500), st.integers(9, 2_000), min_size=1, max_size=200))
def test_ragged_shards_are_of_a_useful_size(targets: dict[int, int]) -> None:
    plan = works(501, 8, [targets])
    shards = plan[len(works(501, 8)) :]
    total = sum(targets.values()) - 8 * len(targets)
    assert all(0 < work.size <= min(LARGEST_SHARD, shard_samples(total)) for work in shards)
    assert all(sum(len(part.problems) for part in work.parts) <= MAX_PROBLEM_BLOCK for work in shards)
    assert len(shards) <= 4 + 4 * total / shard_samples(total) + len(targets)


@given(st.dictionaries(st.integers(0, PROBLEMS - 1), st.integers(2, 200), min_size=1))
def test_work_survives_the_database(targets: dict[int, int]) -> None:
    for work in works(PROBLEMS, 1, [targets]):
        assert work_of(work.payload()) == work
    assert ExtraDraw.of(targets).targets == targets
    assert ExtraDraw.model_validate(ExtraDraw.of(targets).model_dump(mode="json")).targets == targets


@pytest.mark.parametrize("up_to", [{}, {0: [1]}, {10_001: [1]}, {5: [-1]}, {"a": [1]}])
def test_what_an_extra_draw_refuses(up_to: dict[Any, list[int]]) -> None:
    with pytest.raises(ValidationError):
        SamplingSpec.model_validate({"extra": [{"up_to": up_to}]})


def test_a_spec_without_extra_draws_does_not_mention_them() -> None:
    assert "extra" not in SamplingSpec().model_dump(mode="json")


# --- in the database --------------------------------------------------------------------------------------------------

pytestmark = pytest.mark.django_db
CHANCE = {0: 0.9, 1: 0.5, 2: 0.2, 3: 0.0, 4: 0.05}  # problem -> share of correct samples


@pytest.fixture
def submitted(team: Team, alice: User) -> Experiment:
    spec = SamplingSpec.model_validate({"problems": "bundled/arithmetic-60", "limit": 5, "samples": 8})
    return services.submit(team=team, owner=alice, kind="sampling", name="Extra", spec=spec)


def verdict(problem: int, index: int) -> str:
    """Fixed for a sample, whenever it is drawn."""
    return "correct" if np.random.default_rng([problem, index]).random() < CHANCE[problem] else "wrong"


def work(experiment: Experiment, kind: SamplingKind, *, most: int = 1_000, stop_half: bool = False) -> None:
    """Do up to ``most`` queued shards as a worker does; ``stop_half``: die in the middle of the last one."""
    for _ in range(most):
        lease = leases.claim_next("gpu", "w") or leases.claim_next("cpu", "w")
        if lease is None:
            break
        shard = Shard.objects.select_related("experiment").get(pk=lease.shard_id)
        rows = rows_of(shard, kind)
        report(lease, rows[: len(rows) // 2] if stop_half else rows)
        if stop_half:
            leases.fail(lease, "killed")
        else:
            leases.finish(lease)
    experiment.refresh_from_db()


def rows_of(shard: Shard, kind: SamplingKind) -> list[dict[str, Any]]:
    if shard.stage == EXPORT:
        return []
    job = kind.prepare(shard)
    if shard.stage == GENERATE:
        common = {"seed": 1, "tokens": 4, "logprob": -1.0, "finish": "eos", "text": "#### 1"}
        return [{"problem": p["index"], "index": i, **common} for p in job["problems"] for i in p["missing"]]
    places = {s.pk: (s.problem.index, s.index) for s in Sample.objects.select_related("problem")}
    return [verdict_row(item["sample"], verdict(*places[item["sample"]])) for item in job["items"]]


def report(lease: Lease, rows: Sequence[Mapping[str, Any]]) -> None:
    with leases.held(lease) as (shard, seq):
        shard.experiment.kind_object.record(shard, rows, seq)


def assert_exact(experiment: Experiment, planned: list[int]) -> None:
    assert experiment.status == Status.FINISHED
    pairs = Counter(Sample.objects.filter(experiment=experiment).values_list("problem__index", "index"))
    assert pairs == Counter({(p, i): 1 for p, n in enumerate(planned) for i in range(n)})
    samples = experiment.spec["samples"]
    for problem in Problem.objects.filter(experiment=experiment):
        right = [verdict(problem.index, i) == "correct" for i in range(planned[problem.index])]
        assert (problem.n, problem.c, problem.drawn) == (len(right), sum(right), len(right))
        assert (problem.extra_n, problem.extra_c) == (len(right) - samples, sum(right[samples:]))


def draw(experiment: Experiment, targets: dict[int, int], number: int | None = None) -> None:
    services.draw_extra(experiment=experiment, draw=ExtraDraw.of(targets), number=number)


def test_extra_rows_again_and_graded_anew(submitted: Experiment, kind: SamplingKind) -> None:
    work(submitted, kind)
    assert_exact(submitted, [8] * 5)
    before = kind.changes(submitted, 0)
    draw(submitted, {3: 40, 4: 60}, number=1)
    work(submitted, kind)
    assert_exact(submitted, [8, 8, 8, 40, 60])
    state = kind.changes(submitted, 0)
    # The curve and what is read from it are those of the even samples; counts are of all.
    assert state["curve"] == before["curve"] and state["kpis"]["pass1"] == before["kpis"]["pass1"]
    assert state["drawn"] == state["graded"] == state["planned"] == 8 * 5 + 32 + 52
    assert state["extra"] == {"problems": 2, "most": 60, "samples": 84, "graded": 84, "solved": 1}
    services.draw_more(experiment=submitted, samples=30)
    work(submitted, kind)
    assert_exact(submitted, [30, 30, 30, 40, 60])
    even = [sum(verdict(p, i) == "correct" for i in range(30)) for p in range(5)]
    curve = kind.changes(submitted, 0)["curve"]
    assert curve["complete_to"] == 30
    expected = coverage_curve([30] * 5, even).coverage
    assert curve["coverage"] == pytest.approx(expected, abs=1e-5)
    services.regrade(experiment=submitted, verifier="gsm8k")
    assert set(Problem.objects.values_list("n", "c", "extra_n", "extra_c")) == {(0, 0, 0, 0)}
    work(submitted, kind)
    assert_exact(submitted, [30, 30, 30, 40, 60])


def test_a_worker_that_dies_in_an_extra_draw_loses_nothing(submitted: Experiment, kind: SamplingKind) -> None:
    work(submitted, kind)
    draw(submitted, {1: 300, 3: 300, 4: 31})
    work(submitted, kind, most=1, stop_half=True)
    drawn = Sample.objects.count()
    assert 40 < drawn < 40 + 292 * 2 + 23
    work(submitted, kind)
    assert_exact(submitted, [8, 300, 8, 300, 31])


def test_an_extra_draw_while_the_first_one_runs(submitted: Experiment, kind: SamplingKind) -> None:
    work(submitted, kind, most=1)
    draw(submitted, {2: 12})
    services.draw_more(experiment=submitted, samples=10)
    work(submitted, kind)
    assert_exact(submitted, [10, 10, 12, 10, 10])


def test_sent_twice_it_draws_once(submitted: Experiment, kind: SamplingKind) -> None:
    work(submitted, kind)
    draw(submitted, {3: 40}, number=1)
    with pytest.raises(services.Refused, match="fresh"):
        draw(submitted, {3: 40}, number=1)
    assert len(Experiment.objects.get().spec["extra"]) == 1


@pytest.mark.parametrize(
    ("targets", "why"), [({7: 40}, "beyond the last one, 4"), ({3: 8}, "Nothing to draw"), ({3: 8_000_000}, "10000")]
)
def test_what_cannot_be_drawn(submitted: Experiment, targets: dict[int, int], why: str) -> None:
    groups = {samples: [problem] for problem, samples in targets.items()}
    with pytest.raises(services.Refused, match=why):
        services.draw_extra(experiment=submitted, draw=ExtraDraw.model_construct(up_to=groups))
    assert "extra" not in Experiment.objects.get().spec


def test_a_failed_experiment_is_retried_first(make_experiment: Callable[..., Experiment]) -> None:
    with pytest.raises(services.Refused, match="Retry"):
        draw(make_experiment(status=Status.FAILED), {0: 100})


def test_the_same_spec_gives_the_same_experiment(submitted: Experiment, kind: SamplingKind, alice: User) -> None:
    """A Spec with extra draws can be submitted as it is, and draws the same samples."""
    work(submitted, kind)
    draw(submitted, {3: 40, 4: 25})
    submitted.refresh_from_db()
    spec = SamplingSpec.model_validate(submitted.spec)
    again = services.submit(team=submitted.team, owner=alice, kind="sampling", name="Again", spec=spec)
    plans = [keys([work_of(shard.payload) for shard in each.shards.filter(stage=GRADE)]) for each in (submitted, again)]
    assert plans[0] == plans[1] and len(plans[0]) == 24 + 65
