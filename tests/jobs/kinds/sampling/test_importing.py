"""Imports: from an upload to a finished experiment, and what happens when a worker dies or a flush is repeated."""

from __future__ import annotations

import io
import json
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.files import File

from engine.exchange import ExchangeError
from jobs import services
from jobs.kinds.sampling import importing
from jobs.kinds.sampling.imports import submit_import
from jobs.kinds.sampling.kind import SamplingKind
from jobs.kinds.sampling.models import Problem, Sample, SampleText
from jobs.kinds.sampling.run import run
from jobs.models import Experiment, Shard, ShardStatus, Status
from jobs.worker import ThisWorker
from tests.engine.exchange import samples
from tests.jobs.kinds.sampling.fake_context import FakeContext
from webapp.accounts.models import Team, User

Submit = Callable[..., Experiment]


@pytest.fixture
def submit(team: Team, alice: User, settings: Any, tmp_path: Path) -> Submit:
    settings.MEDIA_ROOT, settings.DATA_DIR = tmp_path / "media", tmp_path

    def import_bytes(content: bytes, file_name: str = "results.csv", **more: Any) -> Experiment:
        return submit_import(
            team=team, owner=alice, file=File(io.BytesIO(content), file_name), file_name=file_name, **more
        )

    return import_bytes


def the_shard(experiment: Experiment, stage: str = "import") -> Shard:
    return experiment.shards.select_related("experiment").get(stage=stage)


def do(experiment: Experiment, kind: SamplingKind, rows: slice = slice(None)) -> FakeContext:
    """What runner and recorder do with the import shard, the recorder with ``rows`` of the runner's only."""
    context, shard = FakeContext(), the_shard(experiment)
    run("import", kind.prepare(shard), context)
    for seq, row in enumerate(context.rows[rows], start=5):
        kind.record(shard, [row], seq)
    experiment.refresh_from_db()
    return context


def counters(experiment: Experiment) -> list[tuple[Any, ...]]:
    rows = Problem.objects.filter(experiment=experiment).order_by("index")
    return list(rows.values_list("uid", "n", "c", "errors", "timeouts", "drawn", "tokens"))


@pytest.mark.django_db
def test_a_csv_becomes_problems_samples_and_counters(submit: Submit, kind: SamplingKind) -> None:
    experiment = submit(samples.csv(), model="org/model")
    context = do(experiment, kind)
    assert counters(experiment) == [("a", 4, 2, 0, 0, 4, 46), ("b", 4, 0, 0, 0, 4, 46)]
    first = Sample.objects.filter(experiment=experiment).order_by("pk").first()
    assert first is not None
    assert (first.index, first.verdict, first.answer, first.canonical) == (0, "correct", "0", "0")
    assert (first.tokens, first.seed, first.logprob, first.finish) == (10, None, None, "")
    assert not SampleText.objects.exists()
    assert context.done == 100
    assert experiment.spec["samples"] == 4
    assert set(experiment.spec) == {"model", "samples", "imported"}  # nothing is claimed that the file does not tell
    assert experiment.spec["imported"]["format"] == "csv"
    assert experiment.spec["imported"]["file"] == "results.csv"
    assert len(experiment.spec["imported"]["sha256"]) == 64
    assert kind.Spec.model_validate(experiment.spec).model_dump(mode="json") == experiment.spec


@pytest.mark.django_db
@pytest.mark.parametrize(("format", "name"), samples.FILES)
def test_every_format_arrives_whole(format: str, name: str, submit: Submit, kind: SamplingKind) -> None:
    experiment = submit(samples.FILES[format, name](), name)
    do(experiment, kind)
    assert [row[:4] for row in counters(experiment)] == [("a", 4, 2, 0), ("b", 4, 0, 0)]
    texts = SampleText.objects.filter(sample__experiment=experiment).count()
    assert texts == (0 if format == "csv" else 8)
    assert experiment.spec.get("model") == ("openai/o9" if format == "inspect" else None)


@pytest.mark.django_db
def test_errors_and_timeouts_are_counted_apart(submit: Submit, kind: SamplingKind) -> None:
    experiment = submit(b"problem,correct\np,error\np,timeout\np,1\n")
    do(experiment, kind)
    assert counters(experiment) == [("p", 3, 1, 2, 1, 3, 0)]
    live = kind.changes(experiment, 0)
    assert live["counts"] == {"correct": 1, "wrong": 0, "error": 1, "timeout": 1, "pending": 0}
    assert live["kpis"]["mean_tokens"] is None  # no length is known


