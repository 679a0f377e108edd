"""What training a scene model will hold in memory, said before it starts.

Networks are run on PyTorch's meta device, which computes shapes and no numbers: what a step keeps for its backward pass
is counted, not guessed, and follows when a network changes. The kernels of kernels.render have no meta device; what
they keep is written down here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from engine.scenes.autoencoder import SceneAutoencoder, SceneConfig
from engine.scenes.data.types import SceneDataError
from engine.scenes.diffusion.hierarchy import DiffusionConfig, LatentShapes, SceneDiffusion
from engine.scenes.latents import LatentAutoencoder, LatentConfig
from engine.scenes.networks import GEOMETRY

_FP32 = 4
# Copies of a field that live at the same time in one training step of the auto-encoder: sums of the lift, the field,
# its gradient, and the gradient's sums in fp32.
_FIELDS = 4
_COPIES = 5  # of the weights: themselves, gradients, Adam's two means, the moving average
_MASK = 1  # byte of a bool
_ADVICE = {
    "fields": ("the voxel grids", "a smaller grid (half each way is an eighth) or fewer scenes at once"),
    "frusta": ("the frusta", "fewer depth bins, fewer views or a larger stride"),
    "pictures": ("the pictures", "smaller pictures, fewer views or fewer scenes at once"),
    "latents": ("the networks on latents", "narrower networks, a smaller grid or fewer scenes at once"),
    "weights": ("the weights", "narrower networks"),
    "data": ("the packed scenes", "fewer scenes, fewer views or smaller pictures"),
}


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes of one training step of a stage, in fp32; with bf16 the networks' parts are about half."""

    fields: int = 0
    frusta: int = 0  # densities and features of all pixels
    pictures: int = 0  # with the maps of the networks that read and draw them
    latents: int = 0  # with the maps of the networks between fields and latents, or of the denoisers
    weights: int = 0  # with their gradients, the optimiser's state and the moving average
    data: int = 0  # what the stage draws its batches from, see `packed_bytes`

    @property
    def total(self) -> int:
        return self.fields + self.frusta + self.pictures + self.latents + self.weights + self.data

    def refuse(self, available: int) -> None:
        """Raise SceneDataError, with what to change, where the step does not fit."""
        if self.total <= available:
            return
        largest = max(_ADVICE, key=lambda part: getattr(self, part))
        name, advice = _ADVICE[largest]
        raise SceneDataError(
            f"A step needs about {_gib(self.total)} and {_gib(available)} are there; most go to {name} "
            f"({_gib(getattr(self, largest))}). Use {advice}."
        )


