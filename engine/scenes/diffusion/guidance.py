"""Guidance: two denoisers made one."""

from __future__ import annotations

from torch import Tensor

from engine.scenes.diffusion.prediction import Denoiser


def guided(
    conditional: Denoiser, other: Denoiser, scale: float, interval: tuple[float, float] = (0.0, 1.0)
) -> Denoiser:
    """Away from ``other``, towards ``conditional``: other + scale (conditional - other), at times in ``interval``.

    ``other`` is the unconditional denoiser for classifier-free guidance (Ho and Salimans 2022), or one that knows what
    is not wanted: negative guidance (paper, section 3.4), which samples p(x|y)^scale / p(x|y')^(scale - 1). Outside
    the interval, and at scale 1, ``other`` is not called (Kynkäänniemi et al. 2024: guidance only in the middle).
    """
    low, high = interval

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        wanted = conditional(x, t)
        if scale == 1 or not low <= float(t[0]) <= high:
            return wanted
        unwanted = other(x, t)
        return unwanted + scale * (wanted - unwanted)

    return denoise
