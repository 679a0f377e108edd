"""The engine's models from a job's fields, on the device of this process. No Django."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.scenes.autoencoder import SceneAutoencoder, SceneConfig
from engine.scenes.diffusion.hierarchy import DiffusionConfig, LatentShapes, SceneDiffusion
from engine.scenes.latents import LatentAutoencoder, LatentConfig
from engine.scenes.trajectory import NUMBERS
from engine.training.checkpoint import WeightsError, load_weights
from engine.training.schedule import step_seed
from jobs.kinds.runner_parts import Hopeless

_ORDER = ("autoencoder", "latents", "diffusion")


def as_config(model: dict[str, Any]) -> dict[str, Any]:
    """JSON has lists where the configurations have tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in model.items()}


def fresh(stage: str, model: dict[str, Any], *, latents: LatentAutoencoder | None, cameras: int, seed: int) -> Any:
    """An untrained model of a stage; the same seed gives the same weights."""
    torch.manual_seed(step_seed(seed, 1 << 40, _ORDER.index(stage)))
    if stage == "autoencoder":
        return SceneAutoencoder(SceneConfig(**as_config(model)))
    if stage == "latents":
        return LatentAutoencoder(LatentConfig(**as_config(model)))
    assert latents is not None, "diffusion follows the latents"
    return SceneDiffusion(DiffusionConfig(**as_config(model)), shapes_of(latents, cameras))


def shapes_of(latents: LatentAutoencoder, cameras: int) -> LatentShapes:
    """Of the latents that are diffused: the trajectory's numbers go with g."""
    plain = latents.config.shapes
    return LatentShapes(plain.g, cameras * NUMBERS, plain.c, plain.f)


def load_models(models: dict[str, Any], cameras: int, device: torch.device | str) -> dict[str, Any]:
    """Trained models by stage, ready to be used. Raises Hopeless where a file does not fit."""
    found: dict[str, Any] = {}
    for stage in (name for name in _ORDER if name in models):
        model = fresh(stage, models[stage]["model"], latents=found.get("latents"), cameras=cameras, seed=0)
        found[stage] = with_weights(model, Path(models[stage]["weights"])).to(device)
    return found


def with_weights(model: nn.Module, path: Path) -> nn.Module:
    try:
        load_weights(path, model)
    except WeightsError as error:
        raise Hopeless(str(error)) from None
    return model.eval().requires_grad_(False)
