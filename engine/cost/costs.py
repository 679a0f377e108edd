"""What a sample costs, in each of the units a cost axis can have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from engine.cost.flops import ModelSize, PromptCharge, decode_flops, prompt_flops
from engine.cost.prices import GpuPrice, TokenPrice, gpu_dollars, token_dollars

Unit = Literal["FLOPs", "dollars", "seconds"]


@dataclass(frozen=True, slots=True)
class Cost:
    """What k samples of one problem cost on average: ``fixed`` + k ``per_sample``.

    fixed: what all samples of a problem share, such as a prompt charged once (0 when every request is charged for it).
    """

    unit: Unit
    fixed: float
    per_sample: float

    def __post_init__(self) -> None:
        if not (self.fixed >= 0 and self.per_sample > 0):
            raise ValueError(f"a cost needs fixed >= 0 and per_sample > 0, got {self.fixed} and {self.per_sample}")


def flops_cost(
    size: ModelSize, prompt_tokens: npt.ArrayLike, output_tokens: npt.ArrayLike, prompt: PromptCharge = "once"
) -> Cost:
    """FLOPs by the paper's formula. prompt_tokens, output_tokens: per problem, the prompt's and a sample's mean length.

    A mean length leaves out what differing lengths add to attention, which grows with the square of the length.
    """
    read = float(np.mean(prompt_flops(size, prompt_tokens)))
    written = float(np.mean(decode_flops(size, prompt_tokens, output_tokens)))
    return _charged("FLOPs", read, written, prompt)


def token_cost(
    price: TokenPrice, prompt_tokens: npt.ArrayLike, output_tokens: npt.ArrayLike, prompt: PromptCharge = "each"
) -> Cost:
    """Dollars by tokens; lengths as in flops_cost. An API bills every request's prompt: "each" is one sample a request,
    "once" all samples of a problem in one."""
    read = float(np.mean(token_dollars(price, prompt_tokens, 0)))
    written = float(np.mean(token_dollars(price, 0, output_tokens)))
    return _charged("dollars", read, written, prompt)


def seconds_cost(seconds_per_sample: float) -> Cost:
    """Measured GPU seconds, the prompt's share included."""
    return Cost("seconds", 0.0, seconds_per_sample)


def gpu_cost(seconds_per_sample: float, price: GpuPrice, gpus: int = 1) -> Cost:
    """Dollars by measured seconds of ``gpus`` GPUs and their hourly rate."""
    return Cost("dollars", 0.0, float(gpu_dollars(seconds_per_sample, price, gpus)))


def _charged(unit: Unit, read: float, written: float, prompt: PromptCharge) -> Cost:
    return Cost(unit, read, written) if prompt == "once" else Cost(unit, 0.0, read + written)
