"""Counter-based random keys and Gumbel noise.

The noise of a sample is a pure function of (seed, problem, sample index, position, vocabulary id). It depends
neither on the batch a sample runs in nor on the rank of a token after sorting, so a sample can be drawn again
alone and gets the same noise. All integer arithmetic wraps, and is the same on every device.
"""

from __future__ import annotations

import torch
from torch import Tensor

_WORD = (1 << 64) - 1
# SplitMix64 (Steele, Lea, Flood 2014): increment and the two finaliser multipliers.
_GAMMA, _MIX_A, _MIX_B = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def sample_key(seed: int, problem: int, index: int) -> int:
    """The 64-bit key of one sample, as a signed integer (fits a database's BIGINT)."""
    key = _splitmix(_splitmix(_splitmix(seed) ^ problem) ^ index)
    return _signed64(key)


def _splitmix(x: int) -> int:
    x = (x + _GAMMA) & _WORD
    x = ((x ^ (x >> 30)) * _MIX_A) & _WORD
    x = ((x ^ (x >> 27)) * _MIX_B) & _WORD
    return x ^ (x >> 31)


def _signed64(x: int) -> int:
    return x - (1 << 64) if x >> 63 else x


def _signed32(x: int) -> int:
    return x - (1 << 32) if x >> 31 else x


def _splitmix_tensor(x: Tensor) -> Tensor:
    """`_splitmix` on int64 tensors, which wrap."""
    x = x + _signed64(_GAMMA)
    x = (x ^ _shift_right64(x, 30)) * _signed64(_MIX_A)
    x = (x ^ _shift_right64(x, 27)) * _signed64(_MIX_B)
    return x ^ _shift_right64(x, 31)


def _shift_right64(x: Tensor, bits: int) -> Tensor:
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def position_keys(keys: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Two int32 words for each (sample key, position of the drawn token); inputs are int64 of one shape."""
    mixed = _splitmix_tensor(keys ^ _splitmix_tensor(positions))
    return mixed.to(torch.int32), (mixed >> 32).to(torch.int32)


def scramble_ids(ids: Tensor) -> Tensor:
    """int64 vocabulary ids -> well mixed int32 words, the per-token half of the hash. Compute once, then reuse."""
    return _splitmix_tensor(ids).to(torch.int32)


def gumbel(words: tuple[Tensor, Tensor], tokens: Tensor) -> Tensor:
    """Standard Gumbel noise, fp32, of shape broadcast(words, tokens).

    words: two int32 tensors (rows, 1) from `position_keys`; tokens: int32 (columns,) or (rows, columns) from
    `scramble_ids`. The hash is xor, multiply, xor-shift, multiply: enough because both inputs are already
    mixed. Gumbel = -log(E) with E = -log(1 - w) exponential, and w in (0, 1) resolved finely near 0, where
    the winner of argmax(logit + Gumbel) lies; the maximum is 22.2 (-log(u) with fp32 u stops at 16.6).
    """
    low, high = words
    h = tokens ^ low
    h *= high | 1
    h ^= (h >> 16) & 0xFFFF
    h *= _signed32(0x85EBCA6B)  # murmur3's finaliser
    # The upper bits are the best mixed; dropping the sign keeps 31 of them.
    h ^= (h >> 15) & 0x1FFFF
    h &= 0x7FFFFFFF
    noise = h.to(torch.float32)
    noise.add_(0.5).mul_(-(2.0**-31))
    return noise.log1p_().neg_().log_().neg_()
