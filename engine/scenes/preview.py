"""The scene as it forms: what the samplers' estimate of the data looks like every few steps.

    preview = Preview(diffusion, latents, show, every=5)
    diffusion.generate(1, settings=..., on_step=preview)

The estimate of x_0 is decoded, not x_t, which is mostly noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor

from engine.scenes.diffusion.hierarchy import Group, SceneDiffusion
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
    last of each group. Latents that are still to come are left out, as they were now and then when the latents'
    network was trained; those an edit keeps stand in ``given``. Nothing is shown while g is drawn: it has no shape."""

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
        fields, trajectories = decode_scene(self._latents, self._known)
        label = f"{NAMES[group]}, step {number} of {step.steps}"
        self._show(Forming(label, group, number, step.steps, fields, trajectories))
