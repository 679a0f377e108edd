"""The runner side, with a tiny real model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.models import ModelError
from engine.sampling import Engine, Request, StepStats
from engine.verification import Settings
from jobs.kinds.sampling import run as runner
from jobs.kinds.sampling.run import run
from jobs.kinds.sampling.speed import Speedometer
from tests.jobs.kinds.sampling.fake_context import FakeContext
from tests.tiny_model import build_tiny_model


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("models") / "tiny").parent


def job(model_dir: Path, missing: dict[int, list[int]], done: int = 0) -> dict[str, Any]:
    return {
        "done": done,
        "model": "tiny",
        "model_dirs": [str(model_dir)],
        "params": {"temperature": 0.8, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "max_tokens": 6, "stop": [], "seed": 3},
        "prompt": {
            "template": "Question: {question}\nAnswer:",
            "chat": False,
            "system": "",
            "few_shot": [["1+1", "2"]],
        },
        "problems": [{"index": i, "question": f"{i} + 1?", "missing": indices} for i, indices in missing.items()],
    }


def grade_job(texts: list[str], done: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "done": done,
        "verifier": "gsm8k",
        "settings": Settings().as_job(),
        "golds": {"5": {"answer": "4", "checks": {}}},
        "items": [{"sample": number, "text": text, "problem": 5} for number, text in enumerate(texts)],
        **changes,
    }


def keys(context: FakeContext) -> list[tuple[int, int]]:
    return sorted((row["problem"], row["index"]) for row in context.rows)


def test_generate_draws_exactly_what_is_missing(model_dir: Path) -> None:
    context = FakeContext()
    run("generate", job(model_dir, {0: [0, 1, 2], 4: [2]}, done=5), context)
    assert keys(context) == [(0, 0), (0, 1), (0, 2), (4, 2)]
    assert context.done == 9
    assert all(row["tokens"] <= 6 and row["finish"] in {"eos", "stop", "length"} for row in context.rows)
    names = {"problem", "index", "seed", "tokens", "logprob", "self_certainty", "finish", "text"}
    assert set(context.rows[0]) == names
    assert all(row["self_certainty"] > 0 for row in context.rows)


def test_a_resumed_shard_draws_the_samples_the_whole_one_would_have_drawn(model_dir: Path) -> None:
    whole, part = FakeContext(), FakeContext()
    run("generate", job(model_dir, {0: [0, 1], 1: [0, 1]}), whole)
    run("generate", job(model_dir, {1: [1]}, done=3), part)
    (again,) = part.rows
    (first,) = (row for row in whole.rows if (row["problem"], row["index"]) == (1, 1))
    assert (again["seed"], again["text"]) == (first["seed"], first["text"])


def test_the_model_stays_warm_between_shards(model_dir: Path) -> None:
    run("generate", job(model_dir, {0: [0]}), FakeContext())
    warm, context = runner._warm, FakeContext()
    run("generate", job(model_dir, {0: [1]}), context)
    assert runner._warm is warm
    assert not context.logs


def test_generate_stops_when_cancelled(model_dir: Path) -> None:
    context = FakeContext(cancel_after=0)
    run("generate", job(model_dir, {0: list(range(50))}), context)
    assert not context.rows


def test_nothing_missing_needs_no_model(model_dir: Path) -> None:
    context = FakeContext()
    run("generate", job(model_dir, {}, done=7) | {"model": "not there"}, context)
    assert (context.done, context.rows, context.logs) == (7, [], [])


def test_a_model_that_is_not_there_is_named(model_dir: Path) -> None:
    with pytest.raises(ModelError, match="No model is called 'not there'"):
        run("generate", job(model_dir, {0: [0]}) | {"model": "not there"}, FakeContext())


def step(tokens: int, batch: int, kv: int, path: int) -> StepStats:
    return StepStats(
        new_tokens=tokens, prefill_tokens=0, batch=batch, kv_tokens=kv, path_tokens=path, kv_budget=120, waiting=0
    )


def test_speed_and_memory_are_reported_about_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("jobs.kinds.sampling.speed.time.monotonic", lambda: now)
    context = FakeContext()
    speed = Speedometer(context)
    for _ in range(20):
        now += 0.125
        speed.step(step(10, batch=10, kv=30, path=60))
    now += 0.5
    speed.step(step(3, batch=2, kv=10, path=5))
    expected = {"tokens_per_second": 80.0, "batch": 10.0, "kv_tokens": 30.0, "path_tokens": 60.0, "kv_budget": 120.0}
    assert context.reports[:2] == [(expected, 1.0)] * 2
    # Four steps of an eighth of a second and one of a half: gauges count by how long they held.
    last, seconds = context.reports[2]
    assert seconds == 1.0 and last["tokens_per_second"] == 43.0
    assert (last["batch"], last["kv_tokens"], last["path_tokens"]) == (6.0, 20.0, 32.5)


def test_what_is_left_at_the_end_is_reported_too(model_dir: Path) -> None:
    context = FakeContext()
    run("generate", job(model_dir, {0: [0, 1, 2], 1: [0]}), context)
    tokens = sum(values["tokens_per_second"] * seconds for values, seconds in context.reports)
    assert tokens == pytest.approx(sum(row["tokens"] for row in context.rows))
    assert all(values["kv_budget"] >= values["kv_tokens"] > 0 for values, _ in context.reports)


def drawn(context: FakeContext) -> list[tuple[int, int, int, str]]:
    return sorted((row["problem"], row["index"], row["seed"], row["text"]) for row in context.rows)


class RunsOut:
    """Replaces Engine.generate: the first ``times`` calls run out of memory after ``after`` samples."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception, times: int, after: int = 0) -> None:
        self.error, self.times, self.after = error, times, after
        self.asked: list[int] = []
        self.generate = Engine.generate
        monkeypatch.setattr(Engine, "generate", lambda *args, **kwargs: self(*args, **kwargs))

    def __call__(self, engine: Engine, root: Any, requests: list[Request], params: Any, **kwargs: Any) -> Any:
        self.asked.append(sum(len(request.indices) for request in requests))
        samples = self.generate(engine, root, requests, params, **kwargs)
        if len(self.asked) > self.times:
            yield from samples
            return
        for _ in range(self.after):
            yield next(samples)
        raise self.error


OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.mark.parametrize("error", [OUT_OF_MEMORY, RuntimeError("CUDA error: out of memory")], ids=["torch", "cuda"])
def test_out_of_memory_shrinks_the_budget_and_goes_on(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    wanted = FakeContext()
    run("generate", job(model_dir, {0: [0, 1, 2], 1: [0, 1]}), wanted)
    assert runner._warm is not None
    before = runner._warm.engine.kv_budget
    out = RunsOut(monkeypatch, error, times=2, after=2)
    context = FakeContext()
    run("generate", job(model_dir, {0: [0, 1, 2], 1: [0, 1]}), context)
    assert out.asked == [5, 3, 1], "each try asks for what is missing, no more"
    assert drawn(context) == drawn(wanted), "no sample is lost, doubled or different"
    assert context.done == 5
    first, second = context.logs
    assert first.startswith(f"Out of memory: the budget for keys and values shrinks from {before:,} to ")
    assert second.endswith(" tokens. Drawing goes on, and no sample is lost.")
    assert context.levels == ["warning", "warning"]
    assert runner._warm.engine.kv_budget == before * 9 // 16, "a quarter less for each time, whatever this shard held"


def test_out_of_memory_that_no_budget_cures_fails_the_shard(model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("generate", job(model_dir, {0: [0]}), FakeContext())
    out = RunsOut(monkeypatch, OUT_OF_MEMORY, times=100)
    monkeypatch.setattr(Engine, "shrink", lambda engine: engine.kv_budget)
    with pytest.raises(torch.OutOfMemoryError):
        run("generate", job(model_dir, {0: [0]}), FakeContext())
    assert len(out.asked) == 9


def test_any_other_error_of_the_engine_fails_the_shard_at_once(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = RunsOut(monkeypatch, RuntimeError("CUDA error: an illegal memory access was encountered"), times=100)
    context = FakeContext()
    with pytest.raises(RuntimeError, match="illegal memory access"):
        run("generate", job(model_dir, {0: [0]}), context)
    assert len(out.asked) == 1 and not context.levels.count("warning")


def test_grade_reports_a_verdict_for_each_sample() -> None:
    context = FakeContext()
    run("grade", grade_job(["#### 4", "dunno"], done=3), context)
    assert [(row["sample"], row["outcome"]) for row in context.rows] == [(0, "correct"), (1, "wrong")]
    assert context.done == 5


def test_grade_stops_when_cancelled() -> None:
    context = FakeContext(cancel_after=1)
    run("grade", grade_job(["#### 4"] * 5), context)
    assert len(context.rows) == 1


def test_the_runner_side_imports_no_django() -> None:
    code = "import sys, jobs.kinds.sampling.run; sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
