from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.multiprocessing
from safetensors.torch import load_file

from engine.detection.data.shapes import render_shapes
from engine.detection.data.types import Dataset, DatasetError
from engine.detection.models import Architecture, ModelConfig, build_model
from engine.detection.training import EpochStats, NonFiniteLoss, StepStats, TrainConfig, train
from engine.training.checkpoint import CheckpointError, load_checkpoint, load_weights
from engine.training.schedule import MovingAverage, epoch_batches, learning_rate, step_seed

MODEL = ModelConfig("retinanet", classes=3, image_size=64, backbone="tiny", delta=10.0, finest_stride=8)
CONFIG = TrainConfig(epochs=3, batch_size=4, warmup_steps=2, learning_rate=1e-3, seed=7)


@dataclass
class Recorder:
    """Keeps what it hears; stops or kills at a step."""

    steps: list[StepStats] = field(default_factory=list)
    epochs: list[EpochStats] = field(default_factory=list)
    stop_after: int = 10**9
    fail_at: int = 10**9
    kill: bool = False

    def step(self, stats: StepStats) -> None:
        self.steps.append(stats)
        if stats.step >= self.fail_at:
            if self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise KeyboardInterrupt

    def epoch(self, stats: EpochStats) -> None:
        self.epochs.append(stats)

    def cancelled(self) -> bool:
        return len(self.steps) >= self.stop_after


@pytest.fixture
def sets(tmp_path: Path) -> tuple[Dataset, Dataset]:
    return render_shapes(tmp_path / "train", 10, size=64, seed=1), render_shapes(tmp_path / "val", 3, size=64, seed=2)


def same(a: Path, b: Path) -> bool:
    first, second = load_file(a), load_file(b)
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_it_reports_each_step_and_epoch(sets: tuple[Dataset, Dataset], tmp_path: Path) -> None:
    heard = Recorder()
    result = train(MODEL, replace(CONFIG, rule="perfect"), *sets, folder=tmp_path / "run", hooks=heard)
    assert result.stopped == "finished" and result.epochs == 3
    assert [each.step for each in heard.steps] == list(range(1, 10)) and heard.steps[-1].steps == 9
    assert all(math.isfinite(each.loss) and each.images_per_second > 0 for each in heard.steps)
    assert heard.steps[0].losses.keys() == {"classification", "bbox_regression"}
    assert [each.epoch for each in heard.epochs] == [1, 2, 3]
    rows = heard.epochs[0].gates["box"]
    assert sum(row.positives for row in rows) > 0 and all(row.regressed <= row.positives for row in rows)
    model = build_model(MODEL)
    assert result.best is not None
    load_weights(result.best, model)


