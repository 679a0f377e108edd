"""The picture decoder makes every pixel alike."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from engine.scenes.networks import PictureDecoder


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_maps_of_one_value_give_pictures_of_one_colour(stride: int) -> None:
    torch.manual_seed(stride)
    decoder = PictureDecoder(5, 128, stride).double()  # groups of more than one channel: one alone has no variance here
    for parameter in decoder.parameters():  # whatever was learned, not only how it begins
        torch.nn.init.normal_(parameter, std=0.05)
    with torch.no_grad():
        pictures = decoder(torch.randn(3, 5, 1, 1).double().expand(-1, -1, 6, 7))
    assert pictures.shape == (3, 3, 6 * stride, 7 * stride)
    torch.testing.assert_close(pictures, pictures[:, :, :1, :1].expand_as(pictures), rtol=0, atol=1e-6)
    assert float((pictures[0] - pictures[1]).abs().max()) > 1e-3  # and of a colour that the value decides


def test_smooth_maps_give_pictures_without_a_grid() -> None:
    """Of a smooth map's picture, next to nothing has the period of the pixels of a cell, 4, or of half a cell, 2."""
    torch.manual_seed(0)
    maps = F.interpolate(torch.randn(4, 5, 3, 3), (24, 24), mode="bicubic")
    with torch.no_grad():
        pictures = PictureDecoder(5, 16, 4)(maps)[..., 16:-16, 16:-16]
    window = torch.hann_window(64)
    waves = torch.fft.fft2((pictures - pictures.mean((2, 3), keepdim=True)) * window.outer(window)).abs()
    grid = torch.stack([waves[..., 16, :], waves[..., 32, :], waves[..., 16], waves[..., 32]])
    assert float(grid.max()) < 0.01 * float(waves.max())
