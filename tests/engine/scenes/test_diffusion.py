"""Samplers, predictions and the loss, against data whose diffusion is known in closed form: a normal distribution."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from engine.scenes.diffusion import SAMPLERS, Process, denoiser, guided, sample, training_loss
from engine.scenes.diffusion.prediction import PREDICTIONS, target
from engine.scenes.diffusion.samplers import _Level, _levels

MEAN, STD = 0.7, 0.5
PROCESSES = ("linear", "cosine", "flow")


def exact(process: Process):  # type: ignore[no-untyped-def]
    """E[x_0 | x_t] for x_0 ~ N(MEAN, STD^2)."""

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = process.at(t, x)
        return MEAN + STD**2 * alpha / (alpha**2 * STD**2 + sigma**2) * (x - alpha * MEAN)

    return denoise


def transported(process: Process, x: Tensor, t: float, s: float) -> Tensor:
    """Where the probability flow takes x from time t to s: it keeps the standardised value."""

    def moments(time: float) -> tuple[Tensor, Tensor]:
        alpha, sigma = process.levels(torch.tensor(time, dtype=torch.float64))
        return alpha * MEAN, torch.sqrt(alpha**2 * STD**2 + sigma**2)

    (mean_t, std_t), (mean_s, std_s) = moments(t), moments(s)
    return mean_s + std_s * (x - mean_t) / std_t


def test_the_linear_process_has_the_levels_of_ddpm() -> None:
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    alpha_bar = torch.cumprod(1 - betas, 0)
    times = torch.arange(1, 1001, dtype=torch.float64) / 1000
    alpha, sigma = Process.named("linear").levels(times)
    torch.testing.assert_close(alpha**2, alpha_bar, rtol=2e-2, atol=1e-4)
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones_like(alpha))


@pytest.mark.parametrize("name", PROCESSES)
def test_noise_only_grows(name: str) -> None:
    process = Process.named(name)
    alpha, sigma = process.levels(torch.linspace(0, 1, 400, dtype=torch.float64))
    assert alpha[0] == 1 and sigma[0] == 0
    assert (alpha.diff() < 0).all() and (sigma.diff() > 0).all()
    assert process.levels(torch.tensor(process.last, dtype=torch.float64))[0] > 0


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="linear, cosine, flow"):
        Process.named("quadratic")
    with pytest.raises(ValueError, match="ddim"):
        sample("euler", exact(Process.named("flow")), Process.named("flow"), torch.zeros(1, 1), 3)


@given(st.sampled_from(PROCESSES), st.sampled_from(PREDICTIONS), st.floats(0.01, 0.99))
def test_each_prediction_gives_back_the_data(name: str, prediction: str, time: float) -> None:
    process = Process.named(name)
    generator = torch.Generator().manual_seed(1)
    x0, noise = (torch.randn(3, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    t = torch.full((3,), time, dtype=torch.float64)
    alpha, sigma = process.at(t, x0)
    said = target(prediction, x0, noise, alpha, sigma)  # type: ignore[arg-type]
    denoise = denoiser(lambda x, t: said, process, prediction)  # type: ignore[arg-type]
    torch.testing.assert_close(denoise(process.noised(x0, noise, t), t), x0, rtol=1e-6, atol=1e-6)


@given(
    st.sampled_from(PROCESSES), st.sampled_from(PREDICTIONS), st.sampled_from(["snr", "min-snr"]), st.floats(0.05, 0.95)
)
def test_the_loss_is_the_weighted_error_of_x0_whatever_is_predicted(
    name: str, prediction: str, weighting: str, time: float
) -> None:
    process = Process.named(name)
    generator = torch.Generator().manual_seed(2)
    x0, noise, wrong = (torch.randn(2, 5, generator=generator, dtype=torch.float64) for _ in range(3))
    t = torch.full((2,), time, dtype=torch.float64)
    network = lambda x, t: wrong  # noqa: E731
    loss = training_loss(network, process, prediction, x0, weighting=weighting, t=t, noise=noise)  # type: ignore[arg-type]
    estimate = denoiser(network, process, prediction)(process.noised(x0, noise, t), t)  # type: ignore[arg-type]
    alpha, sigma = process.levels(t)
    snr = (alpha / sigma) ** 2
    weight = snr.clamp(min=1) if weighting == "snr" else snr.clamp(max=5)
    torch.testing.assert_close(loss.double(), weight * (estimate - x0).square().mean(1), rtol=1e-4, atol=1e-6)


def _integrate(sampler: str, process: Process, x: Tensor, t: float, s: float, steps: int) -> Tensor:
    times = torch.linspace(t, s, steps + 1, dtype=torch.float64)
    levels = [_Level(*each) for each in zip(times.tolist(), *(a.tolist() for a in process.levels(times)), strict=True)]
    before = None
    for now, then in pairwise(levels):
        x, x0 = SAMPLERS[sampler](exact(process), x, now, then, before, None)
        before = (x0, now)
    return x


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize(("sampler", "order"), [("ddim", 1), ("dpm-solver++", 2), ("heun", 2)])
def test_samplers_follow_the_probability_flow_with_their_order(name: str, sampler: str, order: int) -> None:
    process = Process.named(name)
    x = torch.tensor([[-1.5], [0.2], [2.0]], dtype=torch.float64)
    truth = transported(process, x, 0.8, 0.2)
    errors = [(_integrate(sampler, process, x, 0.8, 0.2, steps) - truth).abs().max() for steps in (160, 320)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.25)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("name", PROCESSES)
def test_every_sampler_draws_the_distribution(sampler: str, name: str) -> None:
    process = Process.named(name)
    generator = torch.Generator().manual_seed(3)
    steps = 250 if sampler == "ddpm" else 60  # its spread is too small by a first-order error
    noise = torch.randn(20_000, 1, generator=generator, dtype=torch.float64)
    drawn = sample(sampler, exact(process), process, noise, steps, generator=generator)
    assert drawn.mean() == pytest.approx(MEAN, abs=0.03)
    assert drawn.std() == pytest.approx(STD, rel=0.06)


def test_a_sampler_tells_of_each_step_and_goes_on_with_what_it_is_given() -> None:
    process = Process.named("cosine")
    seen = []

    def on_step(step):  # type: ignore[no-untyped-def]
        seen.append((step.index, round(step.t, 6)))
        return torch.full_like(step.x, 2.0) if step.index == 1 else None

    sample("ddim", exact(process), process, torch.zeros(2, 3), 4, start=0.8, on_step=on_step)
    assert seen == [(0, 0.6), (1, 0.4), (2, 0.2), (3, 0.0)]
    now, then = _levels(process, 4, 0.8)[2:4]
    x, _ = SAMPLERS["ddim"](exact(process), torch.full((2, 3), 2.0), now, then, None, None)
    ended = sample("ddim", exact(process), process, torch.zeros(2, 3), 4, start=0.8, on_step=lambda step: on_step(step))
    now, then = _levels(process, 4, 0.8)[3:5]
    last, _ = SAMPLERS["ddim"](exact(process), x, now, then, None, None)
    torch.testing.assert_close(ended, last)


def test_guidance_of_two_normals_is_known() -> None:
    """Denoisers of N(m, 1) and N(m', 1) differ by a constant at each time: guidance moves the estimate along it."""
    first, second = (lambda x, t: x * 0 + 1.0), (lambda x, t: x * 0 - 1.0)
    x, t = torch.zeros(2, 1), torch.full((2,), 0.5)
    torch.testing.assert_close(guided(first, second, 3.0)(x, t), torch.full((2, 1), 5.0))
    torch.testing.assert_close(guided(first, second, 3.0, (0.6, 1.0))(x, t), torch.ones(2, 1))


def test_training_times_cover_the_whole_range_in_every_batch() -> None:
    generator = torch.Generator().manual_seed(4)
    for name in PROCESSES:
        process = Process.named(name)
        times = process.times(64, generator, torch.device("cpu"))
        assert times.shape == (64,) and (times.diff() > 0).all()
        assert times.min() > 0 and times.max() <= 1
    uniform = Process.named("linear").times(1000, generator, torch.device("cpu"))
    torch.testing.assert_close(uniform, torch.linspace(0, 1, 1000), rtol=0, atol=3e-3)
