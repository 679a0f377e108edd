"""From logits to tokens: filters, counter-based Gumbel noise, argmax, the raw log-probability and self-certainty."""

from kernels.sampling.draw import draw

__all__ = ["draw"]
