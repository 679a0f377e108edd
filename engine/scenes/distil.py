"""Post-optimisation by score distillation with negative guidance (paper, section 3.4).

The paper distils a large latent diffusion model of pictures that knows CLIP's embeddings. Ours is small, diffuses the
pixels of our own frames, and knows one flag: whether a picture is a real frame or one of the model's own samples. That
is enough for the method: guidance away from what samples look like, towards what frames do.

    samples = drawn_pictures(autoencoder, latents, diffusion, count=32, cells=32, tangent=packed.tangent)
    prior = FramePrior(FramePriorConfig(side=64))
    train_stage(FramePriorStage(prior, scenes.images.flatten(0, 1), samples), budget, folder=...)
    better = improve_scene(autoencoder, field, rig, prior)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.scenes.autoencoder import SceneAutoencoder
from engine.scenes.diffusion.guidance import guided
from engine.scenes.diffusion.hierarchy import Group, SceneDiffusion, StageSettings
from engine.scenes.diffusion.networks import GridDenoiser
from engine.scenes.diffusion.prediction import Denoiser, Prediction, denoiser, training_loss
from engine.scenes.diffusion.process import Process, ProcessName
from engine.scenes.latents import LatentAutoencoder
from engine.scenes.optimise import DEFAULT, FieldSettings, Heard, Shown, optimise_field
from engine.scenes.rig import Rig
from engine.scenes.stages import decode_scene
from engine.scenes.volume import render_views
from engine.training.checkpoint import as_saved

Kind = Literal["real", "sample"]
_KINDS: tuple[Kind, ...] = ("real", "sample")
_DRAWN = StageSettings()


@dataclass(frozen=True, slots=True)
class FramePriorConfig:
    """A small diffusion model of pictures. All ours."""

    side: int = 64  # pixels
    widths: tuple[int, ...] = (64, 128, 256)
    process: ProcessName = "cosine"
    prediction: Prediction = "v"


@dataclass(frozen=True, slots=True)
class DistilSettings:
    guidance: float = 3.0  # towards real frames, away from samples; 1: real frames alone
    times: tuple[float, float] = (0.02, 0.6)  # noise to draw from: more of it would paint another scene

    def __post_init__(self) -> None:
        if not 0 < self.times[0] < self.times[1] <= 1:
            raise ValueError(f"times must be 0 < first < last <= 1, got {self.times}")


class FramePrior(nn.Module):
    def __init__(self, config: FramePriorConfig) -> None:
        super().__init__()
        self.config, self.process = config, Process.named(config.process)
        self.network = GridDenoiser(3, config.widths, vector=len(_KINDS))

    def sized(self, images: Tensor) -> Tensor:
        """Pictures [B, 3, h, w] in [0, 1] as the network takes them: its side, in [-1, 1]."""
        side = self.config.side
        return F.interpolate(images, (side, side), mode="bilinear", antialias=True) * 2 - 1

    def losses(self, images: Tensor, kinds: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Of pictures [B, 3, h, w] in [0, 1] and their kinds [B], numbers into ("real", "sample")."""
        x0 = self.sized(images)
        t = self.process.times(len(x0), generator, x0.device)
        noise = torch.randn(x0.shape, generator=generator, device=x0.device)
        network = self._network(F.one_hot(kinds, len(_KINDS)).to(x0.dtype))
        loss = training_loss(network, self.process, self.config.prediction, x0, weighting="uniform", t=t, noise=noise)
        return {"prior": loss.mean()}

    def denoiser(self, kind: Kind) -> Denoiser:
        """Of pictures [B, 3, side, side] in [-1, 1], each taken for one of this kind."""
        flag = torch.eye(len(_KINDS), device=next(self.parameters()).device)[_KINDS.index(kind)]
        return denoiser(self._network(flag[None]), self.process, self.config.prediction)

    def _network(self, flags: Tensor) -> Denoiser:
        def predict(x: Tensor, t: Tensor) -> Tensor:
            found: Tensor = self.network(x, t, vector=flags.expand(len(x), -1))
            return found

        return predict


