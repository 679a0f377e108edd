"""Counter-based Gumbel noise: a pure function of (sample key, position, vocabulary id).

It depends neither on the batch a sample runs in nor on the rank of a token after sorting. All integer arithmetic
wraps and is the same on every device; `kernels.sampling.launch` repeats it in Triton, bit for bit.
"""

from __future__ import annotations

import torch
from torch import Tensor

_WORD = (1 << 64) - 1


def signed64(x: int) -> int:
    """The same 64 bits as a signed integer."""
    return x - (1 << 64) if x >> 63 else x


def _signed32(x: int) -> int:
    return x - (1 << 32) if x >> 31 else x


# SplitMix64 (Steele, Lea, Flood 2014): increment and the two finaliser multipliers.
GAMMA, MIX_A, MIX_B = map(signed64, (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
MIX_32 = _signed32(0x85EBCA6B)  # murmur3's finaliser
# The largest fp32 below 1: keeps the least likely noise finite.
LARGEST = 1 - 2.0**-24


def splitmix(x: int) -> int:
    """One SplitMix64 step on an unsigned 64-bit integer."""
    x = (x + GAMMA) & _WORD
    x = ((x ^ (x >> 30)) * MIX_A) & _WORD
    x = ((x ^ (x >> 27)) * MIX_B) & _WORD
    return x ^ (x >> 31)


def _splitmix_tensor(x: Tensor) -> Tensor:
    """`splitmix` on int64 tensors, which wrap."""
    x = x + GAMMA
    x = (x ^ _shift_right64(x, 30)) * MIX_A
    x = (x ^ _shift_right64(x, 27)) * MIX_B
    return x ^ _shift_right64(x, 31)


def _shift_right64(x: Tensor, bits: int) -> Tensor:
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def position_keys(keys: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Two int32 words for each (int64 sample key, integer position of the drawn token), of one shape."""
    mixed = _splitmix_tensor(keys ^ _splitmix_tensor(positions.long()))
    return mixed.to(torch.int32), (mixed >> 32).to(torch.int32)


def scramble_ids(ids: Tensor) -> Tensor:
    """int64 vocabulary ids -> well mixed int32 words, the per-token half of the hash. Compute once, then reuse."""
    return _splitmix_tensor(ids).to(torch.int32)


def hash_bits(words: tuple[Tensor, Tensor], tokens: Tensor) -> Tensor:
    """31 random bits as int32, of shape broadcast(words, tokens).

    words: two int32 tensors (rows, 1) from `position_keys`; tokens: int32 (columns,) or (rows, columns) from
    `scramble_ids`. The hash is xor, multiply, xor-shift, multiply: enough because both inputs are already mixed.
    """
    low, high = words
    h = tokens ^ low
    h *= high | 1
    h ^= (h >> 16) & 0xFFFF
    h *= MIX_32
    # The upper bits are the best mixed; dropping the sign keeps 31 of them.
    h ^= (h >> 15) & 0x1FFFF
    h &= 0x7FFFFFFF
    return h


def gumbel(bits: Tensor) -> Tensor:
    """Standard Gumbel noise, fp32, from `hash_bits`; the more noise, the fewer bits.

    Gumbel = -log(E) with E = -log(1 - w) exponential, and w in (0, 1) resolved finely near 0, where the winner
    of argmax(logit + Gumbel) lies; the maximum is 22.2 (-log(u) with fp32 u stops at 16.6).
    """
    # -w = -(bits + 0.5) / 2^31: scaling by a power of two first gives the same roundings in one pass less.
    noise = torch.add(torch.tensor(-(2.0**-32)), bits.to(torch.float32), alpha=-(2.0**-31))
    return noise.clamp_(min=-LARGEST).log1p_().neg_().log_().neg_()
