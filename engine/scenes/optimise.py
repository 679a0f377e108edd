"""A scene changed in itself: its voxels follow the gradient of a loss on the pictures that a flight through it shows.

Score distillation (engine.scenes.distil) and styles (engine.scenes.style) are such losses.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.scenes.autoencoder import SceneAutoencoder
from engine.scenes.rig import Rig


class Shown(NamedTuple):
    """What a step sees of the scene."""

    images: Tensor  # [B, 3, h, w] in [0, 1]
    before: Tensor  # [B, 3, h, w], what the scene showed there at first
    solid: Tensor  # [B, 1, h, w], how much of a pixel is the scene and not what lies beyond it


PictureLoss = Callable[[Shown, torch.Generator], dict[str, Tensor]]  # and all chance -> losses, to be summed
Heard = Callable[[int, dict[str, float]], None]  # step, from 1, and the losses

_BETWEEN = 8  # places of the flight for each of its cameras


@dataclass(frozen=True, slots=True)
class FieldSettings:
    """How a field is optimised. All ours: the paper names no number."""

    steps: int = 200
    learning_rate: float = 0.02  # Adam, of features and densities alike
    views: int = 2  # of a step
    cells: int = 32  # of a feature map's side
    density: bool = True  # whether shapes change too
    anchor: float = 0.05  # weight of the mean squared change of the features: content drifts without it
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "views", "cells"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.learning_rate < math.inf or not 0 <= self.anchor < math.inf:
            raise ValueError("the learning rate must be above 0 and the anchor at least 0")


DEFAULT = FieldSettings()


class NonFiniteField(RuntimeError):
    """A loss that is not a number; the scene is as it was."""


@torch.enable_grad()  # callers that only draw have turned gradients off
def optimise_field(
    autoencoder: SceneAutoencoder,
    field: Tensor,
    rig: Rig,
    loss: PictureLoss,
    settings: FieldSettings,
    on_step: Heard | None = None,
) -> Tensor:
    """A new field [Z, Y, X, 1 + C] of ``field``, by Adam on its voxels. The auto-encoder is not trained.

    Each step renders places of the flight past the rig's cameras, drawn at random.

    Raises:
        NonFiniteField: a loss is not a number.
    """
    flight = rig.to(field.device).toured()
    flight = flight.flown(max(1, _BETWEEN * len(flight)))
    generator = torch.Generator(field.device).manual_seed(settings.seed)
    first = field.detach().float()
    features = first[..., 1:].clone().requires_grad_()
    density = first[..., :1].clone().requires_grad_(settings.density)
    optimiser = torch.optim.Adam([features, *([density] if settings.density else [])], settings.learning_rate)
    needed = [(parameter, parameter.requires_grad) for parameter in autoencoder.parameters()]
    autoencoder.eval().requires_grad_(False)
    try:
        for step in range(1, settings.steps + 1):
            which = torch.randint(len(flight), (settings.views,), generator=generator, device=field.device)
            rays = flight[which].rays(settings.cells)
            seen = autoencoder.render(torch.cat([density, features], -1)[None], rays)
            with torch.no_grad():
                before = autoencoder.render(first[None], rays).image[0].float()
            images = seen.image[0].float()
            solid = F.interpolate(seen.accumulation[0][:, None].detach(), images.shape[2:], mode="bilinear")
            losses = loss(Shown(images, before, solid), generator)
            if settings.anchor:
                losses["anchor"] = settings.anchor * (features - first[..., 1:]).square().mean()
            values = {name: float(value.detach()) for name, value in losses.items()}
            if not all(map(math.isfinite, values.values())):
                raise NonFiniteField(f"step {step}: {values} is not finite. Try a lower learning rate.")
            optimiser.zero_grad(set_to_none=True)
            torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            with torch.no_grad():
                density.clamp_(min=0)
            if on_step is not None:
                on_step(step, values)
    finally:
        for parameter, was in needed:
            parameter.requires_grad_(was)
    return torch.cat([density, features], dim=-1).detach().to(field.dtype)
