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
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from engine.detection.batch import Batch
from engine.detection.data.types import Dataset, DatasetError
from engine.detection.evaluate import AngleResult, evaluate_model
from engine.detection.loader import Loader
from engine.detection.models import Detector, ModelConfig, build_model
from engine.detection.rotation import draw_angles, flip_batch, turn_batch
from engine.detection.rules import LabelRule
from engine.detection.step import TrainStep, room_for
from engine.detection.targets import Targets
from engine.detection.training_types import (
    EpochStats,
    NoHooks,
    NonFiniteLoss,
    StepStats,
    Stopped,
    TrainConfig,
    TrainHooks,
    TrainResult,
)
from engine.training.checkpoint import CheckpointError, as_saved, load_checkpoint, save_checkpoint, save_weights
from engine.training.schedule import MovingAverage, epoch_batches, learning_rate, step_seed

CHECKPOINT, BEST, KEPT_BATCH = "last.pt", "best.safetensors", "nonfinite-batch.pt"


def train(
    model_config: ModelConfig,
    config: TrainConfig,
    train_set: Dataset,
    val_set: Dataset,
    *,
    folder: Path,
    device: torch.device | str = "cpu",
    hooks: TrainHooks | None = None,
    loaders: tuple[Loader, Loader] | None = None,
) -> TrainResult:
    """Train, or go on where the checkpoint in `folder` ends.

    loaders: of the two sets at the model's size, so that several trainings share decoded images; made here if None.

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
        place = torch.device(device)
        return _Run(model_config, config, train_set, val_set, folder, place, hooks or NoHooks(), loaders).run()


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
        loaders: tuple[Loader, Loader] | None,
    ) -> None:
        self._config, self._folder, self._device, self._hooks = config, folder, device, hooks
        self._rule = LabelRule.parse(config.rule)
        self._rank, self._world = _process()
        self._images, self._size, self._val_set = len(train_set), model_config.image_size, val_set
        pin = device.type == "cuda"
        self._loader, self._val_loader = loaders or (
            Loader(train_set, self._size, pin=pin, outlines=self._rule.needs_masks),
            Loader(val_set, self._size, pin=pin),
        )
        self._model, copy = (
            build_model(model_config, config.seed).to(device).to(memory_format=_layout(device)) for _ in range(2)
        )
        self._ema = MovingAverage(self._model, copy, config.ema_decay)
        on_gpu = device.type == "cuda"
        self._step = TrainStep(
            _spread(self._model, self._world), device, bf16=self._bf16, capture=on_gpu and self._world == 1
        )
        # on a GPU one room for all batches, and so one step to capture: matching does not look at empty places
        self._room = room_for(max(len(each.instances) for each in train_set.records)) if on_gpu else None
        self._optimiser = _optimiser(self._model, config, fused=on_gpu)
        self._identity = {
            "model": as_saved(dataclasses.asdict(model_config)),
            "train": as_saved(dataclasses.asdict(config)),
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
        batch, targets = self._augment(batch, step)
        images = batch.images.contiguous(memory_format=_layout(self._device))
        rate = learning_rate(step, self._steps, min(config.warmup_steps, self._steps // 2 or 1), config.learning_rate)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        losses = self._step(images, targets)
        norm = nn.utils.clip_grad_norm_(self._model.parameters(), config.clip_norm)
        self._optimiser.step()
        self._ema.update(self._model, step)
        values = torch.stack([*losses.values(), norm])
        return _Taken(step, self._epoch, batch, list(losses), values, rate)

    def _augment(self, batch: Batch, step: int) -> tuple[Batch, Targets]:
        """The batch as the model sees it and what it is trained on, without waiting for the device."""
        seed = step_seed(self._config.seed, step, self._rank)
        host = torch.Generator().manual_seed(seed)
        angles = draw_angles(len(batch), host, self._config.angle_std)
        flips = torch.rand(len(batch), generator=host) < 0.5
        room = self._room or room_for(batch.most_objects())
        batch = batch.to(self._device)
        if self._config.flip:
            batch = flip_batch(batch, flips)
        shapes = torch.Generator(self._device).manual_seed(seed) if self._rule.kind == "random" else None
        batch, seen = turn_batch(batch, angles, self._rule, shapes)
        return batch, batch.targets(seen, room)

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
                        on_batch=self._show_life,
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

    def _show_life(self, *_: object) -> None:
        """Between two batches of validation, which reports nothing else. A cancel waits for the epoch's end."""
        self._hooks.cancelled()

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


def _layout(device: torch.device) -> torch.memory_format:
    """Tensor cores want the channels of a pixel side by side."""
    return torch.channels_last if device.type == "cuda" else torch.contiguous_format


def _optimiser(model: nn.Module, config: TrainConfig, *, fused: bool) -> torch.optim.Optimizer:
    """AdamW; biases and norms, which are vectors, are not decayed."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups: Iterable[dict[str, Any]] = (
        {"params": [each for each in trained if each.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [each for each in trained if each.ndim <= 1], "weight_decay": 0.0},
    )
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=fused)


def _cuda_index(device: torch.device | str) -> list[int]:
    place = torch.device(device)
    return [place.index or 0] if place.type == "cuda" else []
