"""The score stage, runner side: a reward model reads (question, answer) pairs and stays warm between shards."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.kinds.sampling.sources import resolve_model

if TYPE_CHECKING:
    from engine.selection.reward import RewardModel
    from jobs.kinds.base import Context

# Pairs read at once; their number falls by itself where memory is short. More do not help a CPU.
_BATCH_CPU, _BATCH_GPU = 8, 64

_warm: tuple[str, int | None, RewardModel] | None = None  # with its source and label


def score(job: dict[str, Any], context: Context) -> None:
    """Score the shard's samples that have no score yet, a row for each, batch by batch. Raises ModelError."""
    done = job["done"]
    context.progress(done)
    items = job["items"]
    if not items:
        return
    model = _warm_up(resolve_model(job["scorer"], [Path(path) for path in job["model_dirs"]]), job["label"], context)
    pairs = [(job["questions"][str(item["problem"])], item["text"]) for item in items]
    batch = _BATCH_GPU if model.device.type == "cuda" else _BATCH_CPU
    for places, scores in model.batches(pairs, batch=batch):
        for place, value in zip(places, scores.tolist(), strict=True):
            context.row({"sample": items[place]["sample"], "score": value})
        done += len(places)
        context.progress(done)
        if context.cancelled:
            return


def forget() -> None:
    """Free the reward model: another model needs its memory."""
    global _warm
    _warm = None


def _warm_up(source: str, label: int | None, context: Context) -> RewardModel:
    """The reward model of the last shard when it is the same one; else that is freed and this one loaded."""
    global _warm
    if _warm is None or _warm[:2] != (source, label):
        import torch

        from engine.selection.reward import load_reward_model

        _warm = None
        gc.collect()  # a dropped engine is a circle of objects
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        context.log(f"Loading the reward model {source}.")
        started = time.monotonic()
        model = load_reward_model(source, label=label)
        _warm = source, label, model
        context.log(f"Loaded in {time.monotonic() - started:.1f} s on {model.device}.")
    return _warm[2]
