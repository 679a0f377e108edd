"""Checks of one version of the fused kernels against float64, for the interpreter (CPU) and for a GPU."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Largest relative error of the whole output; bf16 keeps 8 bits, and Llama's norm and a per-head norm round twice.
TOLERANCE = {torch.float32: 1e-6, torch.float16: 2e-3, torch.bfloat16: 1e-2}


class Maker:
    """Random tensors of one dtype on one device."""

    def __init__(self, device: str, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        self._generator = torch.Generator().manual_seed(7)

    def __call__(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        return torch.randn(shape, generator=self._generator).to(self.device, dtype or self.dtype)


def close(out: Tensor, exact: Tensor) -> None:
    assert out.isfinite().all()
    error = ((out.double() - exact).norm() / exact.norm()).item()
    assert error < TOLERANCE[out.dtype], error


def norm64(x: Tensor, weight: Tensor, eps: float, offset: float) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * (weight.double() + offset)


def check_rms_norm(version: Callable[..., object], make: Maker, rows: int, width: int, offset: float) -> None:
    wide, weight = make(rows, width + 16), make(width)
    x = wide[:, :width]  # rows apart
    y = version(x, weight, 1e-5, offset=offset)
    assert isinstance(y, Tensor) and y.dtype == x.dtype
    close(y, norm64(x.double(), weight, 1e-5, offset))
    residual = make(rows, width) * 3
    y, total = version(x, weight, 1e-5, residual=residual, offset=offset)  # type: ignore[misc]
    torch.testing.assert_close(total, x + residual, rtol=0, atol=0)
    close(y, norm64(total.double(), weight, 1e-5, offset))


def check_activation(version: Callable[..., Tensor], make: Maker, rows: int, width: int, kind: str) -> None:
    gate_up = make(rows, 2 * width) * 4
    gate, up = gate_up.double().chunk(2, dim=-1)
    active = torch.nn.functional.silu(gate) if kind == "silu" else torch.nn.functional.gelu(gate, approximate="tanh")
    close(version(gate_up, kind), active * up)


def rope64(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotation of the plane (i, i + rotary/2), one complex number each."""
    half = cos.shape[-1] // 2
    plane = torch.complex(x[..., :half], x[..., half : 2 * half])
    turned = plane * torch.complex(cos[:, None, :half], sin[:, None, :half])
    return torch.cat([turned.real, turned.imag, x[..., 2 * half :]], dim=-1)


def check_rope_append(
    version: Callable[..., Tensor],
    make: Maker,
    *,
    rows: int,
    heads: int,
    kv_heads: int,
    size: int,
    rotary: int,
    norm: bool = False,
    offset: float = 0.0,
    page: int = 16,
) -> None:
    device = make.device
    angle = torch.arange(50)[:, None] / 100 ** (torch.arange(rotary // 2) / (rotary // 2))
    cos, sin = (part.repeat(1, 2).float().to(device) for part in (angle.cos(), angle.sin()))
    positions = (torch.arange(rows, device=device) * 7 % 50).int()
    # Real rows in any order, each in a slot of its own; the last two are padding, both in slot 0.
    real = max(rows - 2, 1)
    pages = 1 + (real + page - 1) // page + 1
    order = torch.randperm((pages - 1) * page, generator=torch.Generator().manual_seed(1))[:real] + page
    slots = torch.cat([order, torch.zeros(rows - real, dtype=torch.int64)]).to(device)
    # Every second layer of a pool: pages apart by more than their size.
    keys, values = (torch.full((pages, 2, kv_heads, page, size), 9.0, dtype=make.dtype, device=device) for _ in "kv")
    keys, values = keys[:, 1], values[:, 1]
    qkv = make(rows, (heads + 2 * kv_heads) * size)
    weights = {"q_norm": make(size), "k_norm": make(size)} if norm else {}
    out = version(qkv, cos, sin, positions, slots, keys, values, heads=heads, eps=1e-6, offset=offset, **weights)
    q, k, v = qkv.double().view(rows, -1, size).split([heads, kv_heads, kv_heads], dim=1)
    if norm:
        q, k = norm64(q, weights["q_norm"], 1e-6, offset), norm64(k, weights["k_norm"], 1e-6, offset)
    turn = cos[positions.long()].double(), sin[positions.long()].double()
    assert out.shape == (rows, heads, size) and out.dtype == qkv.dtype
    close(out, rope64(q, *turn))
    where, place = slots[:real] // page, slots[:real] % page
    close(keys[where, :, place], rope64(k, *turn)[:real])
    torch.testing.assert_close(values[where, :, place].double(), v[:real], rtol=0, atol=0)
    # Nothing else was touched, but for the slot of the padding rows.
    touched = torch.zeros(pages, page, dtype=torch.bool, device=device)
    touched[slots // page, slots % page] = True
    for pool in (keys, values):
        assert (pool.transpose(1, 2)[~touched] == 9).all()
