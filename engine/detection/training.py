"""Training a detector: one budget, one loop, and a run that is killed goes on as if nothing had happened.

    model_config = ModelConfig("retinanet", classes=len(train_set.classes), image_size=512, delta=10)
    result = train(model_config, TrainConfig(rule="ellipse"), train_set, val_set, folder=Path("run"), device="cuda")

All random choices follow from (seed, step, process), so a run resumed from its last checkpoint takes the same steps
as one that was never stopped. Under torch.distributed each process calls `train` with the same arguments and its own
device; `batch_size` counts the images of one process, and the first one writes the files.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from engine.detection.batch import Batch
from engine.detection.checkpoint import CheckpointError, load_checkpoint, save_checkpoint, save_weights
from engine.detection.data.types import Dataset, DatasetError
from engine.detection.evaluate import AngleResult, evaluate_model
from engine.detection.loader import Loader
from engine.detection.models import Detector, ModelConfig, build_model
from engine.detection.rotation import STD_DEGREES, draw_angles, flip_batch, rotate_batch, without_crowds
from engine.detection.ru_loss import GateRow
from engine.detection.rules import LabelRule
from engine.detection.schedule import MovingAverage, epoch_batches, learning_rate, step_seed

CHECKPOINT, BEST, KEPT_BATCH = "last.pt", "best.safetensors", "nonfinite-batch.pt"
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


def train(
    model_config: ModelConfig,
    config: TrainConfig,
    train_set: Dataset,
    val_set: Dataset,
    *,
    folder: Path,
    device: torch.device | str = "cpu",
    hooks: TrainHooks | None = None,
) -> TrainResult:
    """Train, or go on where the checkpoint in `folder` ends.

    Raises:
        DatasetError: no images, or the rule is `perfect` and objects without masks.
        CheckpointError: the checkpoint in `folder` is of another configuration or data set, or damaged.
        NonFiniteLoss: a loss or gradient is not a number.
    """
    if not len(train_set) or not len(val_set):
        raise DatasetError("training needs at least one image to train on and one to validate with")
    if LabelRule.parse(config.rule).needs_masks and not train_set.has_masks:
        raise DatasetError("the rule 'perfect' needs a mask for every object, and this data set lacks some")
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=_cuda_index(device)):
        return _Run(model_config, config, train_set, val_set, folder, torch.device(device), hooks or NoHooks()).run()


@dataclass(slots=True)
class _Taken:
    """A step whose numbers have not been read yet: reading them one step late keeps the device busy."""

    step: int
    epoch: int
    batch: Batch
    names: list[str]
    values: Tensor  # the losses, then the gradient's norm
    learning_rate: float


class _Run:
    def __init__(
        self,
        model_config: ModelConfig,
        config: TrainConfig,
        train_set: Dataset,
        val_set: Dataset,
        folder: Path,
        device: torch.device,
        hooks: TrainHooks,
    ) -> None:
        self._config, self._folder, self._device, self._hooks = config, folder, device, hooks
        self._rule = LabelRule.parse(config.rule)
        self._rank, self._world = _process()
        self._images, self._size, self._val_set = len(train_set), model_config.image_size, val_set
        pin = device.type == "cuda"
        self._loader = Loader(train_set, self._size, pin=pin)
        self._val_loader = Loader(val_set, self._size, pin=pin)
        self._model = build_model(model_config, config.seed).to(device)
        self._ema = MovingAverage(self._model, build_model(model_config, config.seed).to(device), config.ema_decay)
        self._forward = _spread(self._model, self._world)
        self._optimiser = _optimiser(self._model, config)
        self._identity = {
            "model": _plain(dataclasses.asdict(model_config)),
            "train": _plain(dataclasses.asdict(config)),
            "data": [train_set.fingerprint(), val_set.fingerprint()],
        }
        self._steps_per_epoch = len(epoch_batches(self._images, config.batch_size, 0, 0, 0, self._world))
        self._epoch, self._best_ap, self._since_best = 0, -1.0, 0

    @property
    def _steps(self) -> int:
        return self._steps_per_epoch * self._config.epochs

    def run(self) -> TrainResult:
        self._resume()
        while self._epoch < self._config.epochs:
            if self._config.patience and self._since_best >= self._config.patience:
                return self._result("early")
            loss = self._train_epoch()
            if loss is None:
                return self._result("cancelled")
            self._epoch += 1
            self._validate(loss)
        return self._result("finished")

    # -- one epoch

    def _train_epoch(self) -> float | None:
        """The mean loss, or None when cancelled; what was done in the epoch is then thrown away."""
        self._model.train()
        self._model.clear_gates()
        order = epoch_batches(
            self._images, self._config.batch_size, self._config.seed, self._epoch, self._rank, self._world
        )
        start, total = time.perf_counter(), 0.0
        taken: _Taken | None = None
        for done, batch in enumerate(self._loader.batches(order)):
            if self._cancelled():
                return None
            following = self._take_step(self._epoch * self._steps_per_epoch + done, batch)
            if taken is not None:
                total += self._read(taken, done * self._config.batch_size / (time.perf_counter() - start))
            taken = following
        assert taken is not None, "an epoch has at least one step"
        total += self._read(taken, len(order) * self._config.batch_size / (time.perf_counter() - start))
        return total / len(order)

    def _take_step(self, step: int, batch: Batch) -> _Taken:
        config = self._config
        torch.manual_seed(step_seed(config.seed, step, self._rank))  # of the detectors' own sampling
        batch = self._augment(batch, step)
        rate = learning_rate(step, self._steps, min(config.warmup_steps, self._steps // 2 or 1), config.learning_rate)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            losses: dict[str, Tensor] = self._forward(batch.images, batch.targets())
        total = torch.stack(list(losses.values())).sum()
        self._optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self._model.parameters(), config.clip_norm)
        self._optimiser.step()
        self._ema.update(self._model, step)
        values = torch.stack([*(loss.detach() for loss in losses.values()), norm])
        return _Taken(step, self._epoch, batch, list(losses), values, rate)

    def _augment(self, batch: Batch, step: int) -> Batch:
        seed = step_seed(self._config.seed, step, self._rank)
        host = torch.Generator().manual_seed(seed)
        angles = draw_angles(len(batch), host, self._config.angle_std)
        flips = torch.rand(len(batch), generator=host) < 0.5
        batch = batch.to(self._device)
        if self._config.flip:
            batch = flip_batch(batch, flips)
        shapes = torch.Generator(self._device).manual_seed(seed) if self._rule.kind == "random" else None
        return without_crowds(rotate_batch(batch, angles, self._rule, shapes))

    def _read(self, taken: _Taken, images_per_second: float) -> float:
        *losses, norm = taken.values.tolist()
        named = dict(zip(taken.names, losses, strict=True))
        if not all(math.isfinite(value) for value in (*losses, norm)):
            raise self._keep(taken, named)
        if self._rank == 0:
            self._hooks.step(
                StepStats(
                    step=taken.step + 1,
                    steps=self._steps,
                    epoch=taken.epoch + 1,
                    losses=named,
                    loss=sum(losses),
                    gradient_norm=norm,
                    learning_rate=taken.learning_rate,
                    images_per_second=images_per_second,
                )
            )
        return float(sum(losses))

    def _keep(self, taken: _Taken, losses: dict[str, float]) -> NonFiniteLoss:
        path = self._folder / KEPT_BATCH
        batch = taken.batch.to("cpu")
        tensors = {name: getattr(batch, name) for name in ("images", "boxes", "labels", "owner", "angles")}
        save_checkpoint(path, {**tensors, "names": list(batch.names), "step": taken.step + 1, "losses": losses})
        return NonFiniteLoss(taken.step + 1, batch.names, losses, path)

    # -- between epochs

    def _validate(self, loss: float) -> None:
        """Evaluate on the first process, tell the others how it went, and write the checkpoint."""
        results: tuple[AngleResult, ...] = ()
        ap = 0.0
        if self._rank == 0:
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
                results = tuple(
                    evaluate_model(
                        self._ema.model,
                        self._val_set,
                        size=self._size,
                        angles=self._config.val_angles,
                        batch_size=self._config.batch_size,
                        device=self._device,
                        max_detections=self._config.val_max_detections,
                        loader=self._val_loader,
                    )
                )
            ap = sum(each.result.overall.ap or 0.0 for each in results) / len(results)
        ap = self._same_everywhere(ap)
        best = ap > self._best_ap
        self._best_ap, self._since_best = (ap, 0) if best else (self._best_ap, self._since_best + 1)
        if self._rank == 0:
            # Told before it is kept: who is killed in between does the epoch again and tells the same once more.
            gates = self._model.gate_rows()
            self._hooks.epoch(EpochStats(self._epoch, self._config.epochs, loss, ap, best, results, gates))
            self._save(best)

    def _save(self, best: bool) -> None:
        if best:
            save_weights(
                self._folder / BEST, self._ema.model, {"epoch": str(self._epoch), "ap": f"{self._best_ap:.6f}"}
            )
        save_checkpoint(
            self._folder / CHECKPOINT,
            {
                "identity": self._identity,
                "epoch": self._epoch,
                "best_ap": self._best_ap,
                "since_best": self._since_best,
                "model": self._model.state_dict(),
                "ema": self._ema.model.state_dict(),
                "optimiser": self._optimiser.state_dict(),
            },
        )

    def _resume(self) -> None:
        path = self._folder / CHECKPOINT
        if not path.exists():
            return
        state = load_checkpoint(path)
        if state["identity"] != self._identity:
            raise CheckpointError(
                f"{path} is of another configuration or data set: use a new folder, or the same settings"
            )
        self._epoch, self._best_ap, self._since_best = state["epoch"], state["best_ap"], state["since_best"]
        self._model.load_state_dict(state["model"])
        self._ema.model.load_state_dict(state["ema"])
        self._optimiser.load_state_dict(state["optimiser"])

    def _result(self, stopped: Stopped) -> TrainResult:
        best = self._folder / BEST
        return TrainResult(stopped, self._epoch, self._best_ap, best if self._epoch else None)

    # -- processes

    @property
    def _bf16(self) -> bool:
        if self._config.precision == "auto":
            return self._device.type == "cuda" and torch.cuda.is_bf16_supported()
        return self._config.precision == "bf16"

    def _cancelled(self) -> bool:
        """One answer for all processes: a gradient waits for every one of them."""
        return self._same_everywhere(float(self._hooks.cancelled())) > 0

    def _same_everywhere(self, value: float) -> float:
        """The first process's value, on all."""
        if self._world == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self._device)
        torch.distributed.broadcast(shared, 0)
        return float(shared)


def _process() -> tuple[int, int]:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def _spread(model: Detector, world: int) -> nn.Module:
    """Averages gradients over the processes. Frozen buffers are alike on all of them already."""
    return DistributedDataParallel(model, broadcast_buffers=False) if world > 1 else model


def _optimiser(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW; biases and norms, which are vectors, are not decayed."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups: Iterable[dict[str, Any]] = (
        {"params": [each for each in trained if each.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [each for each in trained if each.ndim <= 1], "weight_decay": 0.0},
    )
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def _plain(value: Any) -> Any:
    """Tuples as lists, so that what was saved equals what is asked for."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _cuda_index(device: torch.device | str) -> list[int]:
    place = torch.device(device)
    return [place.index or 0] if place.type == "cuda" else []
