"""The Triton versions through Triton's interpreter on a CPU: run by test_interpreted with TRITON_INTERPRET=1.

In float64 too: the reference's gradients, which theirs must equal, are checked by differences in test_reference.
"""

import torch

from kernels.render.lift import launch as lift
from kernels.render.march import launch as march
from tests.kernels.render import checks


def test_lift() -> None:
    checks.check_lift(lift, checks.Frusta(), 1e-6)
    checks.check_lift(lift, checks.Frusta(dtype=torch.float32, bins=8, channels=4), 1e-5)


def test_lift_gradients() -> None:
    checks.check_lift_gradients(lift, checks.Frusta(), 1e-6)


def test_march() -> None:
    checks.check_march(march, checks.Rays(), 1e-5)
    checks.check_march(march, checks.Rays(dtype=torch.float32, batch=1, rays=2, channels=4, samples=32), 1e-4)


def test_march_gradients() -> None:
    checks.check_march_gradients(march, checks.Rays(), 1e-5)


def test_no_pixels_and_no_rays() -> None:
    frusta = checks.Frusta(pixels=1)
    density, features, origins, directions, *rest = frusta.tensors
    field, counts = lift(density[:, :0], features[:, :0], origins[:, :0], directions[:, :0], *rest, frusta.grid)
    assert field.shape == (2, 3, 4, 5, 4) and not field.any() and not counts.any()
    rays = checks.Rays()
    field, origins, directions = rays.tensors
    features, depth, _ = march(field, origins[:, :0], directions[:, :0], **rays.along)
    assert features.shape == (2, 0, 3) and depth.shape == (2, 0)
