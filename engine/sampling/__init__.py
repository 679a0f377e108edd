"""Repeated sampling from a language model over a tree of shared prompts.

    model = load_model(DEMO_MODEL, cache_dir=Path("~/.cache/canopy").expanduser())  # of engine.models
    root, prompts = render_prompts(model.tokenizer, template="Q: {question}\\nA:", questions=["1 + 1?"])
    requests = [Request(problem=0, prompt=tuple(prompts[0]), indices=tuple(range(64)))]
    for sample in Engine(model).generate(root, requests, SamplingParams(temperature=0.8)):
        print(sample.index, sample.text)

Importing this package does not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.sampling.types import Request, Sample, SamplingParams, StepStats

if TYPE_CHECKING:
    from engine.sampling.engine import Engine

__all__ = ["Engine", "Request", "Sample", "SamplingParams", "StepStats"]


def __getattr__(name: str) -> Any:
    if name == "Engine":
        from engine.sampling.engine import Engine

        return Engine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
