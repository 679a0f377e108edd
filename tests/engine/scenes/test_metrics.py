"""Metrics against closed forms, other libraries' formulas and brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.scenes import metrics


def test_psnr_of_a_constant_error() -> None:
    truth = torch.full((2, 3, 4, 4), 0.5)
    torch.testing.assert_close(metrics.psnr(truth + 0.1, truth), torch.full((2,), 20.0))
    assert metrics.psnr(truth, truth).isinf().all()


def _ssim_by_loops(a: np.ndarray, b: np.ndarray) -> float:
    """One channel, pixel by pixel, as the paper's equation 13."""
    offsets = np.arange(11) - 5
    weights = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    found = []
    for y, x in itertools.product(range(a.shape[0] - 10), range(a.shape[1] - 10)):
        p, q = a[y : y + 11, x : x + 11], b[y : y + 11, x : x + 11]
        mp, mq = (weights * p).sum(), (weights * q).sum()
        vp, vq = (weights * (p - mp) ** 2).sum(), (weights * (q - mq) ** 2).sum()
        cov = (weights * (p - mp) * (q - mq)).sum()
        found.append((2 * mp * mq + 1e-4) * (2 * cov + 9e-4) / ((mp**2 + mq**2 + 1e-4) * (vp + vq + 9e-4)))
    return float(np.mean(found))


def test_ssim_against_loops() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(2, 3, 13, 14, generator=generator, dtype=torch.float64) for _ in range(2))
    b = 0.6 * a + 0.4 * b
    expected = [np.mean([_ssim_by_loops(a[i, c].numpy(), b[i, c].numpy()) for c in range(3)]) for i in range(2)]
    assert metrics.ssim(a, b).tolist() == pytest.approx(expected, abs=1e-9)
    torch.testing.assert_close(metrics.ssim(a, a), torch.ones(2, dtype=torch.float64))
    with pytest.raises(ValueError, match="window of 11"):
        metrics.ssim(a[..., :8], b[..., :8])


def test_depth_error_counts_valid_pixels_only() -> None:
    truth = torch.tensor([[2.0, 4.0, 0.0]])
    error = metrics.depth_error(torch.tensor([[3.0, 4.0, 9.0]]), truth, truth > 0)
    assert float(error) == pytest.approx(0.25)


def test_kid_by_brute_force() -> None:
    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn(6, 3, generator=generator), torch.randn(5, 3, generator=generator) + 1

    def kernel(x: torch.Tensor, y: torch.Tensor) -> float:
        return (float(x.double() @ y.double()) / 3 + 1) ** 3

    within = [np.mean([kernel(x, y) for x, y in itertools.permutations(list(s), 2)]) for s in (a, b)]
    between = np.mean([kernel(x, y) for x in a for y in b])
    assert float(metrics.kid(a, b)) == pytest.approx(within[0] + within[1] - 2 * between)
    with pytest.raises(ValueError, match="at least two"):
        metrics.kid(a[:1], b)


def test_kid_is_unbiased() -> None:
    generator = torch.Generator().manual_seed(2)
    draws = [
        float(metrics.kid(torch.randn(8, 2, generator=generator), torch.randn(8, 2, generator=generator)))
        for _ in range(2_000)
    ]
    assert abs(np.mean(draws)) < 4 * np.std(draws) / math.sqrt(len(draws))


@given(st.integers(4, 30), st.integers(2, 40), st.integers(0, 1000))
def test_frechet_against_the_matrix_root(dimensions: int, count: int, seed: int) -> None:
    """Also with fewer images than features, where covariances are singular."""
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(count + 1, dimensions, generator=generator, dtype=torch.float64)
    b = 0.5 * torch.randn(count + 2, dimensions, generator=generator, dtype=torch.float64) + 1
    cov_a, cov_b = np.cov(a.numpy().T), np.cov(b.numpy().T)
    root_a = scipy.linalg.sqrtm(cov_a)
    root = scipy.linalg.sqrtm(root_a @ cov_b @ root_a)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root.real)
    assert float(metrics.frechet(a, b)) == pytest.approx(float(expected), rel=1e-3, abs=1e-3)


def test_frechet_of_two_known_normals() -> None:
    """In one dimension it is (m - m')^2 + (s - s')^2."""
    generator = torch.Generator().manual_seed(3)
    a = torch.randn(200_000, 1, generator=generator, dtype=torch.float64)
    assert float(metrics.frechet(a, 3 * a + 2)) == pytest.approx(4 + 4, rel=0.01)
