from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobs.kinds import get_kind
from jobs.kinds.sampling.kind import SamplingKind
from jobs.kinds.sampling.plan import GENERATE, GRADE
from jobs.models import Experiment, Queue, Shard


@pytest.fixture
def kind() -> SamplingKind:
    found = get_kind("sampling")
    assert isinstance(found, SamplingKind)
    return found


@pytest.fixture
def planned(make_experiment: Callable[..., Experiment], kind: SamplingKind) -> Callable[..., Experiment]:
    """``planned(problems=3, samples=4, **spec)``: an experiment with its problems and all its shards."""

    def make(*, problems: int = 3, samples: int = 4, **spec: Any) -> Experiment:
        experiment = make_experiment(problems=problems, spec={"samples": samples, **spec})
        for stage_index, stage in enumerate(kind.plan(experiment, kind.Spec.model_validate(experiment.spec))):
            Shard.objects.bulk_create(
                Shard(
                    experiment=experiment,
                    stage=stage.name,
                    stage_index=stage_index,
                    index=index,
                    queue=Queue(stage.queue),
                    payload=shard.payload,
                    total=shard.total,
                )
                for index, shard in enumerate(stage.shards)
            )
        return experiment

    return make


def shards(experiment: Experiment, stage: str) -> list[Shard]:
    return list(experiment.shards.filter(stage=stage).order_by("index"))


def sample_rows(shard: Shard) -> list[dict[str, Any]]:
    """What a runner sends for all samples of a generate shard; answers of problem p are right when index >= p."""
    first, last = shard.payload["samples"]
    return [
        {
            "problem": problem,
            "index": index,
            "seed": problem * 1_000 + index,
            "tokens": 3 + index,
            "logprob": -1.5,
            "finish": "eos",
            "text": f"#### {2 * problem if index >= problem else 'nothing'}",
        }
        for problem in range(*shard.payload["problems"])
        for index in range(first, last)
    ]


def draw_all(kind: SamplingKind, experiment: Experiment) -> None:
    for shard in shards(experiment, GENERATE):
        kind.record(shard, sample_rows(shard), seq=1)


def grade_all(kind: SamplingKind, experiment: Experiment, seq: int = 2, outcome: str = "correct") -> None:
    for shard in shards(experiment, GRADE):
        kind.record(shard, [verdict_row(item["sample"], outcome) for item in kind.prepare(shard)["items"]], seq)


def verdict_row(sample: int, outcome: str) -> dict[str, Any]:
    return {
        "sample": sample,
        "outcome": outcome,
        "answer": "4",
        "canonical": "4",
        "reason": "",
        "seconds": 0.01,
        "level": "",
    }
