"""The runner side: does one shard of any stage inside the warm runner process. No Django here.

Stages are imported when they are asked for: reading an upload that turns out to be none needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from jobs.kinds.detection.plan import EVALUATE, EXPORT, PREPARE, TRAIN, TRY

if TYPE_CHECKING:
    from jobs.kinds.base import Context

_STAGES = {
    PREPARE: ("prepare", "prepare"),
    TRAIN: ("train", "train_run"),
    EVALUATE: ("evaluate", "evaluate_run"),
    EXPORT: ("export", "export_files"),
    TRY: ("trying", "try_image"),
}


def run(stage: str, job: dict[str, Any], context: Context) -> None:
    """Do one shard of ``stage``."""
    module, function = _STAGES[stage]
    getattr(import_module(f"jobs.kinds.detection.{module}"), function)(job, context)
