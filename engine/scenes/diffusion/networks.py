"""The denoising networks: an MLP with skips for the global latent, 2D U-Nets for the coarse and fine ones.

The paper says that much (section 3.3) and gives no widths; the widths are ours (`Widths`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.scenes.blocks import group_norm, zeroed
from engine.scenes.diffusion.blocks import Attention, ResidualBlock, TimeEmbedding


class VectorDenoiser(nn.Module):
    """psi_g: x [B, size] and t [B] -> prediction [B, size]. The mean of a map's ``tokens`` [B, N, T] joins t."""

    def __init__(self, size: int, width: int = 512, depth: int = 4, tokens: int | None = None) -> None:
        super().__init__()
        self.time = TimeEmbedding(width)
        self.tokens = nn.Linear(tokens, width) if tokens else None
        self.into = nn.Linear(size, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(2 * width), nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, width))
            for _ in range(depth)
        )
        self.out = zeroed(nn.Linear(width + size, size))

    def forward(self, x: Tensor, t: Tensor, tokens: Tensor | None = None) -> Tensor:
        condition = self.time(t)
        if self.tokens is not None and tokens is not None:
            condition = condition + self.tokens(tokens.mean(1))
        hidden = self.into(x)
        for block in self.blocks:
            hidden = hidden + block(torch.cat([hidden, condition], dim=1))
        out: Tensor = self.out(torch.cat([hidden, x], dim=1))
        return out


class GridDenoiser(nn.Module):
    """psi_c, psi_f: a U-Net over x [B, channels, H, W].

    ``vector`` [B, V] (the global latent) joins the time and sets the conditional group norms; ``grid`` [B, G, h, w]
    (the coarse latent) is brought to x's size and put beside it; ``tokens`` [B, N, T] (a map) are attended to.

    Args:
        widths: channels of each level; each level has half the height and width of the one before.
        attention: the levels, from the coarsest up, that also attend within the grid.
    """

    def __init__(
        self,
        channels: int,
        widths: tuple[int, ...],
        *,
        vector: int = 0,
        grid: int = 0,
        tokens: int | None = None,
        attention: int = 1,
    ) -> None:
        super().__init__()
        embedding = 4 * widths[0]
        self.time = TimeEmbedding(embedding)
        self.vector = nn.Linear(vector, embedding) if vector else None
        self.grid = grid
        self.into = nn.Conv2d(channels + grid, widths[0], 3, padding=1)
        attends = [level >= len(widths) - attention for level in range(len(widths))]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        skips, inside = [widths[0]], widths[0]
        for level, width in enumerate(widths):
            self.down.append(_Level(inside, width, embedding, attends[level], tokens, halves=level > 0))
            inside = width
            skips.append(width)
        self.middle = _Level(inside, inside, embedding, True, tokens)
        for level, width in reversed(list(enumerate(widths))):
            self.up.append(_Level(inside + skips[level + 1], width, embedding, attends[level], tokens))
            inside = width
        self.norm = group_norm(inside + skips[0])
        self.out = zeroed(nn.Conv2d(inside + skips[0], channels, 3, padding=1))

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        *,
        vector: Tensor | None = None,
        grid: Tensor | None = None,
        tokens: Tensor | None = None,
    ) -> Tensor:
        embedding = self.time(t)
        if self.vector is not None and vector is not None:
            embedding = embedding + self.vector(vector)
        if self.grid:
            grid = x.new_zeros(len(x), self.grid, 1, 1) if grid is None else grid
            x = torch.cat([x, F.interpolate(grid, x.shape[2:], mode="nearest")], dim=1)
        hidden = self.into(x)
        skips = [hidden]
        for level in self.down:
            hidden = level(hidden, embedding, tokens)
            skips.append(hidden)
        hidden = self.middle(hidden, embedding, tokens)
        for level in self.up:
            skip = skips.pop()
            hidden = F.interpolate(hidden, skip.shape[2:], mode="nearest")
            hidden = level(torch.cat([hidden, skip], dim=1), embedding, tokens)
        out: Tensor = self.out(F.silu(self.norm(torch.cat([hidden, skips.pop()], dim=1))))
        return out


class _Level(nn.Module):
    """Two residual blocks of one resolution, with what they attend to."""

    def __init__(
        self, inside: int, outside: int, embedding: int, attends: bool, tokens: int | None, halves: bool = False
    ) -> None:
        super().__init__()
        self.halve = nn.Conv2d(inside, inside, 3, stride=2, padding=1) if halves else nn.Identity()
        self.first = ResidualBlock(inside, outside, embedding)
        self.within = Attention(outside) if attends else None
        self.across = Attention(outside, tokens) if tokens else None
        self.second = ResidualBlock(outside, outside, embedding)

    def forward(self, x: Tensor, embedding: Tensor, tokens: Tensor | None) -> Tensor:
        x = self.first(self.halve(x), embedding)
        if self.within is not None:
            x = self.within(x)
        if self.across is not None and tokens is not None:
            x = self.across(x, tokens)
        out: Tensor = self.second(x, embedding)
        return out
