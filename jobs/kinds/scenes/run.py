"""The runner side: does one shard of any stage inside the warm runner process. No Django here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from jobs.kinds.scenes.plan import AUTOENCODER, COLLECT, DIFFUSION, EVALUATE, GENERATE, LATENTS, SAMPLE

if TYPE_CHECKING:
    from jobs.kinds.base import Context

_STAGES = {
    COLLECT: ("collect", "collect"),
    AUTOENCODER: ("train", "train"),
    LATENTS: ("train", "train"),
    DIFFUSION: ("train", "train"),
    SAMPLE: ("draw", "draw_scenes"),
    EVALUATE: ("evaluate", "evaluate"),
    GENERATE: ("draw", "draw_scenes"),
}


def run(stage: str, job: dict[str, Any], context: Context) -> None:
    """Do one shard of ``stage``."""
    module, function = _STAGES[stage]
    getattr(import_module(f"jobs.kinds.scenes.{module}"), function)(job, context)
