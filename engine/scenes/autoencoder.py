"""The scene auto-encoder: pictures with poses into a voxel field, and the field into pictures (paper, section 3.1).

    field = model.encode(images, rays)              # [B, Z, Y, X, 1 + C]
    seen = model.render(field, other_rays)          # image, depth, accumulation

Rays are in voxel units with directions for depth 1 (see kernels.render), one for each cell of the feature maps,
which are `stride` times smaller than the pictures. Depths are planar.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.scenes.blocks import ConvBlock, group_norm, tower
from kernels.render import lift, march

# A cell's density at the start: a ray passes about e times as much as it takes over the depth of the grid.
_THIN = -3.0


@dataclass(frozen=True, slots=True)
class SceneConfig:
    """Sizes and weights. The grid is the paper's; it names no other number, so the rest is ours."""

    grid: tuple[int, int, int] = (32, 128, 128)  # Z, Y, X
    channels: int = 16  # features of a voxel
    stride: int = 4  # of feature maps against pictures, a power of 2
    bins: int = 64  # depths of a frustum
    near: float = 2.0  # voxels
    far: float = 96.0  # voxels
    samples: int = 96  # along a rendered ray
    width: int = 64
    image_weight: float = 1.0
    depth_weight: float = 0.5
    perceptual_weight: float = 0.1
    density_weight: float = 1e-3

    def __post_init__(self) -> None:
        if self.stride < 1 or self.stride & (self.stride - 1):
            raise ValueError(f"stride must be a power of 2, got {self.stride}")
        if not 0 < self.near < self.far:
            raise ValueError(f"near and far must be 0 < near < far voxels, got {self.near} and {self.far}")


class Rays(NamedTuple):
    """One ray for each cell of a feature map: [B, N, H, W, 3] as (x, y, z), in voxel units; directions for depth 1."""

    origins: Tensor
    directions: Tensor


class Views(NamedTuple):
    """Pictures of B scenes from N places each."""

    images: Tensor  # [B, N, 3, h, w], in [0, 1]
    depths: Tensor  # [B, N, H, W], in voxels, planar; at the feature maps' size
    valid: Tensor  # [B, N, H, W], whether a depth is known
    sky: Tensor  # [B, N, H, W], whether the ray meets nothing
    rays: Rays


class Rendered(NamedTuple):
    image: Tensor  # [B, N, 3, h, w]
    depth: Tensor  # [B, N, H, W], in voxels: the mean over what the ray meets, 0 where it meets nothing
    accumulation: Tensor  # [B, N, H, W], how much of the ray's light ends in the grid


class SceneAutoencoder(nn.Module):
    depths: Tensor  # [D], middles of the frustums' cells, in voxels
    widths: Tensor  # [D]

    def __init__(self, config: SceneConfig) -> None:
        super().__init__()
        self.config = config
        halvings = config.stride.bit_length() - 1
        self.encoder = nn.Sequential(
            *tower(3, config.width, halvings), nn.Conv2d(config.width, config.bins + config.channels, 1)
        )
        self.decoder = _Decoder(config.channels, config.width, halvings)
        # What rays see that leave the grid: the sky.
        self.background = nn.Parameter(torch.zeros(config.channels))
        # Cells grow with depth, as what they show shrinks: equal steps in the logarithm.
        edges = torch.logspace(0, 1, config.bins + 1, base=config.far / config.near) * config.near
        self.register_buffer("depths", (edges[1:] + edges[:-1]) / 2, persistent=False)
        self.register_buffer("widths", edges.diff(), persistent=False)

    def encode(self, images: Tensor, rays: Rays) -> Tensor:
        """The voxel field [B, Z, Y, X, 1 + C] of pictures [B, N, 3, h, w]: their frustums lifted and pooled."""
        batch = len(images)
        maps = self.encoder(images.flatten(0, 1) * 2 - 1).movedim(1, -1)  # [BN, H, W, D + C]
        maps = maps.reshape(batch, -1, maps.shape[-1]).float()
        density, features = maps.split([self.config.bins, self.config.channels], dim=-1)
        origins, directions = (part.reshape(batch, -1, 3) for part in rays)
        with torch.autocast(images.device.type, enabled=False):
            field, _ = lift(
                F.softplus(density + _THIN), features, origins, directions, self.depths, self.widths, self.config.grid
            )
        return field

    def render(self, field: Tensor, rays: Rays) -> Rendered:
        """The pictures that the rays see in a field."""
        batch, views, height, width, _ = rays.origins.shape
        config = self.config
        origins, directions = (part.reshape(batch, -1, 3) for part in rays)
        with torch.autocast(field.device.type, enabled=False):
            features, depth, total = march(
                field.float(), origins, directions, near=config.near, far=config.far, samples=config.samples
            )
        features = features + (1 - total)[..., None] * self.background
        maps = features.view(batch * views, height, width, -1).movedim(-1, 1)
        image = self.decoder(maps)
        shape = (batch, views, height, width)
        mean_depth = depth / total.clamp(min=1e-4)
        return Rendered(image.view(batch, views, *image.shape[1:]), mean_depth.view(shape), total.view(shape))

    def losses(
        self, given: Views, asked: Views, perceptual: Callable[[Tensor, Tensor], Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Weighted losses of the views ``asked``, rendered from the field of the views ``given``.

        Image and depth terms are the paper's; the perceptual one (`perceptual` of two batches of pictures), the
        opacity, and the one that keeps empty space empty, log(1 + 2 sigma^2) (Hedman et al. 2021), are ours.
        """
        config = self.config
        field = self.encode(given.images, given.rays)
        seen = self.render(field, asked.rays)
        known = (asked.valid & (asked.depths < config.far)).float()
        certain = known + asked.sky.float()
        depth_error = (seen.depth - asked.depths).abs() / asked.depths.clamp(min=config.near)
        losses = {
            "image": config.image_weight * (seen.image - asked.images).abs().mean(),
            "depth": config.depth_weight * (depth_error.clamp(max=1.0) * known).sum() / known.sum().clamp(min=1),
            # Where something was seen at a known depth, light must end; where the sky was, it must not.
            "opacity": config.depth_weight
            * ((seen.accumulation - known).abs() * certain).sum()
            / certain.sum().clamp(min=1),
            "density": config.density_weight * torch.log1p(2 * field[..., 0].square()).mean(),
        }
        if perceptual is not None:
            both = (part.flatten(0, 1) for part in (seen.image, asked.images))
            losses["perceptual"] = config.perceptual_weight * perceptual(*both).mean()
        return losses


class _Decoder(nn.Module):
    """Feature maps [N, C, H, W] -> pictures in [0, 1], each side 2^doublings times as long."""

    def __init__(self, channels: int, width: int, doublings: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), ConvBlock(width)]
        for _ in range(doublings):
            layers += [
                nn.Upsample(scale_factor=2, mode="nearest"),
                nn.Conv2d(width, width, 3, padding=1),
                ConvBlock(width),
            ]
        self.layers = nn.Sequential(*layers, group_norm(width), nn.SiLU(), nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, maps: Tensor) -> Tensor:
        return torch.sigmoid(self.layers(maps).float())