def estimate_memory(
    *,
    grid: tuple[int, int, int],
    channels: int,
    bins: int,
    scenes: int,
    views: int,
    size: int,
    stride: int,
    width: int,
    asked: int | None = None,
    data: int = 0,
) -> MemoryEstimate:
    """Of a step of the scene auto-encoder on `scenes` scenes at once, each with `views` pictures of size x size,
    feature maps `stride` times smaller and networks of `width` channels.

    `asked`: how many of the views are rendered, half unless told; all count as encoded. Without a GPU the plain-torch
    kernels keep every cell of every frustum too, (1 + channels) numbers each.
    """
    config = SceneConfig(grid=grid, channels=channels, bins=bins, stride=stride, width=width)
    shown = scenes * (max(1, views // 2) if asked is None else asked)
    seen, cells = scenes * views, size // stride
    with torch.device("meta"):
        model = SceneAutoencoder(config)
        lifted = torch.empty(1, *grid, 2 + channels, requires_grad=True)
        # One picture and one field stand for all: what is kept grows with their number, and a huge one costs no time.
        encoded = _kept(
            lambda: model.encoder(torch.empty(1, 3, size, size), torch.empty(1, GEOMETRY, cells, cells)), model
        )
        refined = _kept(lambda: model.refiner(lifted), model)
        drawn = _kept(lambda: model.decoder(torch.empty(1, channels, cells, cells, requires_grad=True)), model)
    return MemoryEstimate(
        fields=scenes * (refined + _FIELDS * math.prod(grid) * (1 + channels) * _FP32),
        frusta=2 * seen * cells**2 * (bins + channels) * _FP32,
        pictures=seen * encoded + shown * drawn,
        weights=_weights(model),
        data=data,
    )


def estimate_latents(
    config: LatentConfig, scene: SceneConfig, *, scenes: int, given: int, asked: int, size: int, data: int = 0
) -> MemoryEstimate:
    """Of a step of the latent auto-encoder on `scenes` scenes at once, whose fields come from `given` pictures of
    size x size and are compared on `asked` ones."""
    cells = size // scene.stride
    field = math.prod(config.grid) * config.channels * _FP32
    with torch.device("meta"):
        model, autoencoder = LatentAutoencoder(config), SceneAutoencoder(scene)
        folded = torch.empty(1, config.channels * config.grid[0], *config.grid[1:])
        shapes = config.shapes
        latents: dict[Any, Tensor] = {
            "g": torch.empty(1, shapes.g, requires_grad=True),
            "c": torch.empty(1, *shapes.c, requires_grad=True),
            "f": torch.empty(1, *shapes.f, requires_grad=True),
        }
        kept = _kept(lambda: [model.to_g(folded), model.to_c(folded), model.to_f(folded), model.decode(latents)], model)
        drawn = _kept(lambda: autoencoder.decoder(torch.empty(1, scene.channels, cells, cells, requires_grad=True)))
    # The distances of the codebooks, in pieces of 65,536 vectors.
    vectors = scenes * max(math.prod(shapes.c) // config.c_channels, math.prod(shapes.f) // config.f_channels)
    codes = min(vectors, 65_536) * config.codebook * _FP32
    return MemoryEstimate(
        fields=_FIELDS * scenes * field,
        frusta=scenes * given * cells**2 * (scene.bins + scene.channels) * _FP32,  # not kept
        pictures=scenes * asked * drawn,
        latents=scenes * kept + codes,
        weights=_weights(model) + _parameters(autoencoder) * _FP32,
        data=data,
    )


def estimate_diffusion(
    config: DiffusionConfig, shapes: LatentShapes, *, scenes: int, batch: int, maps: tuple[int, int] | None = None
) -> MemoryEstimate:
    """Of a step of the diffusion model on `batch` of the latents of `scenes` scenes; maps: their rows and columns."""
    with torch.device("meta"):
        model = SceneDiffusion(config, shapes)
        units = {group: torch.empty(1, *shapes.of(group)) for group in config.groups}
        drawn = torch.empty(1, config.map_channels, *(maps or (config.map_side,) * 2)) if config.map_channels else None
        kept = _kept(lambda: model.losses(units, drawn).values(), model)
    numbers = sum(math.prod(shapes.of(group)) for group in config.groups)
    numbers += config.map_channels * math.prod(maps) if maps else 0
    return MemoryEstimate(latents=batch * kept, weights=_weights(model), data=scenes * numbers * _FP32)


def packed_bytes(*, scenes: int, views: int, size: int, stride: int) -> int:
    """Of `SceneTensors` on one device: pictures, and depth, two masks and a ray's direction for each cell."""
    cells = (size // stride) ** 2
    return scenes * views * (3 * size**2 + cells * (_FP32 + 2 * _MASK + 3 * _FP32))


def _kept(run: Callable[[], Tensor | Iterable[Tensor]], *weights: nn.Module) -> int:
    """Bytes that the backward pass of what `run` computes keeps, but for the parameters of `weights`."""
    known = {parameter.untyped_storage()._cdata for module in weights for parameter in module.parameters()}
    found: dict[int, tuple[int, Tensor]] = {}  # tensors are held, so that no other gets their number

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in known:
            found[storage._cdata] = (storage.nbytes(), tensor)
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = run()
    del outputs
    return sum(size for size, _ in found.values())


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _weights(model: nn.Module) -> int:
    return _COPIES * _parameters(model) * _FP32


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
