"""The plain-torch versions against loops, and their gradients against differences, in float64."""

import torch

from kernels.render import lift, march, reference
from tests.kernels.render.checks import Frusta, Rays, check_lift, check_march


def test_lift_against_loops() -> None:
    check_lift(lift, Frusta(), 1e-12)


def test_march_against_loops() -> None:
    check_march(march, Rays(), 1e-12)


def test_gradients() -> None:
    frusta = Frusta(batch=1, pixels=4)
    density, features, *rest = frusta.tensors
    density = (density + 0.1).requires_grad_()  # away from the edge at zero
    assert torch.autograd.gradcheck(
        lambda d, f: reference.lift(d, f, *rest, frusta.grid)[0], (density, features.requires_grad_())
    )
    rays = Rays(batch=1, grid=(2, 2, 3), channels=2, samples=9)
    field, *rest = rays.tensors
    field[..., 0] += 0.1
    assert torch.autograd.gradcheck(lambda f: reference.march(f, *rest, **rays.along), (field.requires_grad_(),))


def test_a_wall_takes_all_the_light() -> None:
    """A dense slab at x = 3: what is behind it brings and shows nothing, and its depth is where it stands."""
    field = torch.zeros(1, 1, 1, 8, 2)
    field[0, 0, 0, 3] = torch.tensor([1e4, 7.0])
    field[0, 0, 0, 6] = torch.tensor([1e4, -5.0])
    features, depth, accumulation = march(
        field, torch.tensor([[[0.0, 0.5, 0.5]]]), torch.tensor([[[1.0, 0, 0]]]), near=0.0, far=8.0, samples=800
    )
    assert abs(float(depth) - 2.51) < 0.02 and abs(float(accumulation) - 1) < 1e-5
    # The first samples of the slab lie at its trilinear edge, where features still rise from 0.
    assert 0 <= float(features) <= 7
    lifted, counts = lift(
        torch.tensor([[[0.0, 1e4, 1e4]]]),
        torch.tensor([[[2.0]]]),
        torch.zeros(1, 1, 3) + 0.5,
        torch.tensor([[[1.0, 0, 0]]]),
        torch.tensor([0.0, 1.0, 2.0]),
        torch.ones(3),
        (1, 1, 3),
    )
    assert lifted[0, 0, 0, :, 0].tolist() == [0.0, 1e4, 1e4]  # densities are not weighted by visibility
    assert lifted[0, 0, 0, :, 1].tolist() == [0.0, 2.0, 0.0]  # features are
    assert counts.flatten().tolist() == [1, 1, 1]
