from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from engine.coverage import pass_at_k
from jobs import metrics
from jobs.kinds.sampling.kind import SamplingKind
from jobs.kinds.sampling.models import Problem, Sample
from jobs.kinds.sampling.plan import GRADE
from jobs.models import Experiment, Status
from tests.jobs.kinds.sampling.conftest import draw_all, grade_all, shards, verdict_row

pytestmark = pytest.mark.django_db


def test_before_the_first_sample_there_is_an_empty_curve(
    planned: Callable[..., Experiment], kind: SamplingKind
) -> None:
    experiment = planned(problems=3, samples=4)
    state = kind.changes(experiment, after=0)
    assert state["curve"] == {"k": [], "coverage": [], "lo": [], "hi": [], "complete_to": 0}
    assert state["kpis"]["coverage"] is None
    assert (state["total_problems"], state["samples"], state["drawn"]) == (3, 4, 0)
    assert kind.summary(experiment) == {"label": "Coverage", "value": None, "text": "–", "spark": []}


def test_counts_curve_and_tiles_come_from_the_counters(planned: Callable[..., Experiment], kind: SamplingKind) -> None:
    experiment = planned(problems=3, samples=4)
    draw_all(kind, experiment)
    outcomes = {0: ["correct"] * 4, 1: ["correct", "wrong", "error", "timeout"], 2: ["wrong"] * 4}
    (shard, *_) = shards(experiment, GRADE)
    rows = [
        verdict_row(sample.pk, outcomes[sample.problem.index][sample.index])
        for sample in Sample.objects.select_related("problem")
    ]
    kind.record(shard, rows, seq=5)
    state = kind.changes(experiment, after=0)
    assert state["problems"] == [[0, 4, 4, 0], [1, 4, 1, 2], [2, 4, 0, 0]]
    assert state["counts"] == {"correct": 5, "wrong": 5, "error": 1, "timeout": 1, "pending": 0}
    assert state["curve"]["k"] == [1, 2, 3, 4] and state["curve"]["complete_to"] == 4
    assert state["curve"]["coverage"] == pytest.approx(
        [float((1 + pass_at_k(4, 1, k)) / 3) for k in (1, 2, 3, 4)], abs=1e-5
    )
    tiles = state["kpis"]
    assert (tiles["solved"], tiles["never_solved"], tiles["coverage_at"]) == (2, 1, 4)
    assert tiles["coverage"] == pytest.approx(2 / 3) and tiles["pass1"] == pytest.approx(1.25 / 3)
    assert tiles["lo"] < tiles["coverage"] < tiles["hi"]
    assert (tiles["tokens"], tiles["mean_tokens"]) == (3 * (3 + 4 + 5 + 6), 4.5)
    json.dumps(state, allow_nan=False)
    assert kind.summary(experiment)["label"] == "Coverage at 4"


def test_only_changed_problems_are_sent_again(planned: Callable[..., Experiment], kind: SamplingKind) -> None:
    experiment = planned(problems=3, samples=2)
    draw_all(kind, experiment)
    grade_all(kind, experiment, seq=3)
    Problem.objects.filter(index=1).update(seq=4)
    assert [row[0] for row in kind.changes(experiment, after=3)["problems"]] == [1]
    assert kind.changes(experiment, after=4)["problems"] == []


def test_the_curve_ends_where_some_problem_has_no_more_samples(
    make_experiment: Callable[..., Experiment], kind: SamplingKind
) -> None:
    experiment = make_experiment(problems=2, n=4, c=1)
    Problem.objects.filter(index=1).update(n=2, c=1)
    curve = kind.changes(experiment, after=0)["curve"]
    assert curve["k"] == [1, 2]


def test_speed_is_the_sum_over_drawing_workers_and_the_mean_at_the_end(
    planned: Callable[..., Experiment], kind: SamplingKind
) -> None:
    experiment = planned(problems=70, samples=8)
    assert kind.changes(experiment, 0)["kpis"]["tokens_per_second"] is None
    now = time.time()
    reports = [(30.0, 20.0, now - 60), (90.0, 20.0, now), (50.0, 20.0, now)]  # two workers draw now, one did before
    metrics.write(experiment.pk, 1, [metrics.Report({"tokens_per_second": v}, s, at) for v, s, at in reports])
    assert kind.changes(experiment, 0)["kpis"]["tokens_per_second"] == pytest.approx(90 + 50)
    experiment.status, experiment.finished_at = Status.FINISHED, timezone.now()
    assert kind.changes(experiment, 0)["kpis"]["tokens_per_second"] == pytest.approx((30 + 140) / 2)


def test_its_cost_does_not_depend_on_the_samples(
    planned: Callable[..., Experiment], kind: SamplingKind, django_assert_max_num_queries: Any
) -> None:
    experiment = planned(problems=20, samples=10)
    draw_all(kind, experiment)
    grade_all(kind, experiment)
    with django_assert_max_num_queries(2) as queries:
        kind.changes(experiment, 0)
    assert not any("sampling_sample" in query["sql"] for query in queries.captured_queries)
