"""The render kernels on a GPU against float64; needs torch, triton and numpy only."""

from __future__ import annotations

import pytest
import torch

from kernels.render import lift, march, reference
from tests.kernels.render import checks

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
SHAPES = [
    {"batch": 1, "pixels": 7, "bins": 3, "channels": 1},
    {"batch": 2, "pixels": 40, "bins": 41, "channels": 16},
    {"batch": 3, "pixels": 11, "bins": 64, "channels": 33, "grid": (8, 16, 16)},
]


@pytest.mark.parametrize("shape", SHAPES)
def test_lift(shape: dict[str, int]) -> None:
    checks.check_lift(lift, checks.Frusta("cuda", torch.float32, **shape), 1e-4)  # type: ignore[arg-type]
    checks.check_lift_gradients(lift, checks.Frusta("cuda", torch.float32, **shape), 1e-3)  # type: ignore[arg-type]


@pytest.mark.parametrize("channels", [1, 3, 16, 33])
@pytest.mark.parametrize("samples", [5, 64])
def test_march(channels: int, samples: int) -> None:
    rays = checks.Rays("cuda", torch.float32, rays=9, channels=channels, samples=samples, grid=(4, 6, 5))
    checks.check_march(march, rays, 1e-4)
    checks.check_march_gradients(march, rays, 1e-3)


def test_the_papers_grid_agrees_with_the_reference() -> None:
    """More than 65,535 programs, and fields whose offsets pass 2^31 bytes."""
    frusta = checks.Frusta("cuda", torch.float32, batch=8, pixels=12_000, bins=48, channels=16, grid=(32, 128, 128))
    field, counts = lift(*frusta.tensors, frusta.grid)
    theirs, their_counts = reference.lift(*frusta.tensors, frusta.grid)
    # A cell on the edge of two voxels may fall to either side after rounding.
    assert (counts != their_counts).float().mean() < 1e-4
    same = counts == their_counts
    assert (field - theirs)[same].abs().max() < 1e-2
    rays = checks.Rays("cuda", torch.float32, batch=8, rays=9_000, channels=16, samples=96, grid=(32, 128, 128))
    rays.along["far"] = 150.0
    ours, exact = march(*rays.tensors, **rays.along), reference.march(*rays.tensors, **rays.along)
    for a, b in zip(ours, exact, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
