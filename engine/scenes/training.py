"""The training loop of every stage of a scene model: one budget of steps, and a killed run goes on where it was.

    result = train_stage(stage, StageBudget(steps=2_000), folder=Path("run/diffusion"), device="cuda")

A stage gives a model, and the losses of a step from nothing but the step's seed. So the steps after a resume are those
that would have been taken without the kill.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from engine.training.checkpoint import CheckpointError, load_checkpoint, save_checkpoint, save_weights
from engine.training.schedule import MovingAverage, learning_rate, step_seed

CHECKPOINT, WEIGHTS, KEPT_STEP = "last.pt", "averaged.safetensors", "nonfinite-step.pt"


@dataclass(frozen=True, slots=True)
class StageBudget:
    """How long and how fast a stage is trained."""

    steps: int
    learning_rate: float = 3e-4  # peak, AdamW
    weight_decay: float = 0.01
    warmup_steps: int = 100
    clip_norm: float = 1.0  # of the gradient
    ema_decay: float = 0.999
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 on a GPU that has it
    checkpoint_every: int = 200  # steps
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("learning_rate", "clip_norm"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")


class Stage(Protocol):
    """What is trained. ``identity`` says which data and sizes: a checkpoint of another identity is refused."""

    @property
    def model(self) -> nn.Module: ...

    @property
    def identity(self) -> Mapping[str, Any]: ...

    def losses(self, generator: torch.Generator) -> dict[str, Tensor]:
        """The losses of one step, whose sum is minimised. All chance comes from ``generator``, on the device."""
        ...


@dataclass(frozen=True, slots=True)
class StepStats:
    step: int  # from 1
    steps: int
    losses: dict[str, float]
    loss: float  # their sum
    gradient_norm: float  # before clipping
    learning_rate: float
    steps_per_second: float  # since this call began


class TrainHooks(Protocol):
    """What a job runner hears and says."""

    def step(self, stats: StepStats) -> None: ...

    def checkpoint(self, step: int) -> None: ...

    def cancelled(self) -> bool: ...


class NoHooks:
    """Nobody listens."""

    def step(self, stats: StepStats) -> None: ...

    def checkpoint(self, step: int) -> None: ...

    def cancelled(self) -> bool:
        return False


class NonFiniteLoss(RuntimeError):
    """A loss or gradient that is not a number. The step's seed and losses are kept; the last checkpoint is good."""

    def __init__(self, step: int, losses: Mapping[str, float], path: Path) -> None:
        bad = ", ".join(f"{name} = {value}" for name, value in losses.items() if not math.isfinite(value))
        super().__init__(
            f"step {step}: {bad or 'the gradient is not finite'}. What the step was is kept in {path.name}. "
            "Try a lower learning rate or precision fp32."
        )
        self.step, self.path = step, path


def train_stage(
    stage: Stage,
    budget: StageBudget,
    *,
    folder: Path,
    device: torch.device | str = "cpu",
    hooks: TrainHooks | None = None,
) -> bool:
    """Train, or go on from the checkpoint in ``folder``. True when the budget is used up, False when cancelled.

    At the end the averaged weights are in the model, and in ``folder`` as safetensors.

    Raises:
        CheckpointError: the checkpoint in ``folder`` is of another stage, or damaged.
        NonFiniteLoss: a loss or gradient is not a number.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return _Run(stage, budget, folder, torch.device(device), hooks or NoHooks()).run()


class _Run:
    def __init__(
        self, stage: Stage, budget: StageBudget, folder: Path, device: torch.device, hooks: TrainHooks
    ) -> None:
        self._stage, self._budget, self._folder, self._hooks = stage, budget, folder, hooks
        self._device = device
        self._model = stage.model.to(device)
        self._ema = MovingAverage(self._model, copy.deepcopy(self._model), budget.ema_decay)
        self._optimiser = torch.optim.AdamW(
            self._model.parameters(),
            budget.learning_rate,
            weight_decay=budget.weight_decay,
            fused=device.type == "cuda",
        )
        self._identity = {"budget": dataclasses.asdict(budget), "stage": dict(stage.identity)}
        self._step = 0

    def run(self) -> bool:
        self._resume()
        begun, first = time.perf_counter(), self._step
        self._model.train()
        pending: tuple[int, list[str], Tensor, float] | None = None
        while self._step < self._budget.steps:
            if self._hooks.cancelled():
                return False
            taken = self._take_step()
            self._step += 1
            # Numbers are read one step late, so that the device never waits for them.
            if pending is not None:
                self._read(pending, (self._step - first) / (time.perf_counter() - begun))
            pending = taken
            if self._step % self._budget.checkpoint_every == 0 or self._step == self._budget.steps:
                self._read(pending, (self._step - first) / (time.perf_counter() - begun))
                pending = None
                self._save()
        self._model.load_state_dict(self._ema.model.state_dict())
        self._model.eval()
        save_weights(self._folder / WEIGHTS, self._model, {"steps": str(self._step)})
        return True

    def _take_step(self) -> tuple[int, list[str], Tensor, float]:
        budget = self._budget
        generator = torch.Generator(self._device).manual_seed(step_seed(budget.seed, self._step))
        warmup = min(budget.warmup_steps, budget.steps // 2 or 1)
        rate = learning_rate(self._step, budget.steps, warmup, budget.learning_rate)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            losses = self._stage.losses(generator)
        self._optimiser.zero_grad(set_to_none=True)
        torch.stack([loss.float() for loss in losses.values()]).sum().backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self._model.parameters(), budget.clip_norm)
        self._optimiser.step()
        self._ema.update(self._model, self._step)
        return self._step, list(losses), torch.stack([*(loss.detach().float() for loss in losses.values()), norm]), rate

    def _read(self, taken: tuple[int, list[str], Tensor, float], steps_per_second: float) -> None:
        step, names, values, rate = taken
        *losses, norm = values.tolist()
        named = dict(zip(names, losses, strict=True))
        if not all(math.isfinite(value) for value in (*losses, norm)):
            path = self._folder / KEPT_STEP
            save_checkpoint(path, {"step": step + 1, "seed": step_seed(self._budget.seed, step), "losses": named})
            raise NonFiniteLoss(step + 1, named, path)
        self._hooks.step(StepStats(step + 1, self._budget.steps, named, sum(losses), norm, rate, steps_per_second))

    def _save(self) -> None:
        save_checkpoint(
            self._folder / CHECKPOINT,
            {
                "identity": self._identity,
                "step": self._step,
                "model": self._model.state_dict(),
                "averaged": self._ema.model.state_dict(),
                "optimiser": self._optimiser.state_dict(),
            },
        )
        self._hooks.checkpoint(self._step)

    def _resume(self) -> None:
        path = self._folder / CHECKPOINT
        if not path.exists():
            return
        state = load_checkpoint(path)
        if state.get("identity") != self._identity:
            raise CheckpointError(f"{path} is of another run (its budget, sizes or data differ): use a new folder")
        self._model.load_state_dict(state["model"])
        self._ema.model.load_state_dict(state["averaged"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._step = state["step"]

    @property
    def _bf16(self) -> bool:
        if self._budget.precision == "auto":
            return self._device.type == "cuda" and torch.cuda.is_bf16_supported()
        return self._budget.precision == "bf16"
