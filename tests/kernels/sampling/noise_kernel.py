"""The Triton noise of `draw` by itself, against the torch hash and float64."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from kernels.sampling import launch
from kernels.sampling.noise import hash_bits, position_keys, scramble_ids

_TILE = 1024


@triton.jit
def _noise(words_ptr, keys_ptr, positions_ptr, bits_ptr, noise_ptr, ceiling_ptr, count, TILE: tl.constexpr):
    row = tl.program_id(0)
    columns = tl.program_id(1) * TILE + tl.arange(0, TILE)
    inside = columns < count
    low, odd = launch._position_words(tl.load(keys_ptr + row), tl.load(positions_ptr + row))
    bits = launch._hash_bits(tl.load(words_ptr + columns, mask=inside, other=0), low, odd)
    place = row * count + columns
    tl.store(bits_ptr + place, bits, mask=inside)
    tl.store(noise_ptr + place, launch._gumbel(bits), mask=inside)
    tl.store(ceiling_ptr + place, launch._ceiling(bits), mask=inside)


def check_noise(device: str, rows: int, count: int) -> None:
    generator = torch.Generator(device).manual_seed(3)
    keys = torch.randint(-(2**63), 2**63 - 1, (rows,), generator=generator, device=device)
    positions = torch.arange(rows, device=device, dtype=torch.int32) * 31
    words = scramble_ids(torch.arange(count, device=device))
    bits = torch.empty(rows, count, dtype=torch.int32, device=device)
    noise, ceiling = torch.empty_like(bits, dtype=torch.float32), torch.empty_like(bits, dtype=torch.float32)
    _noise[(rows, triton.cdiv(count, _TILE))](words, keys, positions, bits, noise, ceiling, count, TILE=_TILE)
    low, high = position_keys(keys, positions)
    assert torch.equal(bits, hash_bits((low[:, None], high[:, None]), words))
    w = (bits.double() + 0.5) * 2.0**-31
    exact = -torch.log(-torch.log1p(-w))
    likely = w < 0.99  # beyond, 1 - w has few digits left in fp32, and no winner
    torch.testing.assert_close(noise[likely].double(), exact[likely], rtol=2e-6, atol=2e-6)
    assert (ceiling > noise).all()
    # Below bits = 64 the half step that is added to the bits counts.
    assert (ceiling - noise)[(w < 0.01) & (bits >= 64)].max() < 0.07