class FramePriorStage:
    """Frames and samples [N, 3, h, w] uint8, on one device, half of each batch from either."""

    def __init__(self, model: FramePrior, real: Tensor, samples: Tensor, *, batch: int = 32) -> None:
        if not len(real) or not len(samples):
            raise ValueError("a prior learns what sets real frames apart from samples: it needs pictures of both kinds")
        self.model, self._pictures, self._batch = model, (real, samples), batch
        self.identity = {
            "stage": "frame prior",
            "model": as_saved(dataclasses.asdict(model.config)),
            "data": [[list(each.shape), int(each.sum(dtype=torch.int64))] for each in self._pictures],
            "batch": batch,
        }

    def losses(self, generator: torch.Generator) -> dict[str, Tensor]:
        half = max(1, self._batch // 2)
        drawn = [
            each[torch.randint(len(each), (half,), generator=generator, device=generator.device)].float() / 255
            for each in self._pictures
        ]
        sized = torch.cat([F.interpolate(each, (self.model.config.side,) * 2, mode="area") for each in drawn])
        kinds = torch.arange(len(_KINDS), device=generator.device).repeat_interleave(half)
        return self.model.losses(sized, kinds, generator)


@torch.no_grad()
def drawn_pictures(
    autoencoder: SceneAutoencoder,
    latents: LatentAutoencoder,
    diffusion: SceneDiffusion,
    *,
    count: int,
    cells: int,
    tangent: float,
    settings: Mapping[Group, StageSettings] | StageSettings = _DRAWN,
    seed: int = 0,
) -> Tensor:
    """Samples [N, 3, h, w] uint8: what ``count`` drawn scenes show along their trajectories. A model that draws no
    trajectories is looked at from `Rig.around`."""
    device = next(autoencoder.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    found: list[Tensor] = []
    for _ in range(count):  # one by one, as a fine grid fills a GPU
        drawn = diffusion.eval().generate(1, settings=settings, generator=generator)
        fields, trajectories = decode_scene(latents.eval(), drawn)
        grid = autoencoder.config.grid
        has_cameras = trajectories.shape[1] > 0
        rig = Rig.of_trajectory(trajectories[0], grid, tangent) if has_cameras else Rig.around(grid, tangent)
        for _, seen in render_views(autoencoder.eval(), fields[0], rig, cells=cells):
            found.append((seen.image.float() * 255).round().to(torch.uint8))
    return torch.cat(found)


def distillation_loss(
    images: Tensor, denoise: Denoiser, process: Process, times: tuple[float, float], generator: torch.Generator
) -> Tensor:
    """A scalar whose gradient with respect to pictures [B, ...] is that of score distillation (Poole et al. 2023).

    The gradient of picture i is w(t) (eps_hat - eps) / B, at one t for all. With x = alpha x_0 + sigma eps the
    difference is (alpha / sigma) (x_0 - the denoiser's estimate); with w = sigma / alpha, ours, its size does not
    depend on t. The denoiser is not differentiated.
    """
    low, high = times
    t = low + (high - low) * torch.rand(1, generator=generator, device=images.device)
    with torch.no_grad():
        noise = torch.randn(images.shape, generator=generator, device=images.device, dtype=images.dtype)
        t = t.expand(len(images))
        estimate = denoise(process.noised(images, noise, t), t)
        gradient = images - estimate
    return (gradient * images).flatten(1).sum(1).mean()


def improve_scene(
    autoencoder: SceneAutoencoder,
    field: Tensor,
    rig: Rig,
    prior: FramePrior,
    *,
    settings: FieldSettings = DEFAULT,
    distil: DistilSettings = DistilSettings(),
    on_step: Heard | None = None,
) -> Tensor:
    """A field [Z, Y, X, 1 + C] that looks more like real frames from everywhere along its flight.

    Raises:
        NonFiniteField: a loss is not a number.
    """
    prior.eval().requires_grad_(False)
    denoise = guided(prior.denoiser("real"), prior.denoiser("sample"), distil.guidance)

    def loss(seen: Shown, generator: torch.Generator) -> dict[str, Tensor]:
        sized = prior.sized(seen.images)
        # Per pixel, so that the size of pictures does not change the weight of the anchor.
        return {"distil": distillation_loss(sized, denoise, prior.process, distil.times, generator) / sized[0].numel()}

    return optimise_field(autoencoder, field, rig, loss, settings, on_step)
