"""The scene as it forms: what the samplers' estimate of the data looks like every few steps.

    preview = Preview(diffusion, latents, show, every=5)
    diffusion.generate(1, settings=..., on_step=preview)

The estimate of x_0 is decoded, not x_t, which is mostly noise (reference: Song et al. 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from engine.scenes.diffusion.hierarchy import GROUPS, Group, SceneDiffusion
from engine.scenes.diffusion.samplers import Step
from engine.scenes.latents import LatentAutoencoder
from engine.scenes.stages import decode_scene

NAMES: dict[Group, str] = {"g": "global", "c": "coarse", "f": "fine"}


class Forming(NamedTuple):
    """A scene that is being drawn."""

    label: str  # "coarse, step 5 of 20"
    group: Group
    step: int  # from 1
    steps: int
    fields: Tensor  # [B, Z, Y, X, 1 + C]
    trajectories: Tensor  # [B, T]


class Preview:
    """Hears the steps of `SceneDiffusion.generate` and of engine.scenes.editing, and shows every ``every``-th and the
    last of each group. Latents that are still to come are taken at their mean; those an edit keeps stand in
    ``given``. Nothing is shown while g is drawn: it alone has no shape."""

    def __init__(
        self,
        diffusion: SceneDiffusion,
        latents: LatentAutoencoder,
        show: Callable[[Forming], None],
        *,
        every: int = 5,
        given: Mapping[Group, Tensor] | None = None,
    ) -> None:
        self._diffusion, self._latents, self._show, self._every = diffusion, latents, show, every
        self._known: dict[Group, Tensor] = dict(given or {})

    def __call__(self, group: Group, step: Step) -> None:
        self._known[group] = self._diffusion.natural(group, step.x0)
        number = step.index + 1
        if group == "g" or (number % self._every and number != step.steps):
            return
        fields, trajectories = decode_scene(self._latents, completed(self._diffusion, self._known, len(step.x0)))
        label = f"{NAMES[group]}, step {number} of {step.steps}"
        self._show(Forming(label, group, number, step.steps, fields, trajectories))


@torch.no_grad()
def completed(diffusion: SceneDiffusion, known: Mapping[Group, Tensor], count: int) -> dict[Group, Tensor]:
    """Latents of ``count`` scenes with those that are missing, as in an ablation, at their mean."""
    device = diffusion.scale.device
    return {
        group: known[group]
        if group in known
        else diffusion.natural(group, torch.zeros(count, *diffusion.shapes.of(group), device=device))
        for group in GROUPS
    }
