"""Noising processes: x_t = alpha(t) x_0 + sigma(t) eps, for t from 0 (data) to 1 (noise)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

ProcessName = Literal["linear", "cosine", "flow"]
_BETA_FIRST, _BETA_LAST, _TIMES = 1e-4, 0.02, 1000  # DDPM (Ho et al. 2020); the paper names no schedule


@dataclass(frozen=True, slots=True)
class Process:
    """``levels(t)`` gives (alpha, sigma), of the shape and dtype of t. ``first`` and ``last`` are the times that
    are trained at the ends: at t = 0 there is no noise, and at t = 1 a flow has no signal left to divide by."""

    name: ProcessName
    levels: Callable[[Tensor], tuple[Tensor, Tensor]]
    first: float
    last: float

    @classmethod
    def named(cls, name: str) -> Process:
        """``linear`` and ``cosine`` keep alpha^2 + sigma^2 = 1, ``flow`` goes straight from data to noise.

        Raises:
            ValueError: there is no process of that name.
        """
        match name:
            case "linear":
                return cls("linear", _linear, 1 / _TIMES, 1.0)
            case "cosine":
                return cls("cosine", _cosine, 1 / _TIMES, 0.999)
            case "flow":
                return cls("flow", _flow, 1 / _TIMES, 0.999)
        raise ValueError(f"no noising process is called {name!r}; there are: {', '.join(get_args(ProcessName))}")

    def at(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """(alpha, sigma) of times t [B], shaped [B, 1, ...] to multiply a tensor [B, ...]."""
        alpha, sigma = self.levels(t)
        shape = (-1, *[1] * (like.dim() - 1))
        return alpha.to(like.dtype).view(shape), sigma.to(like.dtype).view(shape)

    def noised(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t of data x0 [B, ...] at times t [B]."""
        alpha, sigma = self.at(t, x0)
        return alpha * x0 + sigma * noise

    def times(self, count: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
        """Times [count] to train at. Uniform, but stratified over the batch, which makes the loss less noisy; for flows
        the logistic of a normal variable (Esser et al. 2024), which trains the hard middle more."""
        uniform = (torch.arange(count, device=device) + torch.rand(count, generator=generator, device=device)) / count
        if self.name == "flow":
            return torch.sigmoid(torch.special.ndtri(uniform.clamp(1e-4, 1 - 1e-4)))
        return self.first + (self.last - self.first) * uniform


def _linear(t: Tensor) -> tuple[Tensor, Tensor]:
    """The product of 1 - beta_i over a linear schedule of 1,000 betas, as an integral, so that any time has a level.

    log alpha_bar(t) = sum_i log(1 - beta_i) is taken as the integral of -(beta + beta^2 / 2) with beta linear in t."""
    spread = _BETA_LAST - _BETA_FIRST
    first = _BETA_FIRST * t + spread * t**2 / 2
    second = _BETA_FIRST**2 * t + _BETA_FIRST * spread * t**2 + spread**2 * t**3 / 3
    log_alpha_bar = -_TIMES * (first + second / 2)
    return torch.exp(log_alpha_bar / 2), torch.sqrt(-torch.expm1(log_alpha_bar))


def _cosine(t: Tensor) -> tuple[Tensor, Tensor]:
    """Nichol and Dhariwal 2021, without the small offset."""
    return torch.cos(t * math.pi / 2), torch.sin(t * math.pi / 2)


def _flow(t: Tensor) -> tuple[Tensor, Tensor]:
    """Rectified flow (Liu et al. 2023)."""
    return 1 - t, t
