"""The stage in which a reward model scores samples: planned, added later, resumed, done by a real worker."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile

from engine.models.sources import DEMO_MODEL, ModelError
from engine.selection.reward import load_reward_model
from jobs import services
from jobs.kinds.base import SpecError
from jobs.kinds.sampling import run as runner
from jobs.kinds.sampling import scoring
from jobs.kinds.sampling.checks import check_spec
from jobs.kinds.sampling.imports import submit_import
from jobs.kinds.sampling.kind import SamplingKind
from jobs.kinds.sampling.models import Sample, Score, Scorer
from jobs.kinds.sampling.plan import EXPORT, GENERATE, GRADE, SCORE, stages
from jobs.kinds.sampling.rewards import current_scorer, rewards_of
from jobs.kinds.sampling.run import run
from jobs.kinds.sampling.spec import SamplingSpec
from jobs.models import Experiment, ShardStatus, Status
from jobs.worker import ThisWorker
from tests.engine.selection.test_reward import build_classifier
from tests.jobs.kinds.sampling.conftest import draw_all, grade_all, shards
from tests.jobs.kinds.sampling.fake_context import FakeContext
from webapp.accounts.models import Team, User

Plan = Callable[..., Experiment]
TEXTS = ["4", "The answer is 4, of course it is.", "", "no idea " * 9, "5"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    build_classifier(folder / "judge")
    build_classifier(folder / "panel", outputs=3)
    return folder


@pytest.fixture
def model_dirs(settings: Any, models: Path) -> None:
    settings.MODEL_DIRS = [models]


def job(models: Path, texts: list[str] = TEXTS, **changes: Any) -> dict[str, Any]:
    return {
        "done": 0,
        "scorer": "judge",
        "label": None,
        "model_dirs": [str(models)],
        "questions": {"2": "What is 2 + 2?"},
        "items": [{"sample": 10 + number, "text": text, "problem": 2} for number, text in enumerate(texts)],
        **changes,
    }


def submit(team: Team, owner: User, **spec: Any) -> Experiment:
    values = {"problems": "bundled/arithmetic-60", "limit": 3, "samples": 4, "verifier": "gsm8k", **spec}
    return services.submit(
        team=team, owner=owner, kind="sampling", name="Sums", spec=SamplingSpec.model_validate(values)
    )


def finish(experiment: Experiment) -> None:
    experiment.shards.update(status=ShardStatus.DONE)
    Experiment.objects.filter(pk=experiment.pk).update(status=Status.FINISHED)
    experiment.refresh_from_db()


def states(experiment: Experiment) -> dict[str, str]:
    rows = experiment.shards.order_by("stage_index").values_list("stage", "status")
    return dict(rows)


# --- the runner's side


def test_every_sample_gets_the_reward_models_score(models: Path) -> None:
    context = FakeContext()
    run("score", job(models, done=3), context)
    wanted = load_reward_model(str(models / "judge"), device="cpu").score([("What is 2 + 2?", text) for text in TEXTS])
    found = {row["sample"]: row["score"] for row in context.rows}
    assert [found[10 + number] for number in range(len(TEXTS))] == pytest.approx(wanted.tolist(), abs=1e-4)
    assert context.done == 3 + len(TEXTS)


def test_the_reward_model_stays_warm_and_makes_room_for_the_one_that_draws(models: Path) -> None:
    scoring.forget()
    first, second, third = FakeContext(), FakeContext(), FakeContext()
    run("score", job(models), first)
    run("score", job(models), second)
    run("score", job(models, scorer="panel", label=1), third)
    assert [len(context.logs) for context in (first, second, third)] == [2, 0, 2]
    assert runner._warm is None
    assert [row["score"] for row in second.rows] == [row["score"] for row in first.rows]
    assert [row["score"] for row in third.rows] != [row["score"] for row in first.rows]


def test_nothing_to_score_loads_nothing(models: Path) -> None:
    scoring.forget()
    context = FakeContext()
    run("score", job(models, texts=[], done=7, scorer="not there"), context)
    assert (context.done, context.rows, scoring._warm) == (7, [], None)


def test_a_cancelled_shard_stops_at_the_next_batch(models: Path) -> None:
    context = FakeContext(cancel_after=1)
    run("score", job(models, texts=["4"] * 40), context)
    assert len(context.rows) == scoring._BATCH_CPU


def test_short_memory_halves_the_batch(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_reward_model(str(models / "judge"), device="cpu")
    forward, sizes = type(model)._forward, []

    def fits_three(self: Any, rows: Any) -> Any:
        sizes.append(len(rows))
        if len(rows) > 3:
            raise RuntimeError("CUDA out of memory")
        return forward(self, rows)

    wanted = model.score([("q", text) for text in TEXTS])
    monkeypatch.setattr(type(model), "_forward", fits_three)
    assert model.score([("q", text) for text in TEXTS], batch=5) == pytest.approx(wanted, abs=1e-5)
    assert sizes == [5, 2, 2, 1]


def test_several_outputs_need_to_be_told_which(models: Path) -> None:
    with pytest.raises(ModelError, match="3 outputs"):
        run("score", job(models, scorer="panel"), FakeContext())


# --- the plan and the database's side


def test_the_stage_stands_between_grading_and_the_files() -> None:
    assert [stage.name for stage in stages(3, 4)] == [GENERATE, GRADE, EXPORT]
    with_scorer = stages(3, 4, scorer="judge")
    assert [(stage.name, stage.queue, stage.pairwise) for stage in with_scorer] == [
        (GENERATE, "gpu", False),
        (GRADE, "cpu", True),
        (SCORE, "gpu", True),
        (EXPORT, "cpu", False),
    ]
    assert [shard.total for shard in with_scorer[2].shards] == [shard.total for shard in with_scorer[1].shards]


@pytest.mark.django_db
def test_scores_are_recorded_once(planned: Plan, kind: SamplingKind, model_dirs: None) -> None:
    experiment = planned(samples=4, scorer="judge")
    draw_all(kind, experiment)
    grade_all(kind, experiment)
    (shard,) = shards(experiment, SCORE)[:1]
    prepared = kind.prepare(shard)
    assert prepared["done"] == 0 and set(prepared["questions"]) == {"0", "1", "2"}
    rows = [{"sample": item["sample"], "score": float(number)} for number, item in enumerate(prepared["items"])]
    assert kind.record(shard, rows[:2], 5) == 2
    assert kind.record(shard, [rows[1] | {"score": 9.0}, *rows[2:]], 6) == len(rows) - 2
    assert kind.record(shard, rows, 7) == 0
    scorer = Scorer.objects.get()
    assert (scorer.name, scorer.scored, scorer.scores.count()) == ("judge", len(rows), len(rows))
    assert rewards_of(experiment, [row["sample"] for row in rows]) == {row["sample"]: row["score"] for row in rows}
    again = kind.prepare(shard)
    assert (again["done"], again["items"]) == (len(rows), [])
    assert kind.changes(experiment, 0)["scored"] == len(rows)


@pytest.mark.django_db
def test_another_experiments_samples_are_not_scored(planned: Plan, kind: SamplingKind, model_dirs: None) -> None:
    ours, theirs = planned(scorer="judge"), planned()
    draw_all(kind, theirs)
    stranger = Sample.objects.get(experiment=theirs, problem__index=0, index=0)
    assert kind.record(shards(ours, SCORE)[0], [{"sample": stranger.pk, "score": 1.0}], 2) == 0
    assert not Score.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"scorer": "nowhere"}, "scorer"),
        ({"scorer": DEMO_MODEL}, "scorer"),
        ({"scorer": "openai:m@e"}, "scorer"),
        ({"scorer_label": 1}, "scorer_label"),
    ],
)
def test_the_form_refuses_what_cannot_score(values: dict[str, Any], field: str, team: Team, model_dirs: None) -> None:
    errors = check_spec(SamplingSpec.model_validate({"verifier": "gsm8k", **values}), team)
    assert [error.field for error in errors] == [field] and all(isinstance(error, SpecError) for error in errors)


@pytest.mark.django_db
def test_a_finished_experiment_is_scored_later(team: Team, alice: User, model_dirs: None, broker: None) -> None:
    experiment = submit(team, alice)
    finish(experiment)
    services.score(experiment=experiment, scorer=" judge ")
    experiment.refresh_from_db()
    assert (experiment.status, experiment.spec["scorer"]) == (Status.QUEUED, "judge")
    assert [stage["name"] for stage in experiment.stages] == [GENERATE, GRADE, SCORE, EXPORT]
    assert states(experiment) == {
        GENERATE: ShardStatus.DONE,
        GRADE: ShardStatus.DONE,
        SCORE: ShardStatus.QUEUED,
        EXPORT: ShardStatus.WAITING,
    }
    finish(experiment)
    with pytest.raises(services.Refused, match="already"):
        services.score(experiment=experiment, scorer="judge")
    services.score(experiment=experiment, scorer="panel", label=2)
    experiment.refresh_from_db()
    assert states(experiment)[SCORE] == ShardStatus.QUEUED
    assert experiment.shards.filter(stage=SCORE).first().payload["scorer"] == "panel, output 2"  # type: ignore[union-attr]
    finish(experiment)
    services.score(experiment=experiment, scorer="")
    experiment.refresh_from_db()
    assert states(experiment) == {GENERATE: ShardStatus.DONE, GRADE: ShardStatus.DONE, EXPORT: ShardStatus.QUEUED}


@pytest.mark.django_db
def test_what_cannot_be_scored_now_is_refused(team: Team, alice: User, model_dirs: None, broker: None) -> None:
    experiment = submit(team, alice)
    with pytest.raises(services.Refused, match="finished"):
        services.score(experiment=experiment, scorer="judge")
    finish(experiment)
    with pytest.raises(services.Refused, match="No model is called"):
        services.score(experiment=experiment, scorer="nowhere")
    experiment.refresh_from_db()
    assert experiment.status == Status.FINISHED and experiment.spec["scorer"] == ""


@pytest.mark.django_db
def test_where_scoring_failed_another_reward_model_is_tried(
    team: Team, alice: User, model_dirs: None, broker: None
) -> None:
    experiment = submit(team, alice, scorer="panel")
    finish(experiment)
    experiment.shards.filter(stage=SCORE).update(status=ShardStatus.FAILED)
    experiment.shards.filter(stage=EXPORT).update(status=ShardStatus.WAITING)
    Experiment.objects.filter(pk=experiment.pk).update(status=Status.FAILED)
    services.score(experiment=experiment, scorer="judge")
    assert set(states(experiment).values()) == {ShardStatus.DONE, ShardStatus.QUEUED, ShardStatus.WAITING}
    experiment.shards.filter(stage=GRADE).update(status=ShardStatus.FAILED)
    Experiment.objects.filter(pk=experiment.pk).update(status=Status.FAILED)
    with pytest.raises(services.Refused, match="finished"):
        services.score(experiment=experiment, scorer="panel", label=0)


@pytest.mark.django_db(transaction=True)
def test_a_killed_runner_loses_and_doubles_no_score(
    team: Team, alice: User, models: Path, settings: Any, broker: None, pool: ThreadPoolExecutor
) -> None:
    """An imported experiment, scored by a real worker whose runner is killed on the way."""
    settings.MODEL_DIRS = [models]
    lines = "".join(f"p{i % 20},{i % 2},{4 + i % 2},{'word ' * (i % 90)}\n" for i in range(600))
    content = ContentFile(f"problem,correct,answer,text\n{lines}".encode())
    experiment = submit_import(team=team, owner=alice, file=content, file_name="results.csv")
    cpu, gpu = ThisWorker("cpu@score", "cpu"), ThisWorker("gpu@score", "gpu")
    try:
        while pool.submit(cpu.work, "cpu").result(60):
            pass
        services.score(experiment=experiment, scorer="judge")
        working = pool.submit(gpu.work, "gpu")
        deadline = time.monotonic() + 90
        while not Score.objects.exists():
            assert time.monotonic() < deadline and not working.done()
            time.sleep(0.01)
        assert gpu._runner.pid is not None
        os.killpg(gpu._runner.pid, signal.SIGKILL)
        working.result(60)
        while pool.submit(gpu.work, "gpu").result(90) or pool.submit(cpu.work, "cpu").result(60):
            pass
    finally:
        cpu._runner.kill()
        gpu._runner.kill()
    experiment.refresh_from_db()
    assert experiment.status == Status.FINISHED, experiment.reason
    # A text of no words is kept as none: nothing to score.
    texts = Sample.objects.filter(experiment=experiment, body__isnull=False).count()
    scorer = current_scorer(experiment)
    assert scorer is not None and scorer.scored == scorer.scores.count() == texts >= 550
