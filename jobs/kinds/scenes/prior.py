"""The picture prior that improves scenes: trained when somebody first asks for it, kept for the next. No Django."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from engine.scenes.distil import FramePrior, FramePriorConfig, FramePriorStage
from engine.scenes.training import WEIGHTS, NoHooks, StageBudget, train_stage
from engine.training.schedule import step_seed
from jobs.kinds.runner_parts import Hopeless
from jobs.kinds.scenes.data import open_data
from jobs.kinds.scenes.models_here import as_config, with_weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.kinds.base import Context

_STEPS = {"cuda": 3_000, "cpu": 40}
_BATCH = {"cuda": 64, "cpu": 8}
_MOST_FRAMES = 4_096
_SEED = 7 << 40  # of the weights at the start: apart from those of the other stages


def prior_of(
    job: dict[str, Any], pictures: Callable[[str], Tensor], device: str, context: Context
) -> FramePrior | None:
    """The prior of a job (jobs.kinds.scenes.jobs makes ``job``), trained if it is not there; None when cancelled.

    ``pictures``: of a scene by the path of its latents, [K, 3, h, w] uint8."""
    folder = Path(job["folder"])
    torch.manual_seed(step_seed(job["seed"], _SEED))
    model = FramePrior(FramePriorConfig(**as_config(job["model"])))
    if not (folder / WEIGHTS).exists():
        shutil.rmtree(folder, ignore_errors=True)  # of an attempt that died; there may be other scenes now
        samples = [pictures(path) for path in job["samples"] if Path(path).exists()]
        if not samples:
            raise Hopeless("A scene is improved away from what new scenes look like: have some drawn first.")
        frames = open_data(job["data"], context.data_dir, context).train.arrays["images"]
        chosen = [place * len(frames) // _MOST_FRAMES for place in range(_MOST_FRAMES)]
        real = torch.from_numpy(frames[sorted(set(chosen))])
        context.log("A picture prior is trained, once for this experiment.")
        stage = FramePriorStage(model, real.to(device), torch.cat(samples).to(device), batch=_BATCH[device])
        budget = StageBudget(steps=_STEPS[device], ema_decay=0.99, warmup_steps=20, seed=job["seed"])
        if not train_stage(stage, budget, folder=folder, device=device, hooks=_Hooks(context)):
            return None
        context.artifact(folder / WEIGHTS, "prior.safetensors", "application/octet-stream")
    return with_weights(model, folder / WEIGHTS).to(device)  # type: ignore[return-value]


class _Hooks(NoHooks):
    def __init__(self, context: Context) -> None:
        self._context = context

    def cancelled(self) -> bool:
        return self._context.cancelled
