"""From logits to tokens: filters, counter-based Gumbel noise, argmax and the raw log-probability."""

from kernels.sampling.draw import draw

__all__ = ["draw"]
