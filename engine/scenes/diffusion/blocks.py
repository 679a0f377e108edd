"""Parts of the denoising networks."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.scenes.blocks import group_norm, zeroed

_HEAD = 32  # channels of an attention head
_TIME_SCALE = 1000.0  # a network sees t in the steps of DDPM, for which these frequencies were chosen


def time_features(t: Tensor, channels: int) -> Tensor:
    """Sines and cosines of t [B] in [0, 1] -> [B, channels] (Vaswani et al. 2017)."""
    half = channels // 2
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half, device=t.device, dtype=torch.float32) / half)
    angles = _TIME_SCALE * t.float()[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class TimeEmbedding(nn.Module):
    """t [B] -> [B, width]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.features = width
        self.layers = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        out: Tensor = self.layers(time_features(t, self.features))
        return out


class ResidualBlock(nn.Module):
    """Two convolutions; the embedding scales and shifts the second normalisation (conditional group norm)."""

    def __init__(self, inside: int, outside: int, embedding: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = group_norm(inside), group_norm(outside)
        self.conv1 = nn.Conv2d(inside, outside, 3, padding=1)
        self.conv2 = zeroed(nn.Conv2d(outside, outside, 3, padding=1))
        self.modulation = nn.Linear(embedding, 2 * outside)
        self.skip = nn.Identity() if inside == outside else nn.Conv2d(inside, outside, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        hidden = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.modulation(F.silu(embedding))[:, :, None, None].chunk(2, dim=1)
        hidden = self.conv2(F.silu(self.norm2(hidden) * (1 + scale) + shift))
        out: Tensor = self.skip(x) + hidden
        return out


class Attention(nn.Module):
    """From every cell of x [B, C, H, W] to every other, or to ``tokens`` [B, N, T] where they are given."""

    def __init__(self, channels: int, tokens: int | None = None) -> None:
        super().__init__()
        self.heads = max(1, channels // _HEAD)
        self.norm = group_norm(channels)
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(tokens or channels, 2 * channels)
        self.out = zeroed(nn.Linear(channels, channels))

    def forward(self, x: Tensor, tokens: Tensor | None = None) -> Tensor:
        cells = self.norm(x).flatten(2).transpose(1, 2)  # [B, HW, C]
        query = self._split(self.query(cells))
        key, value = (
            self._split(part) for part in self.key_value(cells if tokens is None else tokens).chunk(2, dim=-1)
        )
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        out: Tensor = x + self.out(mixed).transpose(1, 2).view_as(x)
        return out

    def _split(self, x: Tensor) -> Tensor:
        """[B, N, C] -> [B, heads, N, C / heads]."""
        return x.view(*x.shape[:-1], self.heads, -1).transpose(1, 2)
