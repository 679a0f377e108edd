"""What a network predicts, and the denoiser and the loss that follow from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from engine.scenes.diffusion.process import Process

Prediction = Literal["x0", "eps", "v", "flow"]
Weighting = Literal["snr", "min-snr", "uniform"]
PREDICTIONS: tuple[str, ...] = get_args(Prediction)
MIN_SNR = 5.0  # Hang et al. 2023

Network = Callable[[Tensor, Tensor], Tensor]  # (x_t [B, ...], t [B]) -> prediction, of x_t's shape
Denoiser = Callable[[Tensor, Tensor], Tensor]  # (x_t [B, ...], t [B]) -> estimate of x_0


def target(prediction: Prediction, x0: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """What the network should say: p x_0 + q eps."""
    p, q = _mixture(prediction, alpha, sigma)
    return p * x0 + q * noise


def denoiser(network: Network, process: Process, prediction: Prediction) -> Denoiser:
    """The estimate of x_0 that the network's prediction implies."""

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = process.at(t, x)
        p, q = _mixture(prediction, alpha, sigma)
        # From x = alpha x_0 + sigma eps and y = p x_0 + q eps.
        return (q * x - sigma * network(x, t)) / (q * alpha - p * sigma)

    return denoise


def training_loss(
    network: Network,
    process: Process,
    prediction: Prediction,
    x0: Tensor,
    *,
    weighting: Weighting = "snr",
    t: Tensor,
    noise: Tensor,
) -> Tensor:
    """The weighted squared error, [B]: E[w(lambda_t) |x_0 - psi(x_t, t)|^2] of the paper, section 3.3.

    Whatever is predicted, the error counts as that of the estimate of x_0 with the weight w: ``snr`` is
    max(SNR, 1) (Salimans and Ho 2022: the paper says "depends on the SNR" and no more), ``min-snr`` min(SNR, 5), and
    ``uniform`` leaves the error of the prediction itself as it is, as v-prediction and flow matching are trained.
    """
    alpha, sigma = process.at(t, x0)
    x = alpha * x0 + sigma * noise
    error = (network(x, t) - target(prediction, x0, noise, alpha, sigma)).flatten(1).float().square().mean(1)
    if weighting == "uniform":
        return error
    p, q = (part.flatten() for part in _mixture(prediction, alpha, sigma))
    alpha, sigma = alpha.flatten(), sigma.flatten()
    snr = (alpha / sigma) ** 2
    weight = snr.clamp(min=1.0) if weighting == "snr" else snr.clamp(max=MIN_SNR)
    return error * weight * (sigma / (q * alpha - p * sigma)) ** 2


def _mixture(prediction: Prediction, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """(p, q) of the prediction p x_0 + q eps."""
    zero, one = torch.zeros_like(alpha), torch.ones_like(alpha)
    match prediction:
        case "x0":
            return one, zero
        case "eps":
            return zero, one
        case "v":  # Salimans and Ho 2022
            return -sigma, alpha
        case "flow":  # dx/dt of a straight path
            return -one, one
    raise ValueError(f"a network predicts one of {', '.join(PREDICTIONS)}, not {prediction!r}")
