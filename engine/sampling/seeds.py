"""The random key of a sample; `kernels.sampling.noise` turns it into noise for each position and token.

The noise of a sample is a pure function of (seed, problem, sample index, position, vocabulary id), so a sample can
be drawn again alone and gets the same noise.
"""

from __future__ import annotations

from kernels.sampling.noise import signed64, splitmix


def sample_key(seed: int, problem: int, index: int) -> int:
    """The 64-bit key of one sample, as a signed integer (fits a database's BIGINT)."""
    return signed64(splitmix(splitmix(splitmix(seed) ^ problem) ^ index))
