"""The Triton kernels of the tree attention. `launch` calls them; `reference` says what they compute.

A decode step is three launches: all rows with the shared nodes (tensor cores), each row with its own tokens (memory),
and the reduction of the partial results. On Hopper the second starts beside the first.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, allow-untyped-decorators
from __future__ import annotations

import triton
import triton.language as tl

from kernels.attention.sweep import normalised, sweep


@triton.jit(do_not_specialize=["window"])
def prefix_kernel(
    q,
    keys,
    values,
    key_tiles,
    value_tiles,
    outs,
    lses,
    counts,
    taken,
    pieces,
    member_rows,
    member_parts,
    pages,
    positions,
    q_stride,
    scale,
    softcap,
    window,
    KV_HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    SIZE: tl.constexpr,
    SIZE_PAD: tl.constexpr,
    PAGE: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    SOFTCAP: tl.constexpr,
    WINDOW: tl.constexpr,
    TMA: tl.constexpr,
    STAGES: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    """Partial results of all rows with the shared nodes, one task for each (piece, KV head).

    Each of the programs that `counts` tells to work starts with the task of its own number and then takes the next
    free one; `taken` counts those.
    """
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()  # the suffixes need nothing from here: start them now
    tile_rows: tl.constexpr = BLOCK_M // GROUP
    lane = tl.arange(0, BLOCK_M)
    dims = tl.arange(0, SIZE_PAD)
    member = lane // GROUP
    total_pieces = tl.load(counts)
    programs = tl.load(counts + 1)
    tasks = total_pieces * KV_HEADS
    task = tl.where(tl.program_id(0) < programs, tl.program_id(0), tasks)
    while task < tasks:
        kv_head = task // total_pieces
        piece = pieces + (task % total_pieces) * 8
        listed = pages + tl.load(piece)
        begin = tl.load(piece + 1)
        end = tl.load(piece + 2)
        first_member = tl.load(piece + 3)
        filled = (member < tl.load(piece + 4)) & (lane < tile_rows * GROUP)
        row = tl.load(member_rows + first_member + member, mask=filled, other=0)
        q_at = row.to(tl.int64) * q_stride + (kv_head * GROUP + lane % GROUP) * SIZE
        q_tile = tl.load(q + q_at[:, None] + dims[None, :], mask=filled[:, None] & (dims < SIZE)[None, :], other=0.0)

        acc = tl.zeros([BLOCK_M, SIZE_PAD], tl.float32)
        peak = tl.full([BLOCK_M], float("-inf"), tl.float32)
        total = tl.zeros([BLOCK_M], tl.float32)
        upper = tl.full([BLOCK_M], 0, tl.int32) + end
        if WINDOW:
            # Token t of the node stands at position start + t and is seen while position - (start + t) < window.
            lower = tl.load(positions + row, mask=filled, other=0) - window + 1 - tl.load(piece + 6)
            oldest = tl.maximum(tl.min(tl.where(filled, lower, end)), begin)
            # A piece out of every row's window still runs its last tile: it must write that it saw nothing.
            oldest = tl.minimum(oldest, end - 1)
            begin += (oldest - begin) // BLOCK_N * BLOCK_N
            whole = begin
        else:
            lower = tl.full([BLOCK_M], 0, tl.int32)
            whole = begin + (end - begin) // BLOCK_N * BLOCK_N
            acc, peak, total = sweep(
                acc, peak, total, q_tile, keys, values, key_tiles, value_tiles, listed, kv_head, begin, whole,
                lower, upper, scale, softcap,
                KV_HEADS, SIZE, SIZE_PAD, PAGE, BLOCK_N, SOFTCAP, False, TMA, STAGES,
            )  # fmt: skip
        if whole < end:
            acc, peak, total = sweep(
                acc, peak, total, q_tile, keys, values, key_tiles, value_tiles, listed, kv_head, whole, end,
                lower, upper, scale, softcap,
                KV_HEADS, SIZE, SIZE_PAD, PAGE, BLOCK_N, SOFTCAP, True, False, STAGES if WINDOW else 1,
            )  # fmt: skip
        out, lse = normalised(acc, peak, total)
        # Read again: keeping them in registers through the sweep would cost it a second program per processor.
        filled = (member < tl.load(piece + 4)) & (lane < tile_rows * GROUP)
        part = tl.load(member_parts + tl.load(piece + 3) + member, mask=filled, other=0) + tl.load(piece + 5)
        lse_at = part.to(tl.int64) * (KV_HEADS * GROUP) + kv_head * GROUP + lane % GROUP
        tl.store(lses + lse_at, lse, mask=filled)
        at = (lse_at * SIZE)[:, None] + dims[None, :]
        tl.store(outs + at, out.to(outs.dtype.element_ty), mask=filled[:, None] & (dims < SIZE)[None, :])
        task = programs + tl.atomic_add(taken, 1)


@triton.jit
def _suffix_chunk(length, SPLITS: tl.constexpr, BLOCK_N: tl.constexpr):
    """Tokens of one split of a suffix: equal splits, none under 128 tokens but the last."""
    chunk = tl.maximum(tl.cdiv(length, SPLITS), 128)
    return tl.cdiv(chunk, BLOCK_N) * BLOCK_N


@triton.jit(do_not_specialize=["pages_stride", "base", "window"])
def suffix_kernel(
    q,
    keys,
    values,
    outs,
    lses,
    suffix_pages,
    suffix_lengths,
    q_stride,
    pages_stride,
    base,
    scale,
    softcap,
    window,
    KV_HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    SIZE: tl.constexpr,
    SIZE_PAD: tl.constexpr,
    PAGE: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    SPLITS: tl.constexpr,
    SOFTCAP: tl.constexpr,
    WINDOW: tl.constexpr,
    STAGES: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    """Partial results of each row with its own tokens: one program for each (row, split, KV head)."""
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    kv_head = tl.program_id(0) % KV_HEADS
    split = tl.program_id(0) // KV_HEADS % SPLITS
    row = tl.program_id(0) // (KV_HEADS * SPLITS)
    length = tl.load(suffix_lengths + row)
    chunk = _suffix_chunk(length, SPLITS, BLOCK_N)
    begin = split * chunk
    end = tl.minimum(length, begin + chunk)
    if begin < end:
        lane = tl.arange(0, BLOCK_M)
        dims = tl.arange(0, SIZE_PAD)
        filled = lane < GROUP
        head = kv_head * GROUP + lane
        inside = filled[:, None] & (dims < SIZE)[None, :]
        q_at = row.to(tl.int64) * q_stride + (head * SIZE)[:, None] + dims[None, :]
        q_tile = tl.load(q + q_at, mask=inside, other=0.0)
        acc = tl.zeros([BLOCK_M, SIZE_PAD], tl.float32)
        peak = tl.full([BLOCK_M], float("-inf"), tl.float32)
        total = tl.zeros([BLOCK_M], tl.float32)
        oldest = 0
        first = begin
        if WINDOW:
            # The row's query is the last token of its suffix.
            oldest = length - window
            first += tl.minimum(tl.maximum(oldest - begin, 0), end - 1 - begin) // BLOCK_N * BLOCK_N
        lower = tl.full([BLOCK_M], 0, tl.int32) + oldest
        upper = tl.full([BLOCK_M], 0, tl.int32) + end
        listed = suffix_pages + row.to(tl.int64) * pages_stride
        acc, peak, total = sweep(
            acc, peak, total, q_tile, keys, values, keys, values, listed, kv_head, first, end,
            lower, upper, scale, softcap,
            KV_HEADS, SIZE, SIZE_PAD, PAGE, BLOCK_N, SOFTCAP, True, False, STAGES,
        )  # fmt: skip
        out, lse = normalised(acc, peak, total)
        lse_at = (base + row.to(tl.int64) * SPLITS + split) * (KV_HEADS * GROUP) + head
        tl.store(lses + lse_at, lse, mask=filled)
        at = (lse_at * SIZE)[:, None] + dims[None, :]
        tl.store(outs + at, out.to(outs.dtype.element_ty), mask=inside)
    if OVERLAP and tl.program_id(0) == tl.num_programs(0) - 1:
        # This kernel started before the prefix kernel ended; it must not end before it, for the reduction's sake.
        tl.extra.cuda.gdc_wait()


@triton.jit(do_not_specialize=["base"])
def reduce_kernel(
    outs,
    lses,
    result,
    first_parts,
    part_counts,
    suffix_lengths,
    taken,
    base,
    HEADS: tl.constexpr,
    SIZE: tl.constexpr,
    SIZE_PAD: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_P: tl.constexpr,
    SUFFIX_BLOCK_N: tl.constexpr,
    SPLITS: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    """Merge each row's partial results: sum_i 2^(lse_i - LSE) out_i (Hydragen, arXiv 2402.05099, eq. 5), in fp32."""
    blocks: tl.constexpr = (HEADS + BLOCK_H - 1) // BLOCK_H
    row = tl.program_id(0) // blocks
    heads = tl.program_id(0) % blocks * BLOCK_H + tl.arange(0, BLOCK_H)
    dims = tl.arange(0, SIZE_PAD)
    first = tl.load(first_parts + row)
    prefix_parts = tl.load(part_counts + row)
    length = tl.load(suffix_lengths + row)
    parts = prefix_parts + tl.cdiv(length, _suffix_chunk(length, SPLITS, SUFFIX_BLOCK_N))
    if OVERLAP:
        tl.extra.cuda.gdc_wait()
    if tl.program_id(0) == 0:
        tl.store(taken, 0)  # for the next step
    acc = tl.zeros([BLOCK_H, SIZE_PAD], tl.float32)
    peak = tl.full([BLOCK_H], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_H], tl.float32)
    for each in range(0, parts, BLOCK_P):
        part = each + tl.arange(0, BLOCK_P)
        place = tl.where(part < prefix_parts, first + part, base + row * SPLITS + part - prefix_parts)
        at = place.to(tl.int64)[:, None] * HEADS + heads[None, :]
        inside = (part < parts)[:, None] & (heads < HEADS)[None, :]
        lse = tl.load(lses + at, mask=inside, other=float("-inf"))
        out = tl.load(
            outs + (at * SIZE)[:, :, None] + dims[None, None, :],
            mask=inside[:, :, None] & (dims < SIZE)[None, None, :],
            other=0.0,
        )
        new_peak = tl.maximum(peak, tl.max(lse, 0))
        origin = tl.where(new_peak == float("-inf"), 0.0, new_peak)
        weights = tl.exp2(lse - origin[None, :])
        shrink = tl.exp2(peak - origin)
        total = total * shrink + tl.sum(weights, 0)
        acc = acc * shrink[:, None] + tl.sum(out.to(tl.float32) * weights[:, :, None], 0)
        peak = new_peak
    acc = acc / tl.where(total > 0, total, 1.0)[:, None]
    at = ((row.to(tl.int64) * HEADS + heads) * SIZE)[:, None] + dims[None, :]
    tl.store(result + at, acc.to(result.dtype.element_ty), mask=(heads < HEADS)[:, None] & (dims < SIZE)[None, :])


