"""The running softmax of a tile of queries over the tiles of keys that a page list names, for the Triton kernels.

Logits are in units of log 2 (scaled by log2 e), so that exp2 needs no multiplication, and so are the log-sum-exps of
partial results. All sums are fp32. Pools are (pages, KV heads, PAGE, size): offsets into them are int64. A page list is
read one tile ahead of the keys it names, so that the loads of keys never wait for it.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, allow-untyped-decorators
from __future__ import annotations

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def _page(listed, token, offsets, last, PAGE: tl.constexpr, BLOCK_N: tl.constexpr):
    """The page of a tile of keys, or of each of its keys where a tile spans pages."""
    if BLOCK_N <= PAGE:
        page = tl.load(listed + tl.minimum(token, last) // PAGE)
    else:
        page = tl.load(listed + tl.minimum(token + offsets, last) // PAGE)
    return page


@triton.jit
def _absorb(acc, peak, total, q, k, v, visible, scale, softcap, SOFTCAP: tl.constexpr, MASKED: tl.constexpr):
    """One tile of keys and values into the running softmax (Milakov and Gimelshein 2018, arXiv 1805.02867)."""
    logits = tl.dot(q, tl.trans(k), input_precision="ieee")
    if SOFTCAP:
        # tanh(x) = 1 - 2 / (exp(2 x) + 1), finite for any x
        tanh = 1 - 2 / (tl.exp2(logits * (2 * LOG2_E * scale / softcap)) + 1)
        logits = tanh * (softcap * LOG2_E)
        factor = 1.0
    else:
        factor = scale
    if MASKED:
        logits = tl.where(visible, logits, float("-inf"))
    new_peak = tl.maximum(peak, tl.max(logits, 1) * factor)
    # A row that has seen nothing has peak -inf, and -inf - (-inf) is NaN.
    base = tl.where(new_peak == float("-inf"), 0.0, new_peak) if MASKED else new_peak
    weights = tl.exp2(logits * factor - base[:, None])
    shrink = tl.exp2(peak - base)
    total = total * shrink + tl.sum(weights, 1)
    acc = tl.dot(weights.to(v.dtype), v, acc * shrink[:, None], input_precision="ieee")
    return acc, new_peak, total


@triton.jit
def sweep(
    acc,
    peak,
    total,
    q,
    keys,
    values,
    key_tiles,
    value_tiles,
    listed,
    kv_head,
    begin,
    end,
    lower,
    upper,
    scale,
    softcap,
    KV_HEADS: tl.constexpr,
    SIZE: tl.constexpr,
    SIZE_PAD: tl.constexpr,
    PAGE: tl.constexpr,
    BLOCK_N: tl.constexpr,
    SOFTCAP: tl.constexpr,
    MASKED: tl.constexpr,
    TMA: tl.constexpr,
    STAGES: tl.constexpr,
):
    """Tokens begin..end of a page list into the running softmax; begin starts a tile.

    MASKED: query row i sees tokens lower[i] <= token < upper[i] only, and nothing at `end` or later is read.
    Otherwise end - begin is a whole number of tiles and every row sees every token.
    """
    offsets = tl.arange(0, BLOCK_N)
    dims = tl.arange(0, SIZE_PAD)
    page = _page(listed, begin, offsets, end - 1, PAGE, BLOCK_N)
    for token in tl.range(begin, end, BLOCK_N, num_stages=STAGES):
        place = page.to(tl.int64) * KV_HEADS + kv_head
        if TMA:
            at = (place * PAGE + token % PAGE).to(tl.int32)
            k = key_tiles.load([at, 0])
            v = value_tiles.load([at, 0])
        else:
            inner = token % PAGE + offsets if BLOCK_N <= PAGE else offsets % PAGE
            at = ((place * PAGE + inner) * SIZE)[:, None] + dims[None, :]
            if MASKED:
                inside = (token + offsets < end)[:, None] & (dims < SIZE)[None, :]
                k = tl.load(keys + at, mask=inside, other=0.0)
                v = tl.load(values + at, mask=inside, other=0.0)
            elif SIZE < SIZE_PAD:
                k = tl.load(keys + at, mask=(dims < SIZE)[None, :], other=0.0)
                v = tl.load(values + at, mask=(dims < SIZE)[None, :], other=0.0)
            else:
                k = tl.load(keys + at)
                v = tl.load(values + at)
        page = _page(listed, token + BLOCK_N, offsets, end - 1, PAGE, BLOCK_N)
        if MASKED:
            seen = (token + offsets)[None, :]
            visible = (seen < upper[:, None]) & (seen >= lower[:, None])
        else:
            visible = True
        acc, peak, total = _absorb(acc, peak, total, q, k, v, visible, scale, softcap, SOFTCAP, MASKED)
    return acc, peak, total


@triton.jit
def normalised(acc, peak, total):
    """(out, log-sum-exp in units of log 2) of a running softmax; (0, -inf) for a row that saw nothing."""
    seen = total > 0
    out = acc / tl.where(seen, total, 1.0)[:, None]
    return out, tl.where(seen, peak + tl.log2(tl.where(seen, total, 1.0)), float("-inf"))
