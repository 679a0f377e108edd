"""The latent auto-encoder: a voxel field V into a global vector g, a coarse grid c and a fine map f, and back.

Paper, section 3.2: separate 2D convolutional encoders with the vertical axis folded into the channels; g is
regularised by a small KL term, c and f by vector quantisation. The layer tables (5 to 8)
are not public: the widths are ours.

Voxel fields are [B, C, Z, Y, X] with the vertical axis Z first among the axes, so that folding is a view.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.scenes.blocks import ConvBlock, group_norm, tower
from engine.scenes.diffusion.hierarchy import Group, LatentShapes


@dataclass(frozen=True, slots=True)
class LatentConfig:
    """Sizes of the latent auto-encoder. The defaults are the paper's grid and latents; widths and weights are ours."""

    channels: int = 17  # of V: density first, then features
    grid: tuple[int, int, int] = (32, 128, 128)  # Z, Y, X of V
    g: int = 128
    c_channels: int = 4
    c_downsample: int = 4  # along Y and X (paper, table 13); Z is halved
    f_channels: int = 4
    codebook: int = 1024  # entries, of c and of f each
    width: int = 128
    kl_weight: float = 1e-4
    commitment: float = 0.25  # van den Oord et al. 2017
    empty_weight: float = 0.1  # of an error where nothing is, against 1 + this where a voxel stops all light
    drop: float = 0.15  # how often a scene of a training batch is decoded without g, and without g and f

    def __post_init__(self) -> None:
        z, y, x = self.grid
        if z % 2 or y % self.c_downsample or x % self.c_downsample:
            raise ValueError(f"a grid of {self.grid} is not divided by 2 and {self.c_downsample}; choose another")

    @property
    def shapes(self) -> LatentShapes:
        z, y, x = self.grid
        coarse = (self.c_channels * z // 2, y // self.c_downsample, x // self.c_downsample)
        return LatentShapes(g=self.g, c=coarse, f=(self.f_channels, y, x))


class Encoded(NamedTuple):
    """The latents of a batch and what their regularisers say. ``usage`` is the share of each codebook in use."""

    latents: dict[Group, Tensor]
    kl: Tensor  # mean over the batch and the numbers of g, in nats
    commitment: Tensor
    usage: dict[Group, Tensor]


class LatentAutoencoder(nn.Module):
    def __init__(self, config: LatentConfig) -> None:
        super().__init__()
        self.config = config
        z, _, _ = config.grid
        folded, width, shapes = config.channels * z, config.width, config.shapes
        halvings = config.c_downsample.bit_length() - 1
        self.to_g = nn.Sequential(
            *tower(folded, width, halvings + 1),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(16 * width, 2 * config.g),
        )
        self.to_c = nn.Sequential(*tower(folded, width, halvings), nn.Conv2d(width, shapes.c[0], 1))
        self.to_f = nn.Sequential(*tower(folded, width, 0), nn.Conv2d(width, config.f_channels, 1))
        self.quantise_c = Quantiser(config.codebook, config.c_channels)
        self.quantise_f = Quantiser(config.codebook, config.f_channels)
        self.from_g = nn.Linear(config.g, 2 * width)
        self.from_c = nn.Sequential(nn.Conv2d(shapes.c[0], width, 3, padding=1), ConvBlock(width))
        self.from_f = nn.Conv2d(config.f_channels, width, 3, padding=1)
        self.norm = group_norm(width)
        self.to_field = nn.Sequential(ConvBlock(width), ConvBlock(width), group_norm(width), nn.SiLU())
        self.out = nn.Conv2d(width, folded, 3, padding=1)

    def encode(self, field: Tensor, generator: torch.Generator | None = None) -> Encoded:
        """Latents of V [B, C, Z, Y, X]. g is drawn around its mean in training and is its mean otherwise."""
        folded = field.flatten(1, 2)
        mean, log_variance = self.to_g(folded).chunk(2, dim=1)
        log_variance = log_variance.clamp(-20, 10)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        g = mean
        if self.training:
            noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
            g = mean + (log_variance / 2).exp() * noise
        c, c_loss, c_usage = self.quantise_c(self.to_c(folded), generator)
        f, f_loss, f_usage = self.quantise_f(self.to_f(folded), generator)
        return Encoded({"g": g, "c": c, "f": f}, kl, c_loss + f_loss, {"c": c_usage, "f": f_usage})

    def snap(self, latents: Mapping[Group, Tensor]) -> dict[Group, Tensor]:
        """Latents with c and f moved to their nearest codes: what the diffusion model draws lies beside them."""
        quantisers = {"c": self.quantise_c, "f": self.quantise_f}
        return {group: quantisers[group](each)[0] if group in quantisers else each for group, each in latents.items()}

    def decode(self, latents: Mapping[Group, Tensor]) -> Tensor:
        """V [B, C, Z, Y, X] of latents. Without "g", or "g" and "f", their place is taken by zeros (see `drop`)."""
        count, shapes = len(latents["c"]), self.config.shapes
        fine = latents["f"] if "f" in latents else latents["c"].new_zeros(count, *shapes.f)
        vector = latents["g"] if "g" in latents else latents["c"].new_zeros(count, shapes.g)
        hidden = self.from_f(fine) + F.interpolate(self.from_c(latents["c"]), fine.shape[2:], mode="bilinear")
        scale, shift = self.from_g(vector)[:, :, None, None].chunk(2, dim=1)
        hidden = self.to_field(self.norm(hidden) * (1 + scale) + shift)
        field: Tensor = self.out(hidden)
        return field.view(len(field), self.config.channels, *self.config.grid)

    def losses(self, field: Tensor, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """``voxel`` (weighted mean absolute error) and the weighted regularisers; their sum is what is minimised."""
        return self.reconstruct(field, generator)[1]

    def reconstruct(self, field: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """V of its own latents, and `losses`.

        Some scenes are decoded without g, some without g and f: so each latent holds what those before it cannot, and
        one model serves the ablations c and c + f (ours). Errors weigh more where there is something: most of
        a scene is empty, and a mean over all of it would be content with nothing at all.
        """
        encoded = self.encode(field, generator)
        latents = dict(encoded.latents)
        if self.training:
            chance = torch.rand(len(field), generator=generator, device=field.device)
            latents["g"] = latents["g"] * (chance >= 2 * self.config.drop)[:, None]
            latents["f"] = latents["f"] * (chance >= self.config.drop)[:, None, None, None]
        decoded = self.decode(latents)
        weights = field[:, :1] + self.config.empty_weight
        return decoded, {
            "voxel": ((decoded - field).abs() * weights).mean() / weights.mean(),
            "kl": self.config.kl_weight * encoded.kl,
            "commitment": self.config.commitment * encoded.commitment,
        }


class Quantiser(nn.Module):
    """Vector quantisation with a codebook kept as moving averages (van den Oord et al. 2017, appendix A.1).

    Codes nobody used for a while are put onto vectors of the batch: without that most of a codebook dies. The channel
    axis of x [B, n * size, H, W] holds n vectors of ``size``, those that a height folded into the channels has.
    """

    codes: Tensor
    counts: Tensor
    sums: Tensor

    def __init__(self, entries: int, size: int, decay: float = 0.99) -> None:
        super().__init__()
        self.decay, self.size = decay, size
        self.register_buffer("codes", torch.randn(entries, size))
        self.register_buffer("counts", torch.ones(entries))
        self.register_buffer("sums", self.codes.clone())

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """(quantised x with the gradient of x, commitment loss, share of the codes in use)."""
        batch, channels, height, width = x.shape
        vectors = x.view(batch, channels // self.size, self.size, height, width).movedim(2, -1)
        flat = vectors.reshape(-1, self.size).float()
        index = self.nearest(flat.detach())
        if self.training:
            self._learn(flat.detach(), index, generator)
        codes = self.codes[index].to(x.dtype)
        commitment = (flat - codes.float()).square().mean()
        quantised = codes.view(vectors.shape).movedim(-1, 2).reshape(x.shape)
        usage = torch.bincount(index, minlength=len(self.codes)).gt(0).float().mean()
        return x + (quantised - x).detach(), commitment, usage

    def nearest(self, flat: Tensor) -> Tensor:
        """Index [N] of the code nearest to each vector [N, size]; in pieces, to bound the memory of the distances."""
        return torch.cat([torch.cdist(part, self.codes).argmin(1) for part in torch.split(flat, 65_536)])

    @torch.no_grad()
    def _learn(self, flat: Tensor, index: Tensor, generator: torch.Generator | None) -> None:
        counts = torch.bincount(index, minlength=len(self.codes)).to(flat.dtype)
        sums = torch.zeros_like(self.sums).index_add_(0, index, flat)
        self.counts.lerp_(counts, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        unused = self.counts < 0.01 * self.counts.mean()
        fresh = flat[torch.randint(len(flat), (len(self.codes),), generator=generator, device=flat.device)]
        self.counts.copy_(torch.where(unused, self.counts.mean(), self.counts))
        self.sums.copy_(torch.where(unused[:, None], fresh * self.counts[:, None], self.sums))
        self.codes.copy_(self.sums / self.counts[:, None])
