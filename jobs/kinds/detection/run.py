"""The runner side: does one shard of any stage inside the warm runner process. No Django here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jobs.kinds.detection.evaluate import evaluate_run
from jobs.kinds.detection.export import export_files
from jobs.kinds.detection.plan import EVALUATE, EXPORT, PREPARE, TRAIN, TRY
from jobs.kinds.detection.prepare import prepare
from jobs.kinds.detection.train import train_run
from jobs.kinds.detection.trying import try_image

if TYPE_CHECKING:
    from jobs.kinds.base import Context

_STAGES: dict[str, Callable[[dict[str, Any], Context], None]] = {
    PREPARE: prepare,
    TRAIN: train_run,
    EVALUATE: evaluate_run,
    EXPORT: export_files,
    TRY: try_image,
}


def run(stage: str, job: dict[str, Any], context: Context) -> None:
    """Do one shard of ``stage``."""
    _STAGES[stage](job, context)
