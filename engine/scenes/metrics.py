"""Quality of images and of sets of images.

Images are [N, 3, H, W] in [0, 1], features [N, D]. No score here is called FID: that name is for Inception features,
and `frechet` of other features is another number. Compare only scores of the same features, and show two rows beside
them: real against real, and the auto-encoder's reconstructions.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_C1, _C2 = 0.01**2, 0.03**2  # Wang et al. 2004, for images in [0, 1]


def psnr(images: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image [N], in dB."""
    error = (images - truth).square().flatten(1).mean(1)
    return -10 * torch.log10(error)


def ssim(images: Tensor, truth: Tensor, window: int = 11, spread: float = 1.5) -> Tensor:
    """Structural similarity of each image [N] (Wang et al. 2004): Gaussian window, no padding, mean over the channels.

    Raises:
        ValueError: the images are smaller than the window.
    """
    if min(images.shape[2:]) < window:
        raise ValueError(f"SSIM looks through a window of {window} pixels; these images are {tuple(images.shape[2:])}")
    offsets = torch.arange(window, dtype=images.dtype, device=images.device) - window // 2
    weights = torch.exp(-(offsets**2) / (2 * spread**2))
    weights = weights / weights.sum()

    def local_mean(x: Tensor) -> Tensor:
        x = F.conv2d(x.flatten(0, 1)[:, None], weights.view(1, 1, -1, 1))
        return F.conv2d(x, weights.view(1, 1, 1, -1))

    mean_a, mean_b = local_mean(images), local_mean(truth)
    variance_a = local_mean(images**2) - mean_a**2
    variance_b = local_mean(truth**2) - mean_b**2
    covariance = local_mean(images * truth) - mean_a * mean_b
    similarity = (2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)
    similarity = similarity / ((mean_a**2 + mean_b**2 + _C1) * (variance_a + variance_b + _C2))
    return similarity.view(len(images), -1).mean(1)


def depth_error(depth: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """Mean of |depth - truth| / truth over the valid pixels ("abs rel", Eigen et al. 2014). Shapes alike; a scalar."""
    return ((depth - truth).abs() / truth)[valid].mean()


def kid(first: Tensor, second: Tensor) -> Tensor:
    """Kernel distance (Binkowski et al. 2018): unbiased squared MMD with the kernel (x . y / D + 1)^3. Can be below 0.

    Raises:
        ValueError: fewer than two images on a side.
    """
    if min(len(first), len(second)) < 2:
        raise ValueError("a kernel distance needs at least two images on each side")
    first, second = first.double(), second.double()
    return (
        _mean_off_diagonal(_cubic(first, first))
        + _mean_off_diagonal(_cubic(second, second))
        - 2 * _cubic(first, second).mean()
    )


def _cubic(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T / a.shape[1] + 1) ** 3


def _mean_off_diagonal(square: Tensor) -> Tensor:
    n = len(square)
    return (square.sum() - square.diagonal().sum()) / (n * (n - 1))


def frechet(first: Tensor, second: Tensor) -> Tensor:
    """Frechet distance of two normal distributions fitted to the features (Heusel et al. 2017, equation 6).

    |m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)). The trace of the root is the sum of the singular values of A B^T, where
    S = A^T A and S' = B^T B: no matrix root has to be taken, and n below D is no special case. Biased up at small n.
    """

    def moments(x: Tensor) -> tuple[Tensor, Tensor]:
        mean = x.double().mean(0)
        return mean, torch.linalg.qr((x.double() - mean) / (len(x) - 1) ** 0.5, mode="r").R

    (mean_a, a), (mean_b, b) = moments(first), moments(second)
    root_trace = torch.linalg.svdvals(a @ b.T).sum()
    distance: Tensor = (mean_a - mean_b).square().sum() + a.square().sum() + b.square().sum() - 2 * root_trace
    return distance
