"""The networks of the scene auto-encoder: pictures to frustums, a lifted grid to a field, feature maps to pictures.

The paper names "a 2D CNN" for the first and the last and no other: widths, depths and the middle one are ours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.scenes.blocks import ConvBlock, group_norm, zeroed

GEOMETRY = 3  # numbers of a cell's ray that the encoder sees, see `ray_geometry`


def ray_geometry(origins: Tensor, directions: Tensor, height: int) -> Tensor:
    """What tells a floor's depth: the ray's elevation, its length for depth 1 and the camera's height as a share of the
    grid's. [..., 3] each -> [..., 3]; no heading, so that a scene that is turned makes the same field, turned."""
    length = directions.norm(dim=-1)
    return torch.stack([directions[..., 2] / length, length - 1, origins[..., 2] / height - 0.5], dim=-1)


class PictureEncoder(nn.Module):
    """Pictures [N, 3, h, w] and the geometry of their cells' rays [N, 3, H, W] -> [N, outside, H, W].

    A patch of ``stride`` pixels is one cell from the start: the cells' own blocks keep detail, and a U-Net of two more
    halvings sees enough of the picture to tell how far things are.
    """

    def __init__(self, stride: int, width: int, outside: int) -> None:
        super().__init__()
        self.patch = nn.PixelUnshuffle(stride)
        self.into = nn.Sequential(nn.Conv2d(3 * stride**2 + GEOMETRY, width, 3, padding=1), ConvBlock(width))
        self.down1 = nn.Sequential(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), ConvBlock(2 * width))
        self.down2 = nn.Sequential(
            nn.Conv2d(2 * width, 2 * width, 3, stride=2, padding=1), ConvBlock(2 * width), ConvBlock(2 * width)
        )
        self.up1 = ConvBlock(2 * width)
        self.narrow = nn.Conv2d(2 * width, width, 1)
        self.out = nn.Sequential(
            ConvBlock(width), ConvBlock(width), group_norm(width), nn.SiLU(), nn.Conv2d(width, outside, 1)
        )

    def forward(self, images: Tensor, geometry: Tensor) -> Tensor:
        cells = self.into(torch.cat([self.patch(images * 2 - 1), geometry], dim=1))
        half = self.down1(cells)
        half = self.up1(half + F.interpolate(self.down2(half), half.shape[2:], mode="nearest"))
        out: Tensor = self.out(cells + self.narrow(F.interpolate(half, cells.shape[2:], mode="nearest")))
        return out


class FieldRefiner(nn.Module):
    """What was lifted [B, Z, Y, X, 2 + C] (mean density, share of the light, features) -> field [B, Z, Y, X, 1 + C].

    Each picture is lifted without knowing of the others. Convolutions at half the resolution let neighbouring voxels,
    and so the pictures, agree: they weaken densities that others see through and fill what lies between two rays.
    Features are bounded and fade where nothing is, so that empty space is the same everywhere.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.halve = nn.Conv3d(2 + channels, width, 4, stride=2, padding=1)
        self.blocks = nn.Sequential(*(_VoxelBlock(width) for _ in range(2)))
        self.fine = nn.Linear(2 + channels, width)
        self.out = zeroed(nn.Linear(width, 2 + channels))

    def forward(self, lifted: Tensor) -> Tensor:
        # A density has no upper bound; its logarithm is a number that a network can see.
        seen = torch.cat([torch.log1p(lifted[..., :1]), lifted[..., 1:]], dim=-1)
        halves = [size + size % 2 for size in lifted.shape[1:4]]
        padded = F.pad(
            seen.movedim(-1, 1),
            [0, halves[2] - seen.shape[3], 0, halves[1] - seen.shape[2], 0, halves[0] - seen.shape[1]],
        )
        coarse = self.blocks(self.halve(padded))
        around = F.interpolate(coarse, scale_factor=2.0, mode="nearest").movedim(1, -1)
        around = around[:, : seen.shape[1], : seen.shape[2], : seen.shape[3]]
        change = self.out(F.silu(self.fine(seen) + around)).float()
        density = lifted[..., :1] * 2 * torch.sigmoid(change[..., :1]) + F.softplus(change[..., 1:2] - 6)
        features = torch.tanh(lifted[..., 2:] + change[..., 2:]) * -torch.expm1(-4 * density)
        return torch.cat([density, features], dim=-1)


class _VoxelBlock(nn.Module):
    """x + two 3 x 3 x 3 convolutions of it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            group_norm(width), nn.SiLU(), nn.Conv3d(width, width, 3, padding=1),
            nn.SiLU(), zeroed(nn.Conv3d(width, width, 3, padding=1)),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.layers(x)
        return out


class PictureDecoder(nn.Module):
    """Feature maps [N, C, H, W] -> pictures in [0, 1], each side ``stride`` times as long.

    Most of the work is done on the cells; the last doubling is a shuffle of channels into pixels."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), *(ConvBlock(width) for _ in range(3))]
        last = 2 if stride > 1 else 1
        while stride > 2:
            layers += [nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(width, width // 2, 3, padding=1)]
            layers += [ConvBlock(width // 2)]
            width, stride = width // 2, stride // 2
        layers += [group_norm(width), nn.SiLU(), nn.Conv2d(width, 3 * last**2, 3, padding=1), nn.PixelShuffle(last)]
        self.layers = nn.Sequential(*layers)

    def forward(self, maps: Tensor) -> Tensor:
        return torch.sigmoid(self.layers(maps).float())