@pytest.mark.parametrize("architecture", ["retinanet", "fcos", "faster_rcnn"])
def test_a_killed_run_ends_with_the_same_weights(
    architecture: Architecture, sets: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    model = replace(MODEL, architecture=architecture)
    whole = Recorder()
    train(model, CONFIG, *sets, folder=tmp_path / "whole", hooks=whole)
    with pytest.raises(KeyboardInterrupt):
        train(model, CONFIG, *sets, folder=tmp_path / "cut", hooks=Recorder(fail_at=5))
    resumed = Recorder()
    train(model, CONFIG, *sets, folder=tmp_path / "cut", hooks=resumed)
    assert resumed.steps[0].step == 4, "it goes on from the end of the first epoch"
    assert [each.losses for each in resumed.steps] == [each.losses for each in whole.steps[3:]]
    assert [each.ap for each in resumed.epochs] == [each.ap for each in whole.epochs[1:]]
    first, second = (load_checkpoint(tmp_path / name / "last.pt") for name in ("whole", "cut"))
    for part in ("model", "ema"):
        assert all(torch.equal(first[part][key], second[part][key]) for key in first[part])
    assert same(tmp_path / "whole" / "best.safetensors", tmp_path / "cut" / "best.safetensors")


@pytest.mark.faults
def test_a_run_survives_sigkill(sets: tuple[Dataset, Dataset], tmp_path: Path) -> None:
    """The same with a process that gets no chance to tidy up."""
    script = (
        "import sys; from pathlib import Path; import torch; torch.set_num_threads(1)\n"
        "from tests.engine.detection.test_training import *\n"
        "here = Path(sys.argv[1])\n"
        "sets = render_shapes(here / 'train', 10, size=64, seed=1), render_shapes(here / 'val', 3, size=64, seed=2)\n"
        "train(MODEL, CONFIG, *sets, folder=here / 'cut', hooks=Recorder(fail_at=8, kill=True))\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=Path(__file__).parents[3], check=False)
    assert killed.returncode == -signal.SIGKILL
    resumed = Recorder()
    train(MODEL, CONFIG, *sets, folder=tmp_path / "cut", hooks=resumed)
    assert resumed.steps[0].step == 7
    train(MODEL, CONFIG, *sets, folder=tmp_path / "whole")
    assert same(tmp_path / "whole" / "best.safetensors", tmp_path / "cut" / "best.safetensors")


def test_a_finished_run_is_not_repeated_and_another_one_is_refused(
    sets: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    once = replace(CONFIG, epochs=1)
    train(MODEL, once, *sets, folder=tmp_path / "run")
    again = Recorder()
    assert train(MODEL, once, *sets, folder=tmp_path / "run", hooks=again).stopped == "finished"
    assert not again.steps
    with pytest.raises(CheckpointError, match="another configuration"):
        train(MODEL, replace(once, seed=8), *sets, folder=tmp_path / "run")
    with pytest.raises(CheckpointError, match="or data set"):
        train(MODEL, once, sets[0].subset([1, 0]), sets[1], folder=tmp_path / "run")
    (tmp_path / "run" / "last.pt").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="cannot be read"):
        train(MODEL, once, *sets, folder=tmp_path / "run")


def test_cancelling_keeps_the_last_epoch(sets: tuple[Dataset, Dataset], tmp_path: Path) -> None:
    result = train(MODEL, CONFIG, *sets, folder=tmp_path / "run", hooks=Recorder(stop_after=4))
    assert (result.stopped, result.epochs) == ("cancelled", 1)
    assert load_checkpoint(tmp_path / "run" / "last.pt")["epoch"] == 1


def test_it_stops_early(sets: tuple[Dataset, Dataset], tmp_path: Path) -> None:
    """With next to no learning rate the AP never gets better than in the first epoch."""
    config = replace(CONFIG, learning_rate=1e-12, epochs=9, patience=2)
    result = train(MODEL, config, *sets, folder=tmp_path / "run")
    assert (result.stopped, result.epochs) == ("early", 3)


def test_a_loss_that_is_no_number_names_its_batch_and_keeps_it(
    sets: tuple[Dataset, Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(MODEL, replace(CONFIG, epochs=1), *sets, folder=tmp_path / "run")
    before = (tmp_path / "run" / "last.pt").read_bytes()
    from engine.detection import models

    real = models.retinanet_losses
    broken = {"bbox_regression": math.nan}
    monkeypatch.setattr(models, "retinanet_losses", lambda *a: {k: v * broken.get(k, 1) for k, v in real(*a).items()})
    with pytest.raises(NonFiniteLoss, match=r"step 1: .*bbox_regression = nan") as caught:
        train(MODEL, CONFIG, *sets, folder=tmp_path / "other")
    assert all(name in str(caught.value) for name in caught.value.names) and len(caught.value.names) == 4
    kept = load_checkpoint(caught.value.path)
    assert kept["images"].shape == (4, 3, 64, 64) and kept["names"] == list(caught.value.names)
    assert not (tmp_path / "other" / "last.pt").exists()
    assert (tmp_path / "run" / "last.pt").read_bytes() == before


def test_training_learns(sets: tuple[Dataset, Dataset], tmp_path: Path) -> None:
    heard = Recorder()
    config = replace(CONFIG, rule="ellipse", epochs=12, learning_rate=3e-3)
    train(replace(MODEL, architecture="fcos"), config, *sets, folder=tmp_path / "run", hooks=heard)
    first, last = (sum(each.loss for each in part) / 3 for part in (heard.steps[:3], heard.steps[-3:]))
    assert last < 0.8 * first


@pytest.mark.parametrize("rule", ["none", "largest", "ellipse", "octagon:0.2", "random", "rotiou", "perfect"])
def test_every_rule_trains(rule: str, sets: tuple[Dataset, Dataset], tmp_path: Path) -> None:
    train(MODEL, replace(CONFIG, rule=rule, epochs=1, precision="bf16"), *sets, folder=tmp_path / "run")


def test_what_cannot_be_trained_says_so(sets: tuple[Dataset, Dataset], tmp_path: Path) -> None:
    records = tuple(replace(r, instances=tuple(replace(i, mask=None) for i in r.instances)) for r in sets[0].records)
    bare = replace(sets[0], records=records)
    with pytest.raises(DatasetError, match="needs a mask"):
        train(MODEL, replace(CONFIG, rule="perfect"), bare, sets[1], folder=tmp_path / "run")
    with pytest.raises(DatasetError, match="at least one image"):
        train(MODEL, CONFIG, bare, sets[1].subset([]), folder=tmp_path / "run")


def _worker(rank: int, folder: Path, port: int) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    sets = (
        render_shapes(folder / f"t{rank}", 8, size=64, seed=1),
        render_shapes(folder / f"v{rank}", 2, size=64, seed=2),
    )
    config = replace(CONFIG, epochs=1, batch_size=2)
    train(MODEL, config, *sets, folder=folder / f"run{rank}")
    torch.distributed.destroy_process_group()


def test_two_processes_train_one_model(tmp_path: Path) -> None:
    port = 29_000 + os.getpid() % 2_000
    torch.multiprocessing.spawn(_worker, (tmp_path, port), nprocs=2)  # type: ignore[no-untyped-call]
    assert (tmp_path / "run0" / "last.pt").exists()
    assert not (tmp_path / "run1" / "last.pt").exists(), "the first process writes"


def test_the_schedule() -> None:
    rates = [learning_rate(step, 100, 10, 1.0) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == rates[10] == pytest.approx(1)
    assert rates[55] == pytest.approx(0.5) and rates[99] < 0.001
    assert all(a >= b for a, b in pairwise(rates[10:]))


def test_an_epoch_shows_every_image_to_one_process_or_another() -> None:
    parts = [epoch_batches(10, 2, seed=3, epoch=4, rank=rank, world=2) for rank in (0, 1)]
    assert [len(part) for part in parts] == [3, 3]
    assert {index for part in parts for batch in part for index in batch} == set(range(10))
    assert epoch_batches(10, 2, 3, 4) != epoch_batches(10, 2, 3, 5)
    assert epoch_batches(1, 4, 0, 0) == [[0, 0, 0, 0]]


def test_seeds_of_steps_differ() -> None:
    seeds = {step_seed(seed, step, rank) for seed in range(5) for step in range(50) for rank in range(4)}
    assert len(seeds) == 1000 and all(0 <= each < 2**63 for each in seeds)


def test_the_moving_average_follows_its_formula() -> None:
    model, copy = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    average = MovingAverage(model, copy, decay=0.9)
    expected = model.weight.detach().clone().double()
    for step in range(100):
        torch.nn.init.normal_(model.weight)
        average.update(model, step)
        keep = min(0.9, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * model.weight.detach().double()
    assert torch.allclose(average.model.weight.double(), expected, atol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [{"rule": "x"}, {"epochs": 0}, {"learning_rate": 0.0}, {"ema_decay": 1.0}, {"val_angles": ()}, {"patience": -1}],
)
def test_it_refuses_settings(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"rule|at least|above|must lie|negative"):
        TrainConfig(**changes)  # type: ignore[arg-type]
