"""Noise is standard Gumbel, belongs to (key, position, token), and never changes from one release to the next."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from kernels.sampling.noise import gumbel, hash_bits, position_keys, scramble_ids, signed64, splitmix

words64 = st.integers(0, 2**64 - 1)


def noise(key: int, position: int, tokens: torch.Tensor) -> np.ndarray:
    low, high = position_keys(torch.tensor([key]), torch.tensor([position]))
    return gumbel(hash_bits((low[:, None], high[:, None]), scramble_ids(tokens)))[0].numpy()


def test_noise_is_standard_gumbel() -> None:
    drawn = np.concatenate([noise(key * 977, 0, torch.arange(2000)) for key in range(25)])
    assert np.isfinite(drawn).all()
    assert stats.kstest(drawn, "gumbel_r").pvalue > 1e-4


def test_noise_of_neighbours_is_unrelated() -> None:
    """Next key, next position, next token: none shows in the noise."""
    tokens = torch.arange(20_000)
    base = noise(0, 0, tokens)
    for other in (noise(1, 0, tokens), noise(2**32, 0, tokens), noise(0, 1, tokens), np.roll(base, 1)):
        assert abs(np.corrcoef(base, other)[0, 1]) < 5 / np.sqrt(len(base))


def test_noise_is_finite_and_falls_with_the_bits() -> None:
    bits = torch.tensor([0, 1, 2, 1000, 2**20, 2**30, 2**31 - 2**20, 2**31 - 1], dtype=torch.int32)
    w = (bits.double() + 0.5) * 2.0**-31
    exact = -torch.log(-torch.log1p(-w))
    drawn = gumbel(bits)
    # fp32 cannot tell the last 64 of 2^31 values of w from 1: they share the least noise.
    torch.testing.assert_close(drawn[:-1].double(), exact[:-1], rtol=1e-5, atol=1e-5)
    assert drawn.isfinite().all() and (drawn.diff() < 0).all()
    assert 22.1 < drawn[0] < 22.3


@given(words64, st.integers(0, 2**31 - 1), st.integers(0, 2**18))
def test_tensors_hash_as_python_integers_do(key: int, position: int, token: int) -> None:
    """The same hash in unbounded integers, from its definition."""

    def signed32(x: int) -> int:
        return signed64((x & 0xFFFFFFFF) << 32) >> 32

    mixed = splitmix(key ^ splitmix(position))
    low, high = position_keys(torch.tensor([signed64(key)]), torch.tensor([position], dtype=torch.int32))
    assert (low.item(), high.item()) == (signed32(mixed), signed32(mixed >> 32))
    word = splitmix(token) & 0xFFFFFFFF
    words = scramble_ids(torch.tensor([token]))
    assert words.item() == signed32(word)
    h = (word ^ (mixed & 0xFFFFFFFF)) * ((mixed >> 32) | 1) & 0xFFFFFFFF
    h = (h ^ (h >> 16)) * 0x85EBCA6B & 0xFFFFFFFF
    assert hash_bits((low, high), words).item() == (h ^ (h >> 15)) & 0x7FFFFFFF


def test_splitmix_is_the_published_one() -> None:
    """The first outputs of Vigna's splitmix64.c for the state 1234567."""
    state, gamma = 1234567, 0x9E3779B97F4A7C15
    outputs = [splitmix((state + i * gamma) % 2**64) for i in range(3)]
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]
