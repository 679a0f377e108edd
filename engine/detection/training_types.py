"""What a training takes, says while it runs, and ends with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from engine.detection.evaluate import AngleResult
from engine.detection.rotation import STD_DEGREES
from engine.detection.ru_loss import GateRow
from engine.detection.rules import LabelRule

Stopped = Literal["finished", "early", "cancelled"]


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """The budget and the method. One config for all methods that are to be compared."""

    rule: str = "ellipse"  # how labels of rotated images are made; none does not rotate
    epochs: int = 30
    batch_size: int = 16  # images a step and process
    learning_rate: float = 3e-4  # peak, AdamW
    weight_decay: float = 0.05
    warmup_steps: int = 200
    clip_norm: float = 10.0  # of the gradient
    ema_decay: float = 0.999
    angle_std: float = STD_DEGREES  # degrees
    flip: bool = True  # mirror half of the images
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 on a GPU that has it
    patience: int = 0  # stop after this many epochs without a better validation AP; 0 never does
    val_angles: tuple[float, ...] = (0.0,)  # degrees; the AP that counts is the mean over them
    val_max_detections: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        LabelRule.parse(self.rule)
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("learning_rate", "clip_norm"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in ("warmup_steps", "patience", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must lie in [0, 1), got {self.ema_decay}")
        if not 0 <= self.angle_std <= 180:
            raise ValueError(f"angle_std must lie in [0, 180] degrees, got {self.angle_std}")
        if not self.val_angles:
            raise ValueError("val_angles needs at least one angle")


@dataclass(frozen=True, slots=True)
class StepStats:
    """What one step did."""

    step: int  # from 1
    steps: int  # planned in all
    epoch: int  # from 1
    losses: dict[str, float]
    loss: float  # their sum
    gradient_norm: float  # before clipping
    learning_rate: float
    images_per_second: float  # of this process, over the epoch so far


@dataclass(frozen=True, slots=True)
class EpochStats:
    """What one epoch came to, on the validation set with the averaged weights."""

    epoch: int  # from 1
    epochs: int
    loss: float  # mean over the steps
    ap: float  # mean over the angles
    best: bool
    angles: tuple[AngleResult, ...]
    gates: dict[str, list[GateRow]]  # positives and regressed ones by angle, for each regression loss; this process's


@dataclass(frozen=True, slots=True)
class TrainResult:
    """How training ended. `best` holds the averaged weights of the best epoch, None if no epoch was finished."""

    stopped: Stopped
    epochs: int
    best_ap: float
    best: Path | None


class TrainHooks(Protocol):
    """What a job runner hears and says. Called on the first process only, `cancelled` on each."""

    def step(self, stats: StepStats) -> None: ...

    def epoch(self, stats: EpochStats) -> None: ...

    def cancelled(self) -> bool: ...


class NoHooks:
    """Nobody listens."""

    def step(self, stats: StepStats) -> None: ...

    def epoch(self, stats: EpochStats) -> None: ...

    def cancelled(self) -> bool:
        return False


class NonFiniteLoss(RuntimeError):
    """A loss that is not a number. Its batch is kept in `path`, and the last checkpoint is still good."""

    def __init__(self, step: int, names: tuple[str, ...], losses: dict[str, float], path: Path) -> None:
        bad = ", ".join(f"{name} = {value}" for name, value in losses.items() if not math.isfinite(value))
        super().__init__(
            f"step {step}: {bad or 'the gradient is not finite'}. Images: {', '.join(names)}. The batch is kept in "
            f"{path.name}. Try a lower learning rate or precision fp32."
        )
        self.step, self.names, self.path = step, names, path
