"""Pictures that were never encoded, beside what the auto-encoder shows in their place. No Django."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from engine.scenes.autoencoder import SceneAutoencoder
from engine.scenes.metrics import depth_error, psnr
from engine.scenes.volume import as_pixels
from jobs.kinds.runner_parts import jpeg_text
from jobs.kinds.scenes.data import Data

if TYPE_CHECKING:
    from jobs.kinds.base import Context

MOST_VIEWS = 8
_PICTURE = 256  # pixels; small ones are enlarged by the page


@dataclass(frozen=True, slots=True)
class _Place:
    scene: int
    view: int  # among the views of SceneTensors


class HeldOut:
    """Held-out views of test scenes, one of each, through the auto-encoder as it is now."""

    def __init__(self, model: SceneAutoencoder, data: Data, device: str, *, given: int) -> None:
        self._model, self._given = model, given
        chosen = _spread(len(data.test), MOST_VIEWS)
        tensors = data.test.tensors(cameras=1)
        self._names = [data.test.names[number] for number in chosen]
        self._scenes = tensors.only(chosen).to(device)
        held_out = self._scenes.held_out
        self._places = [_Place(row, held_out[row % len(held_out)]) for row in range(len(chosen))] if held_out else []

    @torch.no_grad()
    def show(self, step: int, context: Context) -> None:
        """A row for each. Takes nothing from any source of chance, so training does not notice."""
        was_training = self._model.training
        self._model.eval()
        for index, place in enumerate(self._places):
            context.row({"is": "view", "index": index, "step": step, **self._row(place)})
        self._model.train(was_training)

    def _row(self, place: _Place) -> dict[str, Any]:
        device = self._scenes.images.device
        scene = torch.tensor([place.scene], device=device)
        given = self._scenes.views(scene, self._scenes.given(self._given)[None])
        asked = self._scenes.views(scene, torch.tensor([[place.view]], device=device))
        seen = self._model.render(self._model.encode(given.images, given.rays), asked.rays)
        known = asked.valid & (asked.depths < self._model.config.far)
        has_depth = bool(known.any())
        error = float(depth_error(seen.depth[0], asked.depths[0], known[0])) if has_depth else None
        return {
            "scene": self._names[place.scene],
            "view": place.view,
            "psnr": round(float(psnr(seen.image[0], asked.images[0])[0]), 4),
            "depth_error": None if error is None else round(error, 5),
            "input": jpeg_text(as_pixels(asked.images[0, 0]), _PICTURE),
            "input_depth": self._grey(asked.depths[0, 0], known[0, 0]) if has_depth else None,
            "picture": jpeg_text(as_pixels(seen.image[0, 0]), _PICTURE),
            "depth": self._grey(seen.depth[0, 0], seen.accumulation[0, 0] > 0.5),
        }

    def _grey(self, depth: Tensor, known: Tensor) -> str:
        """Near is bright; black where nothing is known or met. As large as the picture."""
        config = self._model.config
        share = (1 - depth / config.far).clamp(0.05, 1) * known
        pixels = (share * 255).round().to(torch.uint8).cpu().numpy()
        return jpeg_text(np.kron(pixels, np.ones((config.stride, config.stride), np.uint8)), _PICTURE)


def _spread(count: int, most: int) -> list[int]:
    return [place * count // min(count, most) for place in range(min(count, most))]
