"""Two processes that share a model draw what one process draws."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from engine.models import Model, load_model
from engine.models.parallel import Group
from engine.sampling import Engine, Request, Sample, SamplingParams

ROOT = tuple(range(20, 50))
REQUESTS = [Request(0, (60, 61, 62), tuple(range(5))), Request(1, tuple(range(70, 90)), tuple(range(4)))]
PARAMS = SamplingParams(temperature=1.0, max_tokens=24, seed=3)


def draw(model: Model, group: Group | None = None) -> list[Sample]:
    calls = iter(range(10**6))

    def cancelled() -> bool:
        # Processes other than the first are not asked: they would stop at once.
        return (group is not None and group.rank > 0) or next(calls) < 0

    engine = Engine(model, max_batch=6, kv_budget_tokens=2000, paged=True, group=group)
    samples = list(engine.generate(ROOT, REQUESTS, PARAMS, cancelled=cancelled))
    return sorted(samples, key=lambda sample: (sample.problem, sample.index))


def worker(folder: str, rank: int, size: int, meeting: str, out: str) -> None:
    torch.set_num_threads(1)
    group = Group.join(rank, size, meeting, torch.device("cpu"))
    model = load_model(folder, cache_dir=Path(out), device="cpu", dtype=torch.float32, group=group)
    (Path(out) / f"{rank}.pickle").write_bytes(pickle.dumps(draw(model, group)))
    group.leave()


def test_two_processes_draw_what_one_draws(
    tiny_folder: Callable[[str], Path], tiny_model: Callable[[str], Model], tmp_path: Path
) -> None:
    code = "import sys; from tests.engine.sampling.test_parallel import worker; worker(*eval(sys.argv[1]))"
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                code,
                repr((str(tiny_folder("qwen2")), rank, 2, f"file://{tmp_path}/meet", str(tmp_path))),
            ]
        )
        for rank in (0, 1)
    ]
    assert [process.wait(timeout=100) for process in processes] == [0, 0]
    wanted = draw(tiny_model("qwen2"))
    for rank in (0, 1):
        got = pickle.loads((tmp_path / f"{rank}.pickle").read_bytes())
        assert [sample.token_ids for sample in got] == [sample.token_ids for sample in wanted]


def test_a_model_that_cannot_be_split_is_refused(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 key/value heads cannot be shared by 4 GPUs: use a divisor of 2"):
        load_model(str(tiny_folder("llama")), cache_dir=tmp_path, device="cpu", group=Group(0, 4))
