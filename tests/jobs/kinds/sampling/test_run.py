"""The runner side, with a tiny real model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.sampling import ModelError, StepStats
from jobs.kinds.sampling import run as runner
from jobs.kinds.sampling.run import Speedometer, run
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


def keys(context: FakeContext) -> list[tuple[int, int]]:
    return sorted((row["problem"], row["index"]) for row in context.rows)


def test_generate_draws_exactly_what_is_missing(model_dir: Path) -> None:
    context = FakeContext()
    run("generate", job(model_dir, {0: [0, 1, 2], 4: [2]}, done=5), context)
    assert keys(context) == [(0, 0), (0, 1), (0, 2), (4, 2)]
    assert context.done == 9
    assert all(row["tokens"] <= 6 and row["finish"] in {"eos", "stop", "length"} for row in context.rows)
    assert set(context.rows[0]) == {"problem", "index", "seed", "tokens", "logprob", "finish", "text"}


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


def test_speed_is_reported_about_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(runner.time, "monotonic", lambda: now)
    context = FakeContext()
    speed = Speedometer(context)
    for _ in range(30):
        now += 0.125
        speed.step(StepStats(new_tokens=10, prefill_tokens=0, batch=10, kv_tokens=0, waiting=0))
    assert context.metrics == [("tokens_per_second", 80.0)] * 3


def test_grade_reports_a_verdict_for_each_sample() -> None:
    context = FakeContext()
    items = [{"sample": 7, "text": "#### 4", "gold": "4"}, {"sample": 9, "text": "dunno", "gold": "4"}]
    run("grade", {"done": 3, "verifier": "gsm8k", "items": items}, context)
    assert [(row["sample"], row["outcome"]) for row in context.rows] == [(7, "correct"), (9, "wrong")]
    assert context.done == 5


def test_grade_stops_when_cancelled() -> None:
    context = FakeContext(cancel_after=1)
    items = [{"sample": i, "text": "#### 4", "gold": "4"} for i in range(5)]
    run("grade", {"done": 0, "verifier": "gsm8k", "items": items}, context)
    assert len(context.rows) == 1


def test_the_runner_side_imports_no_django() -> None:
    code = "import sys, jobs.kinds.sampling.run; sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
