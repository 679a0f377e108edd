"""p(g) p(c | g) p(f | g, c): three denoisers over the latents of a scene (paper, section 3.3, equation 4).

Each sees the clean latents before it, so the three can be trained side by side, in one step or in three jobs. The
camera poses are part of the global latent and drawn with it: a generated scene comes with its own trajectory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from engine.scenes.diffusion.guidance import guided
from engine.scenes.diffusion.networks import GridDenoiser, VectorDenoiser
from engine.scenes.diffusion.prediction import Denoiser, Prediction, Weighting, denoiser, training_loss
from engine.scenes.diffusion.process import Process, ProcessName
from engine.scenes.diffusion.samplers import Step, sample

Group = Literal["g", "c", "f"]
GROUPS: tuple[Group, ...] = get_args(Group)


@dataclass(frozen=True, slots=True)
class LatentShapes:
    """Sizes of the latents of one scene."""

    g: int = 128  # the global vector
    poses: int = 0  # numbers that describe the trajectory, diffused with g
    c: tuple[int, int, int] = (64, 32, 32)  # coarse: channels x height folded, Y, X; paper 4 x 16, 32, 32
    f: tuple[int, int, int] = (4, 128, 128)  # fine

    def of(self, group: Group) -> tuple[int, ...]:
        return {"g": (self.g + self.poses,), "c": self.c, "f": self.f}[group]


@dataclass(frozen=True, slots=True)
class DiffusionConfig:
    """The diffusion model. The paper gives none of these numbers but the form of the prediction: they are ours."""

    process: ProcessName = "linear"
    prediction: Prediction = "x0"
    weighting: Weighting = "snr"
    g_width: int = 512
    g_depth: int = 4
    c_widths: tuple[int, ...] = (128, 256, 256)
    f_widths: tuple[int, ...] = (64, 128, 256, 256)
    map_channels: int = 0  # of a bird's-eye map given as a condition; 0: none
    map_side: int = 16  # the map is cut into side x side tokens
    map_width: int = 128  # of a token
    drop_condition: float = 0.1  # how often a map is left out in training, for guidance
    groups: tuple[Group, ...] = GROUPS  # fewer for an ablation: without g, c and f are drawn unconditionally


@dataclass(frozen=True, slots=True)
class StageSettings:
    """How one latent is drawn."""

    sampler: str = "dpm-solver++"
    steps: int = 25
    guidance: float = 1.0
    interval: tuple[float, float] = (0.0, 1.0)


class SceneDiffusion(nn.Module):
    """The three denoisers. Latents must have about unit spread: `fit_scales` sees to it."""

    scale: Tensor

    def __init__(self, config: DiffusionConfig, shapes: LatentShapes) -> None:
        super().__init__()
        self.config, self.shapes = config, shapes
        self.process = Process.named(config.process)
        width = config.map_width if config.map_channels else None
        self.map = _MapTokens(config.map_channels, config.map_side, width) if width else None
        vector = shapes.of("g")[0] if "g" in config.groups else 0
        self.networks = nn.ModuleDict()
        if "g" in config.groups:
            self.networks["g"] = VectorDenoiser(vector, config.g_width, config.g_depth, width)
        if "c" in config.groups:
            self.networks["c"] = GridDenoiser(shapes.c[0], config.c_widths, vector=vector, tokens=width)
        if "f" in config.groups:
            grid = shapes.c[0] if "c" in config.groups else 0
            self.networks["f"] = GridDenoiser(shapes.f[0], config.f_widths, vector=vector, grid=grid, tokens=width)
        # Mean and spread of each group's latents over the training set, in the order of GROUPS.
        self.register_buffer("scale", torch.tensor([[0.0, 1.0]] * len(GROUPS)))

    @torch.no_grad()
    def fit_scales(self, latents: Mapping[Group, Tensor]) -> None:
        """Measure mean and spread of each group, [N, ...], so that the denoisers see unit latents."""
        for row, group in enumerate(GROUPS):
            if group in latents:
                spread, mean = torch.std_mean(latents[group].float())
                self.scale[row, 0], self.scale[row, 1] = mean, spread.clamp(min=1e-6)

    def unit(self, group: Group, latents: Tensor) -> Tensor:
        mean, spread = self.scale[GROUPS.index(group)]
        unit: Tensor = (latents - mean) / spread
        return unit

    def natural(self, group: Group, unit: Tensor) -> Tensor:
        mean, spread = self.scale[GROUPS.index(group)]
        natural: Tensor = unit * spread + mean
        return natural

    def losses(
        self, latents: Mapping[Group, Tensor], maps: Tensor | None = None, generator: torch.Generator | None = None
    ) -> dict[Group, Tensor]:
        """The mean weighted error of each group, from latents [B, *shapes.of(group)] and maps [B, M, Y, X]."""
        units = {group: self.unit(group, latents[group]) for group in self.config.groups}
        tokens = self._tokens(maps, len(latents[self.config.groups[0]]), generator)
        found = {}
        for group, x0 in units.items():
            t = self.process.times(len(x0), generator, x0.device)
            noise = torch.randn(x0.shape, generator=generator, device=x0.device, dtype=x0.dtype)
            network = self._network(group, units, tokens)
            config = self.config
            found[group] = training_loss(
                network, self.process, config.prediction, x0, weighting=config.weighting, t=t, noise=noise
            ).mean()
        return found

    def generate(
        self,
        count: int,
        *,
        settings: Mapping[Group, StageSettings] | StageSettings = StageSettings(),
        generator: torch.Generator | None = None,
        maps: Tensor | None = None,
        given: Mapping[Group, Tensor] | None = None,
        on_step: Callable[[Group, Step], Tensor | None] | None = None,
    ) -> dict[Group, Tensor]:
        """Latents of ``count`` scenes. Groups in ``given`` are kept and condition those after them.

        ``on_step`` hears of every step of every group; the x and x0 it sees are in unit spread (`natural` turns them).
        """
        device = self.scale.device
        units = {group: self.unit(group, latents) for group, latents in (given or {}).items()}
        for group in self.config.groups:
            if group in units:
                continue
            how = settings if isinstance(settings, StageSettings) else settings.get(group, StageSettings())
            noise = torch.randn((count, *self.shapes.of(group)), generator=generator, device=device)
            units[group] = sample(
                how.sampler,
                self.denoiser(group, units, maps, how),
                self.process,
                noise,
                how.steps,
                generator=generator,
                on_step=None if on_step is None else lambda step, group=group: on_step(group, step),  # type: ignore[misc]
            )
        return {group: self.natural(group, unit) for group, unit in units.items()}

    def denoiser(
        self, group: Group, units: Mapping[Group, Tensor], maps: Tensor | None = None, how: StageSettings | None = None
    ) -> Denoiser:
        """The denoiser of ``group`` under the clean unit latents before it, guided towards ``maps`` where given."""
        scenes = len(maps) if maps is not None else 1

        def of(tokens: Tensor | None) -> Denoiser:
            return denoiser(self._network(group, units, tokens), self.process, self.config.prediction)

        plain = of(self._tokens(None, scenes))
        if maps is None:
            return plain
        how = how or StageSettings()
        return guided(of(self._tokens(maps, scenes)), plain, how.guidance, how.interval)

    def _network(
        self, group: Group, units: Mapping[Group, Tensor], tokens: Tensor | None
    ) -> Callable[[Tensor, Tensor], Tensor]:
        network = self.networks[group]
        if group == "g":
            return lambda x, t: network(x, t, _for(tokens, x))
        vector = units["g"] if "g" in self.networks else None
        grid = units["c"] if group == "f" and "c" in self.networks else None
        return lambda x, t: network(x, t, vector=vector, grid=grid, tokens=_for(tokens, x))

    def _tokens(self, maps: Tensor | None, scenes: int, generator: torch.Generator | None = None) -> Tensor | None:
        """Tokens of the maps. In training some of the scenes get those of an unknown map, as all do without maps."""
        if self.map is None:
            if maps is not None:
                raise ValueError("this model was trained without bird's-eye maps; generate without one")
            return None
        unknown: Tensor = self.map.unknown.expand(scenes, -1, -1)
        if maps is None:
            return unknown
        tokens: Tensor = self.map(maps)
        if not self.training:
            return tokens
        kept = torch.rand(scenes, 1, 1, generator=generator, device=maps.device) >= self.config.drop_condition
        return torch.where(kept, tokens, unknown)


class _MapTokens(nn.Module):
    """A bird's-eye map [B, M, H, W] cut into side x side patches -> tokens [B, side^2, width]."""

    def __init__(self, channels: int, side: int, width: int) -> None:
        super().__init__()
        self.side = side
        self.encode = nn.Sequential(
            nn.Conv2d(channels, width // 2, 3, padding=1), nn.SiLU(), nn.Conv2d(width // 2, width, 3, padding=1)
        )
        self.place = nn.Parameter(torch.randn(1, side * side, width) * 0.02)
        self.unknown = nn.Parameter(torch.zeros(1, side * side, width))

    def forward(self, maps: Tensor) -> Tensor:
        tokens = nn.functional.adaptive_avg_pool2d(self.encode(maps), self.side).flatten(2).transpose(1, 2)
        return tokens + self.place


def _for(tokens: Tensor | None, x: Tensor) -> Tensor | None:
    """Tokens of one scene, such as an unknown map's, stand for all of the batch."""
    return tokens if tokens is None or len(tokens) == len(x) else tokens.expand(len(x), -1, -1)
