"""The three stages that are trained, each a `Stage` of engine.scenes.training: what it learns from, and its losses.

scenes = pack_scenes(train, PackSettings(...), folder).tensors(cameras=8).to("cuda")  # engine.scenes.data
train_stage(AutoencoderStage(autoencoder, scenes), budget, folder=...)
train_stage(LatentStage(latents, autoencoder, scenes), budget, folder=...)
train_stage(DiffusionStage(diffusion, encode_scenes(autoencoder, latents, scenes)), budget, folder=...)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.scenes.autoencoder import Rays, SceneAutoencoder, Views
from engine.scenes.diffusion.hierarchy import Group, SceneDiffusion
from engine.scenes.latents import LatentAutoencoder
from engine.scenes.trajectory import NUMBERS
from engine.training.checkpoint import as_saved

Perceptual = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class SceneTensors:
    """S scenes of V views each, on one device, and how views may be used."""

    images: Tensor  # [S, V, 3, h, w] uint8
    depths: Tensor  # [S, V, H, W], voxels
    valid: Tensor  # [S, V, H, W] bool
    sky: Tensor  # [S, V, H, W] bool
    origins: Tensor  # [S, V, 3], voxels
    directions: Tensor  # [S, V, H, W, 3], voxels, for depth 1
    trajectories: Tensor  # [S, T], see engine.scenes.trajectory
    maps: Tensor | None = None  # [S, M, Y, X]
    ignored: Tensor | None = None  # [S, V, H, W] bool, where a picture says nothing
    held_out: tuple[int, ...] = ()  # views that are never encoded

    def __len__(self) -> int:
        return len(self.images)

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint must have been trained on. Sums, not a hash of all pixels: enough to notice a mix-up."""
        return {"shape": list(self.images.shape), "sum": int(self.images.sum(dtype=torch.int64))}

    def to(self, device: torch.device | str) -> SceneTensors:
        moved: dict[str, Any] = {
            field.name: value.to(device)
            for field in dataclasses.fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return dataclasses.replace(self, **moved)

    def only(self, numbers: list[int]) -> SceneTensors:
        """Some of the scenes."""
        of_scenes = [field.name for field in dataclasses.fields(self) if field.name != "held_out"]
        parts = {name: value[numbers] for name in of_scenes if (value := getattr(self, name)) is not None}
        return dataclasses.replace(self, **parts)

    def views(self, scenes: Tensor, which: Tensor) -> Views:
        """Views ``which`` [B, N] of scenes [B], pictures as floats in [0, 1]."""
        at = scenes[:, None], which
        directions = self.directions[at]
        origins = self.origins[at][:, :, None, None].expand_as(directions)
        return Views(
            self.images[at].float() / 255,
            self.depths[at],
            self.valid[at],
            self.sky[at],
            Rays(origins, directions),
            None if self.ignored is None else self.ignored[at],
        )

    def draw(self, batch: int, views: int, generator: torch.Generator, *, encode: bool) -> tuple[Tensor, Tensor]:
        """Random scenes [batch] and for each as many different views [batch, views]; none held out where ``encode``."""
        device, count = self.images.device, self.images.shape[1]
        scenes = torch.randint(len(self), (batch,), generator=generator, device=device)
        order = torch.rand(batch, count, generator=generator, device=device)
        if encode and self.held_out:
            order[:, list(self.held_out)] = 2.0
        return scenes, order.argsort(1)[:, :views]

    def given(self, views: int) -> Tensor:
        """[views] to encode a scene from when nothing is random: spread over those that are not held out."""
        usable = [view for view in range(self.images.shape[1]) if view not in set(self.held_out)]
        spread = torch.linspace(0, len(usable) - 1, min(views, len(usable))).round().long().tolist()
        return torch.tensor([usable[place] for place in spread], device=self.images.device)


class AutoencoderStage:
    """Views of a scene from other views of it."""

    def __init__(
        self,
        model: SceneAutoencoder,
        scenes: SceneTensors,
        *,
        batch: int = 1,
        given: int = 8,
        asked: int = 4,
        perceptual: Perceptual | None = None,
    ) -> None:
        self.model, self._scenes, self._perceptual = model, scenes, perceptual
        self._batch, self._given, self._asked = batch, given, asked
        self.identity = {
            "stage": "autoencoder",
            "model": as_saved(dataclasses.asdict(model.config)),
            "data": scenes.identity,
            "batch": [batch, given, asked],
        }

    def losses(self, generator: torch.Generator) -> dict[str, Tensor]:
        scenes, order = self._scenes.draw(self._batch, self._given + self._asked, generator, encode=True)
        # The first views are encoded; the others must be seen from them, and one of the first to keep detail.
        given, asked = order[:, : self._given], order[:, self._given - 1 :]
        return self.model.losses(self._scenes.views(scenes, given), self._scenes.views(scenes, asked), self._perceptual)


class LatentStage:
    """The latents of the fields that a trained auto-encoder makes, each turned by a random number of right angles.

    Voxels that come back nearly right can look wrong, and voxels that nobody sees do not matter: ``asked`` views are
    rendered from the decoded field and compared with the pictures (ours, with `image_weight`).

    ``fields``, from `encode_fields`, are used instead of encoding the scenes in every step, where they fit into
    memory: then nothing but the turn differs between two steps that show the same scene."""

    def __init__(
        self,
        model: LatentAutoencoder,
        autoencoder: SceneAutoencoder,
        scenes: SceneTensors,
        *,
        batch: int = 1,
        given: int = 16,
        asked: int = 2,
        image_weight: float = 1.0,
        perceptual: Perceptual | None = None,
        fields: Tensor | None = None,
    ) -> None:
        self.model, self._autoencoder, self._scenes = model, autoencoder.eval().requires_grad_(False), scenes
        self._batch, self._given, self._asked, self._image_weight = batch, given, asked, image_weight
        self._perceptual, self._fields = perceptual, fields
        self.identity = {
            "stage": "latents",
            "model": as_saved(dataclasses.asdict(model.config)),
            "data": scenes.identity,
            "batch": [batch, given, asked, image_weight],
            "fields": list(fields.shape) if fields is not None else [],
        }

    def losses(self, generator: torch.Generator) -> dict[str, Tensor]:
        scenes, which = self._scenes.draw(self._batch, self._given, generator, encode=True)
        if self._fields is not None:
            field = self._fields[scenes].float()
        else:
            with torch.no_grad():
                views = self._scenes.views(scenes, which)
                field = bounded(self._autoencoder.encode(views.images, views.rays))
        turns = (
            generator.initial_seed() % 4 if _is_square(field) else 0
        )  # a number drawn on the device would wait for it
        decoded, losses = self.model.reconstruct(turned(field, turns), generator)
        # Any views: those that were encoded are as good a question here as others.
        _, asked = self._scenes.draw(self._batch, self._asked, generator, encode=True)
        truth = self._scenes.views(scenes, asked)
        seen = self._autoencoder.render(unbounded(turned(decoded.float(), -turns)), truth.rays)
        pictures = truth.pictures_for(seen.image)
        losses["image"] = self._image_weight * (seen.image - pictures).abs().mean()
        if self._perceptual is not None:
            both = (part.flatten(0, 1) for part in (seen.image, pictures))
            weight = self._image_weight * self._autoencoder.config.perceptual_weight
            losses["perceptual"] = weight * self._perceptual(*both).mean()
        return losses


class DiffusionStage:
    """The latents of all scenes, with their trajectories and maps."""

    def __init__(
        self, model: SceneDiffusion, latents: Mapping[Group, Tensor], maps: Tensor | None = None, *, batch: int = 16
    ) -> None:
        self.model, self._latents, self._maps, self._batch = model, latents, maps, batch
        model.fit_scales(latents)
        self.identity = {
            "stage": "diffusion",
            "model": as_saved(dataclasses.asdict(model.config)),
            "data": {group: list(value.shape) for group, value in latents.items()},
            "batch": batch,
        }

    def losses(self, generator: torch.Generator) -> dict[str, Tensor]:
        count = len(self._latents["c"])
        which = torch.randint(count, (self._batch,), generator=generator, device=generator.device)
        batch: dict[Group, Tensor] = {group: value[which] for group, value in self._latents.items()}
        maps = self._maps[which] if self._maps is not None else None
        return dict(self.model.losses(batch, maps, generator).items())


@torch.no_grad()
def encode_fields(
    autoencoder: SceneAutoencoder,
    scenes: SceneTensors,
    *,
    given: int = 16,
    batch: int = 1,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """The `bounded` field of every scene, [S, 1 + C, Z, Y, X], on the device of the scenes."""
    config = autoencoder.eval().config
    device = scenes.images.device
    fields = torch.empty(len(scenes), 1 + config.channels, *config.grid, dtype=dtype, device=device)
    which = scenes.given(given)[None]
    for numbers in torch.split(torch.arange(len(scenes), device=device), batch):
        views = scenes.views(numbers, which.expand(len(numbers), -1))
        fields[numbers] = bounded(autoencoder.encode(views.images, views.rays)).to(dtype)
    return fields


@torch.no_grad()
def encode_scenes(
    autoencoder: SceneAutoencoder,
    latents: LatentAutoencoder,
    scenes: SceneTensors,
    *,
    given: int = 16,
    turns: Sequence[int] = (0,),
    batch: int = 1,
) -> dict[Group, Tensor]:
    """The latents of every scene, [S * turns, ...]: of all of them `turned` by the first of ``turns``, then by the
    next. Trajectories stand behind the numbers of g."""
    found: dict[Group, list[list[Tensor]]] = {group: [[] for _ in turns] for group in ("g", "c", "f")}
    which = scenes.given(given)[None]
    for numbers in torch.split(torch.arange(len(scenes), device=scenes.images.device), batch):
        views = scenes.views(numbers, which.expand(len(numbers), -1))
        field = bounded(autoencoder.eval().encode(views.images, views.rays))
        for place, turn in enumerate(turns):
            encoded = latents.eval().encode(turned(field, turn)).latents
            trajectories = turned_trajectory(scenes.trajectories[numbers], turn)
            encoded["g"] = torch.cat([encoded["g"], trajectories], dim=1)
            for group, values in found.items():
                values[place].append(encoded[group].float())
    return {group: torch.cat([part for each in values for part in each]) for group, values in found.items()}


def decode_scene(latents: LatentAutoencoder, drawn: Mapping[Group, Tensor]) -> tuple[Tensor, Tensor]:
    """Voxel fields [B, Z, Y, X, 1 + C] and trajectories [B, T] of latents that were drawn; T is 0 where g was not."""
    size = latents.config.g
    trajectories = drawn["g"][:, size:] if "g" in drawn else drawn["c"].new_zeros(len(drawn["c"]), 0)
    known = {group: each[:, :size] if group == "g" else each for group, each in drawn.items()}
    return unbounded(latents.decode(latents.snap(known)).float()), trajectories


def turned(field: Tensor, turns: int) -> Tensor:
    """Fields or maps [..., Y, X], square, turned about the vertical by right angles: (x, y) -> (y, -x) for each."""
    return field if turns % 4 == 0 else torch.rot90(field, turns, (-2, -1))


def turned_trajectory(trajectories: Tensor, turns: int) -> Tensor:
    """Trajectories [..., T] of scenes that are `turned`."""
    parts = trajectories.view(*trajectories.shape[:-1], -1, NUMBERS)
    for _ in range(turns % 4):
        x, y, z, east, north, up = parts.unbind(-1)
        parts = torch.stack([y, -x, z, north, -east, up], dim=-1)
    return parts.reshape(trajectories.shape)


def _is_square(field: Tensor) -> bool:
    return field.shape[-1] == field.shape[-2]


def bounded(field: Tensor) -> Tensor:
    """A field [B, Z, Y, X, 1 + C] as the latents' networks take it, [B, 1 + C, Z, Y, X]: the density as what a voxel's
    length stops of the light, 1 - exp(-sigma), since densities have no upper bound and differ most where it
    matters least."""
    return torch.cat([-torch.expm1(-field[..., :1]), field[..., 1:]], dim=-1).movedim(-1, 1)


def unbounded(field: Tensor) -> Tensor:
    """The inverse of `bounded`; what the network says beyond 0 and 1 counts as those."""
    field = field.movedim(1, -1)
    density = -torch.log1p(-field[..., :1].clamp(0.0, 0.999))
    return torch.cat([density, field[..., 1:]], dim=-1).contiguous()
