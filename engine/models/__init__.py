"""Language models as files and as modules: found, checked, measured, loaded, and their prompts as tokens.

    model = load_model(DEMO_MODEL, cache_dir=Path("~/.cache/canopy").expanduser())
    root, prompts = render_prompts(model.tokenizer, template="Q: {question}\\nA:", questions=["1 + 1?"])

Importing this package does not import torch: a web process reads `model_shape` only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.models.prompts import PromptError, render_prompts
from engine.models.shape import ModelShape, model_shape
from engine.models.sources import DEMO_MODEL, ModelError

if TYPE_CHECKING:
    from engine.models.model import Model, load_model

__all__ = [
    "DEMO_MODEL",
    "Model",
    "ModelError",
    "ModelShape",
    "PromptError",
    "load_model",
    "model_shape",
    "render_prompts",
]


def __getattr__(name: str) -> Any:
    if name in ("Model", "load_model"):
        from engine.models import model

        return getattr(model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
