"""The fused step kernels on a GPU against float64; needs torch, triton and numpy only."""

from __future__ import annotations

import pytest
import torch

from kernels.fused import gated_activation, reference, rms_norm, rope_append
from tests.kernels.fused.checks import Maker, check_activation, check_rms_norm, check_rope_append

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
DTYPES = [torch.bfloat16, torch.float16, torch.float32]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("offset", [0.0, 1.0])
@pytest.mark.parametrize(
    ("rows", "width"), [(1, 576), (1000, 2048), (1024, 4096), (1024, 5120), (70_000, 256), (3, 50)]
)
def test_rms_norm(dtype: torch.dtype, rows: int, width: int, offset: float) -> None:
    check_rms_norm(rms_norm, Maker("cuda", dtype), rows, width, offset)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["silu", "gelu_tanh"])
@pytest.mark.parametrize(("rows", "width"), [(1, 1536), (1024, 13_824), (1024, 14_336), (70_000, 128), (5, 999)])
def test_gated_activation(dtype: torch.dtype, rows: int, width: int, kind: str) -> None:
    check_activation(gated_activation, Maker("cuda", dtype), rows, width, kind)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("heads", "kv_heads", "size", "rotary"),
    [(40, 40, 128, 128), (32, 8, 128, 128), (32, 8, 64, 64), (9, 3, 64, 64), (8, 1, 256, 256), (32, 32, 96, 24)],
)
@pytest.mark.parametrize("rows", [1, 1024])
def test_rope_append(dtype: torch.dtype, rows: int, heads: int, kv_heads: int, size: int, rotary: int) -> None:
    shape = {"heads": heads, "kv_heads": kv_heads, "size": size, "rotary": rotary}
    check_rope_append(rope_append, Maker("cuda", dtype), rows=rows, page=32, **shape)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_rope_append_with_norms(dtype: torch.dtype, offset: float) -> None:
    shape = {"heads": 16, "kv_heads": 8, "size": 128, "rotary": 128}
    check_rope_append(rope_append, Maker("cuda", dtype), rows=300, norm=True, offset=offset, **shape)


def test_rope_append_in_a_pool_of_more_than_2_to_the_31_elements() -> None:
    pages, kv_heads, page, size = 2**31 // (8 * 64 * 128) + 2, 8, 64, 128
    keys = torch.empty(pages, kv_heads, page, size, dtype=torch.bfloat16, device="cuda")
    values = torch.empty_like(keys)
    assert keys.numel() > 2**31
    make = Maker("cuda", torch.bfloat16)
    qkv = make(2, 3 * kv_heads * size)
    turn = make(4, size, dtype=torch.float32)
    positions = torch.tensor([1, 3], dtype=torch.int32, device="cuda")
    slots = torch.tensor([pages * page - 1, page], device="cuda")
    rope_append(qkv, turn, turn, positions, slots, keys, values, heads=kv_heads)
    small = torch.zeros(2, kv_heads, page, size, dtype=torch.bfloat16, device="cuda")
    other = torch.zeros_like(small)
    near = torch.tensor([page - 1, page], device="cuda")
    reference.rope_append(qkv, turn, turn, positions, near, small, other, heads=kv_heads)
    for pool, expected in ((keys, small), (values, other)):
        torch.testing.assert_close(pool[-1, :, -1], expected[0, :, -1])
        torch.testing.assert_close(pool[1, :, 0], expected[1, :, 0])
