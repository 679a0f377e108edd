"""Samplers: from noise to data in a number of steps. Each is one short function, a step from time t to the earlier s.

All work on the denoiser's estimate of x_0 and on (alpha, sigma) of the process, whichever it is. Notation:
lambda = log(alpha / sigma), half the log signal-to-noise ratio. The last step ends at s = 0, where alpha = 1, sigma = 0
and every sampler gives back the estimate of x_0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from engine.scenes.diffusion.prediction import Denoiser
from engine.scenes.diffusion.process import Process


@dataclass(frozen=True, slots=True)
class Step:
    """Where a sampler is after a step. A live preview shows ``x0``, not ``x``."""

    index: int  # from 0
    steps: int
    t: float  # the time this step ended at
    x: Tensor
    x0: Tensor  # the denoiser's latest estimate of the data


@dataclass(frozen=True, slots=True)
class _Level:
    """alpha and sigma of one time, as plain numbers: all of a batch are at the same time."""

    t: float
    alpha: float
    sigma: float

    def times(self, x: Tensor) -> Tensor:
        return torch.full((len(x),), self.t, dtype=torch.float64, device=x.device)


Before = tuple[Tensor, _Level] | None  # the estimate of x_0 of the step before, and where it was made
StepFunction = Callable[
    [Denoiser, Tensor, _Level, _Level, Before, "torch.Generator | None"], tuple[Tensor, Tensor]
]  # -> x at s, the estimate of x_0 at t


@torch.no_grad()
def sample(
    sampler: str,
    denoise: Denoiser,
    process: Process,
    noise: Tensor,
    steps: int,
    *,
    start: float | None = None,
    generator: torch.Generator | None = None,
    on_step: Callable[[Step], Tensor | None] | None = None,
) -> Tensor:
    """Data [B, ...] from ``noise`` [B, ...], which is x at time ``start``: the process's last time unless told (SDEdit,
    Meng et al. 2022, starts earlier, from noised data). ``on_step`` may return another x to go on with.

    Raises:
        ValueError: no such sampler, or no steps.
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"no sampler is called {sampler!r}; there are: {', '.join(SAMPLERS)}")
    if steps < 1:
        raise ValueError(f"a sampler takes at least 1 step, got {steps}")
    levels = _levels(process, steps, process.last if start is None else start)
    x, before = noise, None
    for index, (now, then) in enumerate(pairwise(levels)):
        x, x0 = SAMPLERS[sampler](denoise, x, now, then, before, generator)
        before = (x0, now)
        if on_step is not None:
            replaced = on_step(Step(index, steps, then.t, x, x0))
            x = x if replaced is None else replaced
    return x


def _levels(process: Process, steps: int, start: float) -> list[_Level]:
    """steps + 1 times, evenly from ``start`` to 0."""
    times = torch.linspace(start, 0.0, steps + 1, dtype=torch.float64)
    alphas, sigmas = process.levels(times)
    return [_Level(*each) for each in zip(times.tolist(), alphas.tolist(), sigmas.tolist(), strict=True)]


def ddim(
    denoise: Denoiser, x: Tensor, t: _Level, s: _Level, before: Before, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Song et al. 2021: keep the noise, move it to the level of s. First order, deterministic."""
    x0 = denoise(x, t.times(x))
    eps = (x - t.alpha * x0) / t.sigma
    return s.alpha * x0 + s.sigma * eps, x0


def ddpm(
    denoise: Denoiser, x: Tensor, t: _Level, s: _Level, before: Before, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Ho et al. 2020: draw from q(x_s | x_t, x_0) with the estimate of x_0."""
    x0 = denoise(x, t.times(x))
    ratio = t.alpha / s.alpha
    step_variance = t.sigma**2 - ratio**2 * s.sigma**2  # of q(x_t | x_s)
    mean = (ratio * s.sigma**2 * x + s.alpha * step_variance * x0) / t.sigma**2
    noise = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
    return mean + (step_variance**0.5 * s.sigma / t.sigma) * noise, x0


def heun(
    denoise: Denoiser, x: Tensor, t: _Level, s: _Level, before: Before, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Karras et al. 2022, algorithm 1, in y = x / alpha and z = sigma / alpha. Second order, two calls a step."""
    x0 = denoise(x, t.times(x))
    z_t, z_s = t.sigma / t.alpha, s.sigma / s.alpha
    y = x / t.alpha
    slope = (y - x0) / z_t
    if s.sigma == 0:  # the slope there is 0 / 0; Euler's step gives x0
        return x0, x0
    # Euler step, then its slope at the end for the correction.
    ended = s.alpha * (y + (z_s - z_t) * slope)
    slope_at_end = (ended - s.alpha * denoise(ended, s.times(x))) / s.sigma
    return s.alpha * (y + (z_s - z_t) * (slope + slope_at_end) / 2), x0


def dpm_solver(
    denoise: Denoiser, x: Tensor, t: _Level, s: _Level, before: Before, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2): second order from one call a step and the estimate before."""
    x0 = denoise(x, t.times(x))
    if s.sigma == 0:
        return x0, x0
    h = _lambda(s) - _lambda(t)
    estimate = x0
    if before is not None:
        earlier, r = before[0], (_lambda(t) - _lambda(before[1])) / h
        estimate = x0 + (x0 - earlier) / (2 * r)
    return (s.sigma / t.sigma) * x + (s.alpha - t.alpha * s.sigma / t.sigma) * estimate, x0


def _lambda(level: _Level) -> float:
    return math.log(level.alpha / level.sigma)


SAMPLERS: dict[str, StepFunction] = {"ddpm": ddpm, "ddim": ddim, "dpm-solver++": dpm_solver, "heun": heun}
