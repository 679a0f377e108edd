"""Checks of one version of the render kernels against loops and autograd in float64, for a CPU and for a GPU."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from kernels.render import reference

Version = Callable[..., tuple[Tensor, ...]]


class Frusta:
    """Pixels of some pictures that look into a grid, from inside and outside of it, one along an axis."""

    def __init__(
        self,
        device: str = "cpu",
        dtype: torch.dtype = torch.float64,
        *,
        batch: int = 2,
        pixels: int = 6,
        bins: int = 5,
        channels: int = 3,
        grid: tuple[int, int, int] = (3, 4, 5),
    ) -> None:
        generator = torch.Generator().manual_seed(11)

        def uniform(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator, dtype=torch.float64)

        z, y, x = grid
        size = torch.tensor([x, y, z], dtype=torch.float64)
        origins = uniform(batch, pixels, 3) * size * 1.4 - 0.2 * size
        aims = uniform(batch, pixels, 3) * size
        directions = (aims - origins) / bins
        directions[0, 0] = torch.tensor([1.0, 0.0, 0.0])
        self.grid = grid
        widths = 0.5 + uniform(bins)
        made = (
            2 * uniform(batch, pixels, bins) * (uniform(batch, pixels, bins) > 0.3),  # some cells are empty
            torch.randn(batch, pixels, channels, generator=generator, dtype=torch.float64),
            origins,
            directions,
            widths.cumsum(0) - widths / 2,
            widths,
        )
        self.tensors = [each.to(device, dtype) for each in made]


def lift_by_loops(frusta: Frusta) -> tuple[Tensor, Tensor]:
    density, features, origins, directions, depths, widths = (each.double().cpu() for each in frusta.tensors)
    z, y, x = frusta.grid
    field = torch.zeros(len(density), z, y, x, 1 + features.shape[2], dtype=torch.float64)
    counts = torch.zeros(len(density), z, y, x, dtype=torch.float64)
    for b, p in itertools.product(range(density.shape[0]), range(density.shape[1])):
        light = 1.0
        for d in range(density.shape[2]):
            through = math.exp(-density[b, p, d] * widths[d] * directions[b, p].norm())
            taken, light = light * (1 - through), light * through
            i, j, k = (math.floor(float(v)) for v in origins[b, p] + depths[d] * directions[b, p])
            if 0 <= i < x and 0 <= j < y and 0 <= k < z:
                field[b, k, j, i, 0] += density[b, p, d]
                field[b, k, j, i, 1:] += taken * features[b, p]
                counts[b, k, j, i] += 1
    return field / counts.clamp(min=1)[..., None], counts


def check_lift(version: Version, frusta: Frusta, tolerance: float) -> None:
    field, counts = version(*frusta.tensors, frusta.grid)
    expected, expected_counts = lift_by_loops(frusta)
    assert torch.equal(counts.double().cpu(), expected_counts) and expected_counts.max() > 1
    torch.testing.assert_close(field.double().cpu(), expected, rtol=tolerance, atol=tolerance)


def check_lift_gradients(version: Version, frusta: Frusta, tolerance: float) -> None:
    """Against autograd through the reference in float64."""
    found = _gradients(lambda *a: version(*a, *frusta.tensors[2:], frusta.grid)[:1], frusta.tensors[:2])
    exact = [each.double() for each in frusta.tensors]
    truth = _gradients(lambda *a: reference.lift(*a, *exact[2:], frusta.grid)[:1], exact[:2])
    for ours, theirs in zip(found, truth, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=tolerance, atol=tolerance)


class Rays:
    """Rays through a field, from inside and outside, one that misses it."""

    def __init__(
        self,
        device: str = "cpu",
        dtype: torch.dtype = torch.float64,
        *,
        batch: int = 2,
        rays: int = 4,
        channels: int = 3,
        grid: tuple[int, int, int] = (3, 4, 5),
        samples: int = 21,
    ) -> None:
        generator = torch.Generator().manual_seed(12)
        z, y, x = grid
        size = torch.tensor([x, y, z], dtype=torch.float64)
        field = torch.randn(batch, *grid, 1 + channels, generator=generator, dtype=torch.float64)
        field[..., 0] = field[..., 0].clamp(min=0)  # about half of it empty
        origins = torch.rand(batch, rays, 3, generator=generator, dtype=torch.float64) * size * 1.6 - 0.3 * size
        aims = torch.rand(batch, rays, 3, generator=generator, dtype=torch.float64) * size
        directions = torch.nn.functional.normalize(aims - origins, dim=-1) * 1.3
        directions[0, 0] = 0.0 + torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
        origins[0, 0] = size + 3  # misses
        self.tensors = [each.to(device, dtype) for each in (field, origins, directions)]
        self.along = {"near": 0.1, "far": 6.0, "samples": samples}


def march_by_loops(rays: Rays) -> list[Tensor]:
    field, origins, directions = (each.double().cpu() for each in rays.tensors)
    samples, near, far = rays.along["samples"], rays.along["near"], rays.along["far"]
    step = (far - near) / samples
    batch, count, channels = *origins.shape[:2], field.shape[-1] - 1
    outs = [torch.zeros(batch, count, channels).double(), *(torch.zeros(batch, count).double() for _ in range(2))]
    for b, r in itertools.product(range(batch), range(count)):
        light = 1.0
        for s in range(int(samples)):
            t = near + step * (s + 0.5)
            value = torch.zeros(1 + channels, dtype=torch.float64)
            point = origins[b, r] + t * directions[b, r] - 0.5
            base = point.floor()
            for corner in itertools.product((0, 1), repeat=3):
                offset = torch.tensor(corner, dtype=torch.float64)
                weight = float(torch.where(offset == 1, point - base, 1 - point + base).prod())
                i, j, k = (int(v) for v in base + offset)
                if 0 <= i < field.shape[3] and 0 <= j < field.shape[2] and 0 <= k < field.shape[1]:
                    value += weight * field[b, k, j, i]
            through = math.exp(-float(value[0]) * step * float(directions[b, r].norm()))
            weight, light = light * (1 - through), light * through
            outs[0][b, r] += weight * value[1:]
            outs[1][b, r] += weight * t
            outs[2][b, r] += weight
    return outs


def check_march(version: Version, rays: Rays, tolerance: float) -> None:
    outs = version(*rays.tensors, **rays.along)
    for ours, theirs in zip(outs, march_by_loops(rays), strict=True):
        torch.testing.assert_close(ours.double().cpu(), theirs, rtol=tolerance, atol=tolerance)
    assert outs[2][0, 0] == 0 and outs[2].max() > 0.5


def check_march_gradients(version: Version, rays: Rays, tolerance: float) -> None:
    """Against autograd through the reference in float64."""
    exact = [each.double() for each in rays.tensors]
    found = _gradients(lambda f: version(f, *rays.tensors[1:], **rays.along), rays.tensors[:1])
    truth = _gradients(lambda f: reference.march(f, *exact[1:], **rays.along), exact[:1])  # type: ignore[arg-type]
    torch.testing.assert_close(found[0].double(), truth[0], rtol=tolerance, atol=tolerance)


def _gradients(call: Callable[..., tuple[Tensor, ...]], inputs: list[Tensor]) -> tuple[Tensor, ...]:
    """Of a fixed random combination of the outputs."""
    inputs = [each.detach().clone().requires_grad_() for each in inputs]
    generator = torch.Generator().manual_seed(13)
    total = torch.zeros((), dtype=torch.float64, device=inputs[0].device)
    for out in call(*inputs):
        weights = torch.randn(out.shape, generator=generator, dtype=torch.float64).to(out.device)
        total = total + (out.double() * weights).sum()
    return torch.autograd.grad(total, inputs)