@pytest.mark.django_db
def test_rewards_are_kept(submit: Submit, kind: SamplingKind) -> None:
    experiment = submit(b"problem,correct,score\np,1,0.75\np,0,\n")
    do(experiment, kind)
    scores = Sample.objects.filter(experiment=experiment).order_by("index").values_list("score", flat=True)
    assert list(scores) == [0.75, None]


@pytest.mark.django_db
def test_parts_of_any_size_give_the_same(submit: Submit, kind: SamplingKind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "PART_SAMPLES", 3)
    experiment = submit(samples.lm_eval(), "s.jsonl")
    context = do(experiment, kind)
    assert [row["part"] for row in context.rows if "part" in row] == [0, 1, 2]
    assert [row[1:3] for row in counters(experiment)] == [(4, 2), (4, 0)]
    texts = SampleText.objects.filter(sample__experiment=experiment).order_by("sample__pk")
    assert list(texts.values_list("text", flat=True)) == [f"{p} {i}" for p in "ab" for i in range(4)]


@pytest.mark.django_db
def test_a_second_attempt_goes_on_where_the_first_ended(
    submit: Submit, kind: SamplingKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "PART_SAMPLES", 3)
    experiment = submit(samples.canopy(), "samples.jsonl")
    do(experiment, kind, slice(2))  # found, and the first part; then the worker died
    assert Sample.objects.count() == 3
    context = do(experiment, kind)
    assert [row["part"] for row in context.rows if "part" in row] == [1, 2]
    assert [row[1:3] for row in counters(experiment)] == [(4, 2), (4, 0)]
    assert Sample.objects.count() == SampleText.objects.count() == 8


@pytest.mark.django_db
def test_a_repeated_flush_changes_nothing(submit: Submit, kind: SamplingKind) -> None:
    experiment = submit(samples.csv())
    context, shard = FakeContext(), the_shard(experiment)
    run("import", kind.prepare(shard), context)
    for _ in range(3):
        kind.record(shard, context.rows[:2], 5)
    assert [row[1:3] for row in counters(experiment)] == [(4, 2), (4, 0)]


@pytest.mark.django_db
def test_nothing_is_stored_of_a_file_with_a_mistake(submit: Submit, kind: SamplingKind, tmp_path: Path) -> None:
    experiment = submit(samples.csv() + b"c,0,perhaps,1,1\n")
    context = FakeContext()
    with pytest.raises(ExchangeError, match=r"results\.csv: line 10: 'perhaps'") as error:
        run("import", kind.prepare(the_shard(experiment)), context)
    assert error.value.is_final
    assert not context.rows
    assert not list((tmp_path / "imports").iterdir())


@pytest.mark.django_db
def test_a_cancelled_import_leaves_nothing(
    submit: Submit, kind: SamplingKind, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.setattr(importing, "PART_SAMPLES", 3)
    context = FakeContext(cancel_after=0)
    run("import", kind.prepare(the_shard(submit(samples.csv()))), context)
    assert not context.rows
    assert not list((tmp_path / "imports").iterdir())


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("content", "more", "message"),
    [
        (b"", {}, "empty"),
        (b"what is this", {}, "in none of the formats"),
        (b"problem,correct\n", {"format": "xls"}, "No format is called 'xls'"),
        (b"x" * 2048, {}, "larger than 0 MB"),
    ],
)
def test_what_can_be_seen_at_a_glance_is_refused_at_once(
    content: bytes, more: dict[str, Any], message: str, submit: Submit, settings: Any, tmp_path: Path
) -> None:
    settings.IMPORT_MAX_BYTES = 1024
    with pytest.raises(ExchangeError, match=message):
        submit(content, **more)
    assert not Experiment.objects.exists()
    assert not [path for path in (tmp_path / "media").rglob("*") if path.is_file()]


@pytest.mark.django_db
def test_the_file_is_kept_under_a_harmless_name(submit: Submit) -> None:
    experiment = submit(samples.csv(), "C:\\temp\\..\\my results é.csv")
    artifact = experiment.artifacts.get()
    assert artifact.name == "imported-my results é.csv"
    assert artifact.file.read() == samples.csv()
    assert experiment.name == "my results é"


