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

from engine.scenes.networks import FieldRefiner, PictureDecoder, PictureEncoder, ray_geometry
from kernels.render import lift, march

# A cell's density at the start: a ray passes about e times as much as it takes over the depth of the grid.
_THIN = -3.0
_FEW = 0.02  # of a ray's light: voxels that get less show little of their features


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
    width: int = 64  # of the networks on pictures
    voxel_width: int = 32  # of the network on voxels
    image_weight: float = 1.0
    depth_weight: float = 0.5
    frustum_weight: float = 0.05
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
    ignored: Tensor | None = None  # [B, N, H, W], where a picture says nothing

    def pictures_for(self, shown: Tensor) -> Tensor:
        """What pictures ``shown`` [B, N, 3, h, w] in place of these are compared with: where these say nothing, with
        themselves, so that nothing is learned there and no score falls."""
        if self.ignored is None:
            return self.images
        pixels = self.images.shape[-1] // self.ignored.shape[-1]
        ignored = self.ignored.repeat_interleave(pixels, 2).repeat_interleave(pixels, 3)
        return torch.where(ignored[:, :, None], shown.detach(), self.images)


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
        self.encoder = PictureEncoder(config.stride, config.width, config.bins + config.channels)
        self.refiner = FieldRefiner(config.channels, config.voxel_width)
        self.decoder = PictureDecoder(config.channels, config.width, config.stride)
        # What rays see that leave the grid, by their elevation: the sky.
        self.background = nn.Linear(2, config.channels)
        # Cells grow with depth, as what they show shrinks: equal steps in the logarithm.
        edges = torch.logspace(0, 1, config.bins + 1, base=config.far / config.near) * config.near
        self.register_buffer("depths", (edges[1:] + edges[:-1]) / 2, persistent=False)
        self.register_buffer("widths", edges.diff(), persistent=False)

    def encode(self, images: Tensor, rays: Rays) -> Tensor:
        """The voxel field [B, Z, Y, X, 1 + C] of pictures [B, N, 3, h, w]: their frustums lifted, pooled, refined."""
        return self.pool(*self.frustums(images, rays), rays)

    def frustums(self, images: Tensor, rays: Rays) -> tuple[Tensor, Tensor]:
        """Densities [B, N, H, W, D] and features [B, N, H, W, C] of pictures [B, N, 3, h, w]."""
        geometry = ray_geometry(rays.origins, rays.directions, self.config.grid[0]).flatten(0, 1).movedim(-1, 1)
        maps = self.encoder(images.flatten(0, 1), geometry).movedim(1, -1).float()
        density, features = maps.view(*rays.origins.shape[:-1], -1).split(
            [self.config.bins, self.config.channels], dim=-1
        )
        return F.softplus(density + _THIN), features

    def pool(self, density: Tensor, features: Tensor, rays: Rays) -> Tensor:
        """The voxel field of frustums.

        The paper takes the plain mean of a voxel's cells, in which cells that lie in the shadow of their own picture
        count as much as those that are seen. Here the mean of the features is divided by that of the weights, lifted as
        one channel more: the mean over the light that ends in the voxel (ours).
        """
        batch = len(density)
        weighed = torch.cat([features, torch.ones_like(features[..., :1])], dim=-1)
        origins, directions = (part.reshape(batch, -1, 3) for part in rays)
        with torch.autocast(density.device.type, enabled=False):
            lifted, _ = lift(
                density.reshape(batch, -1, self.config.bins),
                weighed.reshape(batch, -1, self.config.channels + 1),
                origins,
                directions,
                self.depths,
                self.widths,
                self.config.grid,
            )
        light = lifted[..., -1:]
        field: Tensor = self.refiner(torch.cat([lifted[..., :1], light, lifted[..., 1:-1] / (light + _FEW)], dim=-1))
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
        elevation = directions[..., 2:] / directions.norm(dim=-1, keepdim=True)
        behind = self.background(torch.cat([elevation, elevation.square()], dim=-1)).float()
        features = features + (1 - total)[..., None] * behind
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
        opacity, the one that keeps empty space empty, log(1 + 2 sigma^2) (Hedman et al. 2021), and the one that tells
        each given picture where its light ends, -log O_d of the cell at the measured depth, are ours. Depths beyond the
        grid say nothing: what is there cannot be built.
        """
        config = self.config
        frustums = self.frustums(given.images, given.rays)
        field = self.pool(*frustums, given.rays)
        seen = self.render(field, asked.rays)
        known = self.buildable(asked).float()
        certain = known + asked.sky.float()
        truth = asked.pictures_for(seen.image)
        depth_error = (seen.depth - asked.depths).abs() / asked.depths.clamp(min=config.near)
        losses = {
            "image": config.image_weight * (seen.image - truth).abs().mean(),
            "depth": config.depth_weight * (depth_error.clamp(max=1.0) * known).sum() / known.sum().clamp(min=1),
            # Where something was seen at a known depth, light must end; where the sky was, it must not.
            "opacity": config.depth_weight
            * ((seen.accumulation - known).abs() * certain).sum()
            / certain.sum().clamp(min=1),
            "density": config.density_weight * torch.log1p(2 * field[..., 0].square()).mean(),
            "frustum": config.frustum_weight * self._frustum_loss(frustums[0], given),
        }
        if perceptual is not None:
            both = (part.flatten(0, 1) for part in (seen.image, truth))
            losses["perceptual"] = config.perceptual_weight * perceptual(*both).mean()
        return losses

    def buildable(self, views: Views) -> Tensor:
        """[B, N, H, W]: where the measured surface lies in the grid and within reach."""
        points = views.rays.origins + views.depths[..., None] * views.rays.directions
        z, y, x = self.config.grid
        inside = ((points >= 0) & (points < points.new_tensor([x, y, z]))).all(-1)
        return views.valid & (views.depths > self.config.near) & (views.depths < self.config.far) & inside

    def _frustum_loss(self, density: Tensor, views: Views) -> Tensor:
        """Mean of -log O_d over the given pictures' cells of known depth, d the bin of that depth."""
        config = self.config
        known = views.valid & (views.depths > config.near) & (views.depths < config.far)
        edges = self.depths + self.widths / 2
        bin_ = torch.bucketize(views.depths.contiguous(), edges).clamp(max=config.bins - 1)[..., None]
        optical = density * self.widths * views.rays.directions.norm(dim=-1, keepdim=True)
        through = optical.cumsum(-1)
        here = optical.gather(-1, bin_)
        before = through.gather(-1, bin_) - here
        # log O_d = -before + log(1 - exp(-here)); the clamp bounds the slope where a cell is still clear.
        surprise = before - torch.log(-torch.expm1(-here.clamp(min=1e-3)))
        loss: Tensor = (surprise[..., 0] * known).sum() / known.sum().clamp(min=1)
        return loss
