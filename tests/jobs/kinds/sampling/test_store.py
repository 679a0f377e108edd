"""Rows are written once and counted once, whatever the order and however often they arrive."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Count, Q, Sum
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.kinds.sampling.kind import SamplingKind
from jobs.kinds.sampling.models import Problem, Sample, SampleText, Verdict
from jobs.kinds.sampling.plan import GENERATE, GRADE
from jobs.models import Experiment
from tests.jobs.kinds.sampling.conftest import draw_all, grade_all, sample_rows, shards, verdict_row

pytestmark = pytest.mark.django_db
COUNTERS = ("drawn", "tokens", "n", "c", "errors", "timeouts")
OUTCOMES = ("correct", "wrong", "error", "timeout")
on_real_rows = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def counters(experiment: Experiment) -> list[dict[str, int]]:
    return list(Problem.objects.filter(experiment=experiment).order_by("index").values(*COUNTERS))


def recounted(experiment: Experiment) -> list[dict[str, int]]:
    """The same counters, counted from the samples."""
    bad = [Verdict.ERROR, Verdict.TIMEOUT]
    rows = (
        Problem.objects.filter(experiment=experiment)
        .order_by("index")
        .values("index")
        .annotate(
            drawn_=Count("samples"),
            tokens_=Sum("samples__tokens", default=0),
            n_=Count("samples", filter=~Q(samples__verdict=Verdict.PENDING)),
            c_=Count("samples", filter=Q(samples__verdict=Verdict.CORRECT)),
            errors_=Count("samples", filter=Q(samples__verdict__in=bad)),
            timeouts_=Count("samples", filter=Q(samples__verdict=Verdict.TIMEOUT)),
        )
    )
    return [{name: row[f"{name}_"] for name in COUNTERS} for row in rows]


@on_real_rows
@given(seed=st.integers(0, 2**32), repeats=st.integers(1, 3), chunk=st.integers(1, 13))
def test_samples_are_there_once_in_any_order(
    planned: Callable[..., Experiment], kind: SamplingKind, seed: int, repeats: int, chunk: int
) -> None:
    with transaction.atomic():
        experiment = planned(problems=3, samples=5)
        (shard, *_) = shards(experiment, GENERATE)
        rows = sample_rows(shard)
        arriving = rows * repeats
        random.Random(seed).shuffle(arriving)
        new = sum(kind.record(shard, arriving[i : i + chunk], seq=1) for i in range(0, len(arriving), chunk))
        assert new == len(rows) == Sample.objects.filter(experiment=experiment).count()
        assert SampleText.objects.filter(sample__experiment=experiment).count() == len(rows)
        assert counters(experiment) == recounted(experiment)
        transaction.set_rollback(True)


@on_real_rows
@given(
    verdicts=st.lists(st.tuples(st.integers(0, 11), st.sampled_from(OUTCOMES)), max_size=30), chunk=st.integers(1, 13)
)
def test_the_first_verdict_stays_and_is_counted_once(
    planned: Callable[..., Experiment], kind: SamplingKind, verdicts: list[tuple[int, str]], chunk: int
) -> None:
    with transaction.atomic():
        experiment = planned(problems=3, samples=4)
        draw_all(kind, experiment)
        (shard, *_) = shards(experiment, GRADE)
        keys = list(Sample.objects.filter(experiment=experiment).order_by("pk").values_list("pk", flat=True))
        rows = [verdict_row(keys[position], outcome) for position, outcome in verdicts if position < len(keys)]
        first: dict[int, str] = {}
        for row in rows:
            first.setdefault(row["sample"], row["outcome"])
        new = sum(kind.record(shard, rows[i : i + chunk], seq=2) for i in range(0, len(rows), chunk))
        assert new == len(first)
        graded = Sample.objects.filter(experiment=experiment).exclude(verdict=Verdict.PENDING)
        assert dict(graded.values_list("pk", "verdict")) == first
        assert counters(experiment) == recounted(experiment)
        transaction.set_rollback(True)


def test_what_no_database_stores_is_left_out(planned: Callable[..., Experiment], kind: SamplingKind) -> None:
    (shard, *_) = shards(planned(problems=1, samples=1), GENERATE)
    (row,) = sample_rows(shard)
    kind.record(shard, [row | {"text": "a\0b\ud800"}], seq=1)
    assert SampleText.objects.get().text == "ab?"


def test_only_problems_with_new_verdicts_are_stamped(planned: Callable[..., Experiment], kind: SamplingKind) -> None:
    experiment = planned(problems=3, samples=2)
    draw_all(kind, experiment)
    (shard, *_) = shards(experiment, GRADE)
    sample = Sample.objects.get(experiment=experiment, problem__index=1, index=0)
    kind.record(shard, [verdict_row(sample.pk, "wrong")], seq=7)
    kind.record(shard, [verdict_row(sample.pk, "wrong")], seq=8)
    assert list(Problem.objects.order_by("index").values_list("seq", flat=True)) == [0, 7, 0]


def test_verdicts_of_another_experiment_are_not_touched(planned: Callable[..., Experiment], kind: SamplingKind) -> None:
    mine, other = planned(problems=1, samples=1), planned(problems=1, samples=1)
    draw_all(kind, other)
    foreign = Sample.objects.get(experiment=other)
    assert kind.record(shards(mine, GRADE)[0], [verdict_row(foreign.pk, "correct")], seq=2) == 0
    foreign.refresh_from_db()
    assert foreign.verdict == Verdict.PENDING


def test_a_second_attempt_gets_only_what_is_missing(planned: Callable[..., Experiment], kind: SamplingKind) -> None:
    experiment = planned(problems=3, samples=4)
    (shard, *_) = shards(experiment, GENERATE)
    rows = sample_rows(shard)
    kind.record(shard, rows[1:], seq=1)
    job = kind.prepare(shard)
    missing = [(problem["index"], index) for problem in job["problems"] for index in problem["missing"]]
    assert missing == [(rows[0]["problem"], rows[0]["index"])]
    assert job["done"] == len(rows) - 1
    kind.record(shard, rows, seq=2)
    job = kind.prepare(shard)
    assert (job["problems"], job["done"]) == ([], len(rows))


def test_grading_gets_the_ungraded_texts_with_their_gold_answers(
    planned: Callable[..., Experiment], kind: SamplingKind
) -> None:
    experiment = planned(problems=2, samples=1, verifier="gsm8k")
    draw_all(kind, experiment)
    (shard, *_) = shards(experiment, GRADE)
    job = kind.prepare(shard)
    assert job["verifier"] == "gsm8k"
    graded = [(item["text"], job["golds"][str(item["problem"])]) for item in job["items"]]
    assert graded == [
        ("#### 0", {"answer": "0", "checks": {}}),
        ("#### nothing", {"answer": "2", "checks": {}}),
    ]
    kind.record(shard, [verdict_row(job["items"][0]["sample"], "correct")], seq=2)
    again = kind.prepare(shard)
    assert (len(again["items"]), again["done"]) == (1, 1)


def test_reopening_forgets_verdicts_and_nothing_else(planned: Callable[..., Experiment], kind: SamplingKind) -> None:
    experiment = planned(problems=2, samples=2)
    draw_all(kind, experiment)
    grade_all(kind, experiment, outcome="timeout")
    before = counters(experiment)
    kind.reopen(experiment)
    assert counters(experiment) == recounted(experiment)
    assert counters(experiment) == [row | {"n": 0, "c": 0, "errors": 0, "timeouts": 0} for row in before]
    assert not Sample.objects.exclude(verdict=Verdict.PENDING, answer="", canonical="", grade_seconds=None).exists()
    grade_all(kind, experiment, seq=9)
    assert [row["c"] for row in counters(experiment)] == [2, 2]


@pytest.mark.parametrize("size", [10, 200])
def test_the_number_of_queries_does_not_grow_with_the_rows(
    planned: Callable[..., Experiment], kind: SamplingKind, django_assert_max_num_queries: Any, size: int
) -> None:
    experiment = planned(problems=10, samples=size // 10)
    (shard, *_) = shards(experiment, GENERATE)
    rows = sample_rows(shard)
    with django_assert_max_num_queries(12):
        kind.record(shard, rows, seq=1)
    (shard, *_) = shards(experiment, GRADE)
    with django_assert_max_num_queries(6):
        items = kind.prepare(shard)["items"]
    with django_assert_max_num_queries(8):
        kind.record(shard, [verdict_row(item["sample"], "correct") for item in items], seq=2)


def test_samples_are_looked_up_by_their_unique_key(planned: Callable[..., Experiment], kind: SamplingKind) -> None:
    """By the problem alone, every sample that was drawn of it would be looked at, at each of many flushes."""
    with transaction.atomic():
        (shard, *_) = shards(planned(problems=3, samples=5), GENERATE)
        with CaptureQueriesContext(connection) as queries:
            kind.record(shard, sample_rows(shard), 1)
        look_up = next(
            query["sql"] for query in queries if query["sql"].startswith("SELECT") and '_sample"' in query["sql"]
        )
        if connection.vendor != "sqlite":
            return  # PostgreSQL reads a table this small from end to end
        with connection.cursor() as cursor:
            plan = str(cursor.execute(f"EXPLAIN QUERY PLAN {look_up}").fetchall())
    assert "one_sample_per_index" in plan or "autoindex" in plan, plan
