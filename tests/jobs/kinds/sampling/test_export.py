from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.utils import timezone

from jobs.kinds.sampling import export
from jobs.kinds.sampling.kind import SamplingKind
from jobs.kinds.sampling.plan import EXPORT
from jobs.kinds.sampling.run import run
from jobs.leases import LeaseLost
from jobs.models import Experiment, Shard, ShardStatus
from tests.jobs.kinds.sampling.conftest import draw_all, grade_all, shards
from tests.jobs.kinds.sampling.fake_context import FakeContext

pytestmark = pytest.mark.django_db


def leased(experiment: Experiment) -> Shard:
    (shard,) = shards(experiment, EXPORT)
    shard.status, shard.claim, shard.lease_until = ShardStatus.RUNNING, 1, timezone.now() + timedelta(seconds=5)
    shard.save()
    return shard


@pytest.fixture
def finished(planned: Callable[..., Experiment], kind: SamplingKind, settings: Any, tmp_path: Path) -> Experiment:
    settings.DATA_DIR = tmp_path
    experiment = planned(problems=3, samples=4)
    draw_all(kind, experiment)
    grade_all(kind, experiment)
    return experiment


def test_files_hold_every_sample_problem_and_point(
    finished: Experiment, kind: SamplingKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_BATCH", 5)  # several pages, the last one short
    context = FakeContext()
    run("export", kind.prepare(leased(finished)), context)
    assert [name for _, name, _ in context.artifacts] == ["samples.parquet", "problems.csv", "coverage.csv"]
    paths = {name: path for path, name, _ in context.artifacts}

    samples = pq.read_table(paths["samples.parquet"]).to_pylist()
    assert {(row["problem"], row["index"]) for row in samples} == {(p, i) for p in range(3) for i in range(4)}
    assert samples[0] == {
        "problem": 0,
        "problem_id": "p0",
        "index": 0,
        "seed": 0,
        "tokens": 3,
        "logprob": -1.5,
        "self_certainty": None,
        "score": None,
        "finish": "eos",
        "verdict": "correct",
        "answer": "4",
        "canonical": "4",
        "reason": "",
        "level": "",
        "text": "#### 0",
    }
    problems = list(csv.DictReader(paths["problems.csv"].open()))
    assert [(row["uid"], row["n"], row["c"]) for row in problems] == [
        ("p0", "4", "4"),
        ("p1", "4", "4"),
        ("p2", "4", "4"),
    ]
    points = list(csv.DictReader(paths["coverage.csv"].open()))
    assert [(row["k"], row["coverage"]) for row in points] == [(str(k), "1.0") for k in (1, 2, 3, 4)]


def test_drafts_go_once_the_files_are_kept(
    finished: Experiment, kind: SamplingKind, django_capture_on_commit_callbacks: Any
) -> None:
    shard, context = leased(finished), FakeContext()
    run("export", kind.prepare(shard), context)
    (draft, *_) = (path for path, _, _ in context.artifacts)
    with django_capture_on_commit_callbacks(execute=True):
        kind.record(shard, context.rows, seq=3)
        assert draft.exists()  # the recorder keeps files after rows, in this same transaction
    assert not draft.parent.exists()


def test_it_stops_when_the_shard_was_taken_away(finished: Experiment, kind: SamplingKind) -> None:
    shard = leased(finished)
    Shard.objects.filter(pk=shard.pk).update(claim=2)
    with pytest.raises(LeaseLost):
        kind.prepare(shard)


def test_an_experiment_without_samples_leaves_empty_tables(
    planned: Callable[..., Experiment], kind: SamplingKind, settings: Any, tmp_path: Path
) -> None:
    settings.DATA_DIR = tmp_path
    context = FakeContext()
    run("export", kind.prepare(leased(planned(problems=2, samples=1))), context)
    assert pq.read_table(context.artifacts[0][0]).num_rows == 0
    assert context.artifacts[2][0].read_text().splitlines() == ["k,coverage,lo,hi,problems"]
