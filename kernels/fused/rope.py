"""Rotary positions, per-head norms and the KV append of one step's new tokens, in one pass over their q, k and v."""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, allow-untyped-decorators
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.fused import reference

# Elements of a program's tile of heads.
_TILE = 1024


def rope_append(
    qkv: Tensor,
    cos: Tensor,
    sin: Tensor,
    positions: Tensor,
    slots: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    heads: int,
    q_norm: Tensor | None = None,
    k_norm: Tensor | None = None,
    eps: float = 1e-6,
    offset: float = 0.0,
) -> Tensor:
    """Rotate q and k (Su et al. 2021, arXiv 2104.09864), write k and v into the KV pool, return q (rows, heads, size).

    qkv: (rows, (heads + 2 * KV heads) * size), one fused projection. cos, sin: fp32 (positions, rotary), both
    halves of the last axis alike as transformers makes them; coordinate i turns with i + rotary/2, and those
    from `rotary` on are left as they are. positions: int32 (rows,). q_norm, k_norm: (size,) weights of an RMSNorm
    of each head before the rotation (Qwen 3; Gemma 3 with offset 1), with the roundings of `rms_norm`.

    keys, values: (pages, KV heads, page size, size), written in place; slots: int64 (rows,), page * page size
    + place in the page. Padding rows carry a slot of page 0, which no row reads; they may all share one.
    """
    chosen = launch if qkv.is_cuda else reference.rope_append
    return chosen(
        qkv,
        cos,
        sin,
        positions,
        slots,
        keys,
        values,
        heads=heads,
        q_norm=q_norm,
        k_norm=k_norm,
        eps=eps,
        offset=offset,
    )


def launch(
    qkv: Tensor,
    cos: Tensor,
    sin: Tensor,
    positions: Tensor,
    slots: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    heads: int,
    q_norm: Tensor | None = None,
    k_norm: Tensor | None = None,
    eps: float = 1e-6,
    offset: float = 0.0,
) -> Tensor:
    """The Triton version, with the signature of `rope_append`."""
    rows = len(qkv)
    _, kv_heads, page_size, size = keys.shape
    if qkv.shape[1] != (heads + 2 * kv_heads) * size or qkv.stride(1) != 1:
        raise ValueError(f"qkv must hold {heads} + 2 x {kv_heads} heads of {size} adjacent values, got {qkv.shape}")
    if keys.stride() != values.stride() or keys.stride(3) != 1 or not (cos.is_contiguous() and sin.is_contiguous()):
        raise ValueError("rope_append needs keys and values of one layout, and contiguous cos and sin")
    q = torch.empty(rows, heads, size, dtype=qkv.dtype, device=qkv.device)
    width = triton.next_power_of_2(size)
    tile = min(max(_TILE // width, 1), triton.next_power_of_2(heads + 2 * kv_heads))
    if rows:
        _kernel[(rows, triton.cdiv(heads + 2 * kv_heads, tile))](
            qkv,
            cos,
            sin,
            positions,
            slots,
            q_norm,
            k_norm,
            q,
            keys,
            values,
            qkv.stride(0),
            keys.stride(0),
            keys.stride(1),
            keys.stride(2),
            eps,
            offset,
            HEADS=heads,
            KV_HEADS=kv_heads,
            SIZE=size,
            ROTARY=cos.shape[1],
            PAGE=page_size,
            TILE=tile,
            WIDTH=width,
            Q_NORM=q_norm is not None,
            K_NORM=k_norm is not None,
            ROUND_FIRST=offset == 0,
            num_warps=min(max(tile * width // 256, 1), 4),
        )
    return q


@triton.jit
def _kernel(
    qkv_ptr,
    cos_ptr,
    sin_ptr,
    positions_ptr,
    slots_ptr,
    q_norm_ptr,
    k_norm_ptr,
    q_ptr,
    keys_ptr,
    values_ptr,
    qkv_stride,
    page_stride,
    head_stride,
    slot_stride,
    eps,
    offset,
    HEADS: tl.constexpr,
    KV_HEADS: tl.constexpr,
    SIZE: tl.constexpr,
    ROTARY: tl.constexpr,
    PAGE: tl.constexpr,
    TILE: tl.constexpr,
    WIDTH: tl.constexpr,
    Q_NORM: tl.constexpr,
    K_NORM: tl.constexpr,
    ROUND_FIRST: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * TILE + tl.arange(0, TILE)[:, None]  # q heads, then k heads, then v heads
    column = tl.arange(0, WIDTH)[None, :]
    is_q = head < HEADS
    is_k = (head >= HEADS) & (head < HEADS + KV_HEADS)
    inside = (head < HEADS + 2 * KV_HEADS) & (column < SIZE)
    turned = column < ROTARY
    first = column < ROTARY // 2
    partner = tl.where(turned, tl.where(first, column + ROTARY // 2, column - ROTARY // 2), column)
    source = qkv_ptr + row * qkv_stride + head * SIZE
    x = tl.load(source + column, mask=inside, other=0.0)
    dtype = x.dtype
    x = x.to(tl.float32)
    # The partner comes from the cache: this program has just read its line.
    y = tl.load(source + partner, mask=inside, other=0.0).to(tl.float32)
    if Q_NORM or K_NORM:
        unit = tl.rsqrt(tl.sum(x * x, 1) / SIZE + eps)
        normed = (is_q & Q_NORM) | (is_k & K_NORM)
        weight_x = tl.zeros([TILE, WIDTH], tl.float32)
        weight_y = tl.zeros([TILE, WIDTH], tl.float32)
        if Q_NORM:
            weight_x += tl.load(q_norm_ptr + column, mask=is_q & inside, other=0.0).to(tl.float32)
            weight_y += tl.load(q_norm_ptr + partner, mask=is_q & inside, other=0.0).to(tl.float32)
        if K_NORM:
            weight_x += tl.load(k_norm_ptr + column, mask=is_k & inside, other=0.0).to(tl.float32)
            weight_y += tl.load(k_norm_ptr + partner, mask=is_k & inside, other=0.0).to(tl.float32)
        x = tl.where(normed, _scaled(x, unit[:, None], weight_x + offset, dtype, ROUND_FIRST), x)
        y = tl.where(normed, _scaled(y, unit[:, None], weight_y + offset, dtype, ROUND_FIRST), y)
    position = tl.load(positions_ptr + row).to(tl.int64)
    cos = tl.load(cos_ptr + position * ROTARY + column, mask=turned, other=1.0)
    sin = tl.load(sin_ptr + position * ROTARY + column, mask=turned, other=0.0)
    rotated = x * cos + tl.where(first, -y, y) * sin
    out = tl.where(is_q | is_k, rotated, x).to(dtype)
    tl.store(q_ptr + row * (HEADS * SIZE) + head * SIZE + column, out, mask=is_q & inside)
    slot = tl.load(slots_ptr + row)
    place = (slot // PAGE) * page_stride + (slot % PAGE) * slot_stride + column
    stored = out.to(keys_ptr.dtype.element_ty)
    tl.store(keys_ptr + place + (head - HEADS) * head_stride, stored, mask=is_k & inside)
    is_v = head >= HEADS + KV_HEADS
    tl.store(values_ptr + place + (head - HEADS - KV_HEADS) * head_stride, stored, mask=is_v & inside)


@triton.jit
def _scaled(x, unit, weight, dtype: tl.constexpr, ROUND_FIRST: tl.constexpr):
    x = x * unit
    if ROUND_FIRST:
        x = x.to(dtype).to(tl.float32)
    return (x * weight).to(dtype).to(tl.float32)
