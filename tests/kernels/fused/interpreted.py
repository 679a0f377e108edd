"""The Triton versions on a CPU, by the interpreter: run through test_interpreted.py."""

from __future__ import annotations

import pytest
import torch

from kernels.fused import activation, norm, rope
from tests.kernels.fused.checks import Maker, check_activation, check_rms_norm, check_rope_append

pytestmark = pytest.mark.parametrize("dtype", [torch.float32, torch.float16])


@pytest.mark.parametrize("offset", [0.0, 1.0])
@pytest.mark.parametrize("width", [64, 80])
def test_rms_norm(dtype: torch.dtype, width: int, offset: float) -> None:
    check_rms_norm(norm.launch, Maker("cpu", dtype), 3, width, offset)


@pytest.mark.parametrize("kind", ["silu", "gelu_tanh"])
@pytest.mark.parametrize("width", [48, 2500])
def test_gated_activation(dtype: torch.dtype, width: int, kind: str) -> None:
    check_activation(activation.launch, Maker("cpu", dtype), 3, width, kind)


@pytest.mark.parametrize(
    ("heads", "kv_heads", "size", "rotary"), [(4, 2, 16, 16), (3, 1, 24, 24), (2, 2, 16, 8), (20, 4, 64, 64)]
)
def test_rope_append(dtype: torch.dtype, heads: int, kv_heads: int, size: int, rotary: int) -> None:
    shape = {"heads": heads, "kv_heads": kv_heads, "size": size, "rotary": rotary}
    check_rope_append(rope.launch, Maker("cpu", dtype), rows=7, **shape)


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_rope_append_with_norms(dtype: torch.dtype, offset: float) -> None:
    maker = Maker("cpu", dtype)
    check_rope_append(rope.launch, maker, rows=5, heads=4, kv_heads=2, size=24, rotary=24, norm=True, offset=offset)
