"""Diffusion of latents: noising processes, what a network predicts, samplers and guidance.

    process = Process.named("linear")
    denoise = denoiser(network, process, "v")         # (x_t, t) -> estimate of x_0
    x0 = sample("dpm-solver++", denoise, process, noise, steps=20)

Times run from 0 (data) to 1 (noise). A network is called as network(x_t, t) with t of shape [B]; samplers see only the
denoiser and the process, so every sampler serves every prediction, and guidance is a denoiser made of two.
"""

from engine.scenes.diffusion.guidance import guided
from engine.scenes.diffusion.prediction import Denoiser, Prediction, denoiser, training_loss
from engine.scenes.diffusion.process import Process
from engine.scenes.diffusion.samplers import SAMPLERS, Step, sample

__all__ = [
    "SAMPLERS",
    "Denoiser",
    "Prediction",
    "Process",
    "Step",
    "denoiser",
    "guided",
    "sample",
    "training_loss",
]
