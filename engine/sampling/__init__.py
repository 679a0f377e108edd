"""Repeated sampling from a language model over a tree of shared prompts.

    model = load_model(DEMO_MODEL, cache_dir=Path("~/.cache/canopy").expanduser())
    root, prompts = render_prompts(model.tokenizer, template="Q: {question}\\nA:", questions=["1 + 1?"])
    requests = [Request(problem=0, prompt=tuple(prompts[0]), indices=tuple(range(64)))]
    for sample in Engine(model).generate(root, requests, SamplingParams(temperature=0.8)):
        print(sample.index, sample.text)

Importing this package does not import torch: a web process reads `model_shape` and `estimate` only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.sampling.estimate import Estimate, Fit, estimate, fit
from engine.sampling.prompts import PromptError, render_prompts
from engine.sampling.shape import ModelShape, model_shape
from engine.sampling.sources import DEMO_MODEL, ModelError
from engine.sampling.types import EarlyStop, Request, Sample, SamplingParams, StepStats

if TYPE_CHECKING:
    from engine.sampling.engine import Engine
    from engine.sampling.model import Model, load_model

__all__ = [
    "DEMO_MODEL",
    "EarlyStop",
    "Engine",
    "Estimate",
    "Fit",
    "Model",
    "ModelError",
    "ModelShape",
    "PromptError",
    "Request",
    "Sample",
    "SamplingParams",
    "StepStats",
    "estimate",
    "fit",
    "load_model",
    "model_shape",
    "render_prompts",
]


def __getattr__(name: str) -> Any:
    if name == "Engine":
        from engine.sampling.engine import Engine

        return Engine
    if name in ("Model", "load_model"):
        from engine.sampling import model

        return getattr(model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