@pytest.mark.django_db
def test_an_import_cannot_be_drawn_further(submit: Submit, kind: SamplingKind) -> None:
    experiment = submit(samples.csv())
    do(experiment, kind)
    finish(experiment)
    with pytest.raises(services.Refused, match="cannot be drawn further"):
        services.draw_more(experiment=experiment, samples=8)


def finish(experiment: Experiment) -> None:
    experiment.shards.update(status=ShardStatus.DONE)
    Experiment.objects.filter(pk=experiment.pk).update(status=Status.FINISHED)


@pytest.mark.django_db
def test_texts_can_be_graded_again_here(submit: Submit, kind: SamplingKind) -> None:
    lines = [{"question": "1 + 1?", "gt_answer": "2", "samples": ["#### 2", "#### 3"], "is_corrects": [False, True]}]
    experiment = submit(samples.jsonl(lines), "x.jsonl")
    do(experiment, kind)
    finish(experiment)
    services.regrade(experiment=experiment, verifier="gsm8k")
    experiment.refresh_from_db()
    assert {shard.stage: shard.status for shard in experiment.shards.all()} == {
        "import": ShardStatus.DONE,
        "grade": ShardStatus.QUEUED,
        "export": ShardStatus.WAITING,
    }
    context, shard = FakeContext(), the_shard(experiment, "grade")
    run("grade", kind.prepare(shard), context)
    kind.record(shard, context.rows, 9)
    verdicts = Sample.objects.filter(experiment=experiment).order_by("index").values_list("verdict", flat=True)
    assert list(verdicts) == ["correct", "wrong"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("content", "message"),
    [(samples.csv(), "no answer texts"), (b"problem,correct,text\np,1,hello\n", "no gold answers")],
)
def test_what_has_nothing_to_grade_is_not_graded_again(
    content: bytes, message: str, submit: Submit, kind: SamplingKind
) -> None:
    experiment = submit(content)
    do(experiment, kind)
    finish(experiment)
    with pytest.raises(services.Refused, match=message):
        services.regrade(experiment=experiment, verifier="gsm8k")


@pytest.mark.django_db(transaction=True)
def test_a_worker_imports_from_click_to_finish(submit: Submit, broker: None) -> None:
    good, bad = submit(samples.inspect(), "log.eval"), submit(b"problem,correct\np,2\n", "bad.csv")
    worker = ThisWorker("cpu@import", "cpu")
    try:
        while worker.work("cpu"):
            pass
    finally:
        worker._runner.kill()
    good.refresh_from_db()
    bad.refresh_from_db()
    assert good.status == Status.FINISHED
    assert good.summary["text"] == "50.0%"
    assert sorted(good.artifacts.values_list("name", flat=True)) == [
        "coverage.csv",
        "imported-log.eval",
        "problems.csv",
        "samples.parquet",
    ]
    assert bad.status == Status.FAILED
    assert bad.shards.get(stage="import").attempt == 1  # it would only fail again
    assert "bad.csv: line 2: '2' in the column 'correct' is no verdict" in bad.reason
    assert json.dumps(good.spec)


@pytest.mark.django_db(transaction=True)
def test_a_killed_runner_loses_and_doubles_nothing(submit: Submit, broker: None, pool: ThreadPoolExecutor) -> None:
    lines = "".join(f"p{i % 50},{i % 2}\n" for i in range(60_000))
    experiment = submit(f"problem,correct\n{lines}".encode())
    worker = ThisWorker("cpu@killed", "cpu")
    try:
        working = pool.submit(worker.work, "cpu")
        deadline = time.monotonic() + 60
        while not Sample.objects.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert worker._runner.pid is not None
        os.killpg(worker._runner.pid, signal.SIGKILL)  # in the middle of the announced parts, or just after the last
        working.result(60)
        while pool.submit(worker.work, "cpu").result(60):
            pass
    finally:
        worker._runner.kill()
    experiment.refresh_from_db()
    assert experiment.status == Status.FINISHED, experiment.reason
    assert Sample.objects.filter(experiment=experiment).count() == 60_000
    assert {row[1:3] for row in counters(experiment)} == {(1_200, 0), (1_200, 1_200)}
