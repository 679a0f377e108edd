"""The training loop: exact resume after a stop anywhere, a stop on NaN, and what it tells."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from engine.scenes.training import CHECKPOINT, KEPT_STEP, WEIGHTS, NoHooks, NonFiniteLoss, StageBudget, train_stage
from engine.training.checkpoint import CheckpointError, load_checkpoint


class Regression:
    """Learns y = 3 x."""

    def __init__(self, nan_at: int | None = None) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(1, 8), nn.Dropout(0.0), nn.SiLU(), nn.Linear(8, 1))
        self.identity = {"data": "line"}
        self.calls, self.nan_at = 0, nan_at

    def losses(self, generator: torch.Generator) -> dict[str, torch.Tensor]:
        self.calls += 1
        x = torch.randn(16, 1, generator=generator)
        error = (self.model(x) - 3 * x).square().mean()
        return {"error": error * (float("nan") if self.calls == self.nan_at else 1.0), "size": 1e-3 * error.abs()}


class StopAfter(NoHooks):
    def __init__(self, steps: int) -> None:
        self.steps, self.heard, self.checkpoints = steps, [], []

    def step(self, stats) -> None:  # type: ignore[no-untyped-def]
        self.heard.append(stats)

    def checkpoint(self, step: int) -> None:
        self.checkpoints.append(step)

    def cancelled(self) -> bool:
        self.steps -= 1
        return self.steps < 0


BUDGET = StageBudget(steps=30, learning_rate=1e-2, warmup_steps=5, ema_decay=0.9, checkpoint_every=10)


def test_a_run_that_was_stopped_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole, parts = Regression(), Regression()
    assert train_stage(whole, BUDGET, folder=tmp_path / "whole")
    hooks = StopAfter(17)
    assert not train_stage(parts, BUDGET, folder=tmp_path / "parts", hooks=hooks)
    assert hooks.checkpoints == [10]
    again = Regression()
    hooks = StopAfter(100)
    assert train_stage(again, BUDGET, folder=tmp_path / "parts", hooks=hooks)
    assert [stats.step for stats in hooks.heard] == list(range(11, 31))
    assert hooks.checkpoints == [20, 30]
    for ours, theirs in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert (tmp_path / "parts" / WEIGHTS).exists()


def test_it_learns_and_tells_every_step_once(tmp_path: Path) -> None:
    hooks = StopAfter(10_000)
    train_stage(Regression(), StageBudget(steps=150, learning_rate=3e-2, ema_decay=0.9), folder=tmp_path, hooks=hooks)
    assert [stats.step for stats in hooks.heard] == list(range(1, 151))
    assert hooks.heard[-1].loss < 0.05 * hooks.heard[0].loss
    assert set(hooks.heard[0].losses) == {"error", "size"}
    assert hooks.heard[-1].learning_rate < hooks.heard[60].learning_rate


def test_a_loss_that_is_no_number_stops_with_the_step_kept(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLoss, match="step 14: error = nan"):
        train_stage(Regression(nan_at=14), BUDGET, folder=tmp_path)
    assert load_checkpoint(tmp_path / KEPT_STEP)["step"] == 14
    assert load_checkpoint(tmp_path / CHECKPOINT)["step"] == 10  # still good


def test_another_runs_checkpoint_is_refused(tmp_path: Path) -> None:
    train_stage(Regression(), BUDGET, folder=tmp_path)
    other = Regression()
    other.identity = {"data": "curve"}
    with pytest.raises(CheckpointError, match="another run"):
        train_stage(other, BUDGET, folder=tmp_path)
    with pytest.raises(ValueError, match="steps must be at least 1"):
        StageBudget(steps=0)