@triton.jit(do_not_specialize=["window"])
def prefill_kernel(
    q,
    keys,
    values,
    key_tiles,
    value_tiles,
    result,
    tiles,
    segments,
    pages,
    q_stride,
    scale,
    softcap,
    window,
    KV_HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    SIZE: tl.constexpr,
    SIZE_PAD: tl.constexpr,
    PAGE: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    SOFTCAP: tl.constexpr,
    WINDOW: tl.constexpr,
    TMA: tl.constexpr,
    STAGES: tl.constexpr,
):
    """New tokens of several nodes: every ancestor whole, then the own node up to each token itself."""
    kv_head = tl.program_id(0) % KV_HEADS
    tile = tiles + tl.program_id(0) // KV_HEADS * 8
    first_row = tl.load(tile)
    tokens = tl.load(tile + 1)
    first_own = tl.load(tile + 2)
    first_segment = tl.load(tile + 3)
    ancestors = tl.load(tile + 4)
    own_start = tl.load(tile + 5)

    lane = tl.arange(0, BLOCK_M)
    dims = tl.arange(0, SIZE_PAD)
    local = lane // GROUP
    filled = (local < tokens) & (lane < BLOCK_M // GROUP * GROUP)
    head = kv_head * GROUP + lane % GROUP
    row = first_row + local
    inside = filled[:, None] & (dims < SIZE)[None, :]
    q_tile = tl.load(q + (row.to(tl.int64) * q_stride + head * SIZE)[:, None] + dims[None, :], mask=inside, other=0.0)
    acc = tl.zeros([BLOCK_M, SIZE_PAD], tl.float32)
    peak = tl.full([BLOCK_M], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_M], tl.float32)
    own = first_own + local

    for each in range(ancestors + 1):
        segment = segments + (first_segment + each) * 4
        listed = pages + tl.load(segment)
        length = tl.load(segment + 1)
        start = tl.load(segment + 2)
        if each == ancestors:  # the own node: causal
            upper = own + 1
            end = tl.minimum(length, first_own + tokens)
            all_see = first_own + 1
        else:
            upper = tl.full([BLOCK_M], 0, tl.int32) + length
            end = length
            all_see = length
        first = 0
        lower = tl.full([BLOCK_M], 0, tl.int32)
        whole = all_see // BLOCK_N * BLOCK_N
        if WINDOW:
            lower = own_start + own - window + 1 - start
            oldest = tl.maximum(own_start + first_own - window + 1 - start, 0)
            first = tl.minimum(oldest, end) // BLOCK_N * BLOCK_N
            whole = first
        else:
            acc, peak, total = sweep(
                acc, peak, total, q_tile, keys, values, key_tiles, value_tiles, listed, kv_head, first, whole,
                lower, upper, scale, softcap,
                KV_HEADS, SIZE, SIZE_PAD, PAGE, BLOCK_N, SOFTCAP, False, TMA, STAGES,
            )  # fmt: skip
        if whole < end:
            acc, peak, total = sweep(
                acc, peak, total, q_tile, keys, values, key_tiles, value_tiles, listed, kv_head, whole, end,
                lower, upper, scale, softcap,
                KV_HEADS, SIZE, SIZE_PAD, PAGE, BLOCK_N, SOFTCAP, True, False, STAGES,
            )  # fmt: skip
    out, _ = normalised(acc, peak, total)
    at = ((row.to(tl.int64) * (KV_HEADS * GROUP) + head) * SIZE)[:, None] + dims[None, :]
    tl.store(result + at, out.to(result.dtype.element_ty), mask=inside)
