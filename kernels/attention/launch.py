"""Launches the Triton kernels with the signatures of `tree_decode` and `tree_prefill`."""

# mypy: allow-untyped-calls
from __future__ import annotations

from typing import Any

import torch
import triton
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from kernels.attention.configs import Config, Tiles, config, multiprocessors
from kernels.attention.prefill import PrefillTables
from kernels.attention.tables import PlanKey, TreeTables
from kernels.attention.tree_kernels import prefill_kernel, prefix_kernel, reduce_kernel, suffix_kernel

LOG2_E = 1.4426950408889634
# Suffixes are split when rows x KV heads are fewer than this many programs per multiprocessor.
SUFFIX_PROGRAMS = 8


def decode(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    tables: TreeTables,
    *,
    scale: float,
    softcap: float | None = None,
    window: int | None = None,
    positions: Tensor | None = None,
    out: Tensor | None = None,
    tuned: Config | None = None,
) -> Tensor:
    """The Triton version, with the signature of `tree_decode`; tuned: other tile shapes than those of `configs`."""
    rows, heads, size = q.shape
    kv_heads, page = keys.shape[1:3]
    group = heads // kv_heads
    tuned = tuned or config(size, q.dtype, q.device)
    prefix, suffix = tuned.prefix, tuned.suffix
    processors = multiprocessors(q.device)
    splits = _splits(rows * kv_heads, processors, tables.suffix_pages.shape[1] * page)
    block_m = max(prefix.block_m, triton.next_power_of_2(group))
    plan = tables.plan(
        PlanKey(
            tile=block_m // group,
            kv_heads=kv_heads,
            programs=prefix.programs * processors,
            crowd=prefix.crowd * processors,
            suffix_parts=max(tables.rows, SUFFIX_PROGRAMS * processors // kv_heads),
            heads=heads,
            size=size,
            dtype=q.dtype,
        )
    )
    result = torch.empty(rows, heads, size, dtype=q.dtype, device=q.device) if out is None else out
    if rows == 0:
        return result
    shape: dict[str, Any] = {"SIZE": size, "SIZE_PAD": max(triton.next_power_of_2(size), 16)}
    same: dict[str, Any] = {
        "KV_HEADS": kv_heads,
        "GROUP": group,
        "PAGE": page,
        "SOFTCAP": softcap is not None,
        "WINDOW": window is not None,
        **shape,
    }
    scales = (scale * LOG2_E if softcap is None else scale, softcap or 1.0, window or 0)
    overlap = q.is_cuda and torch.cuda.get_device_capability(q.device)[0] >= 9
    key_tiles, value_tiles = _descriptors(keys, values, prefix, shape["SIZE_PAD"])
    limits = {"maxnreg": prefix.registers} if prefix.registers and q.is_cuda else {}
    # On Hopper a launch starts when its predecessor has started and waits itself for what it needs, so that the
    # suffixes stream from memory while the shared nodes keep the tensor cores busy.
    early = {"launch_pdl": True} if overlap else {}

    prefix_kernel[(max(plan.key.programs, plan.key.crowd),)](
        q, keys, values, key_tiles, value_tiles, plan.outs, plan.lses,
        plan.counts, plan.taken, plan.pieces, plan.member_rows, plan.member_parts, plan.pages,
        positions if positions is not None else plan.counts, q.stride(0), *scales,
        BLOCK_M=block_m, BLOCK_N=prefix.block_n, TMA=key_tiles is not None, STAGES=prefix.stages, OVERLAP=overlap,
        num_warps=prefix.warps, **same, **limits,
    )  # fmt: skip
    suffix_kernel[(rows * kv_heads * splits,)](
        q, keys, values, plan.outs, plan.lses, tables.suffix_pages, tables.suffix_lengths,
        q.stride(0), tables.suffix_pages.stride(0), plan.parts, *scales,
        BLOCK_M=max(triton.next_power_of_2(group), 16), BLOCK_N=suffix.block_n, SPLITS=splits,
        STAGES=suffix.stages, OVERLAP=overlap, num_warps=suffix.warps, **same, **early,
    )  # fmt: skip
    block_h = max(tuned.reduce.elements // shape["SIZE_PAD"], 1)
    reduce_kernel[(rows * triton.cdiv(heads, block_h),)](
        plan.outs, plan.lses, result, plan.first_parts, plan.part_counts, tables.suffix_lengths, plan.taken,
        plan.parts, HEADS=heads, BLOCK_H=block_h, BLOCK_P=tuned.reduce.block_p, SUFFIX_BLOCK_N=suffix.block_n,
        SPLITS=splits, OVERLAP=overlap, num_warps=tuned.reduce.warps, **shape, **early,
    )  # fmt: skip
    return result


def prefill(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    tables: PrefillTables,
    *,
    scale: float,
    softcap: float | None = None,
    window: int | None = None,
    tuned: Config | None = None,
) -> Tensor:
    """The Triton version, with the signature of `tree_prefill`."""
    tokens, heads, size = q.shape
    kv_heads, page = keys.shape[1:3]
    group = heads // kv_heads
    tiles = (tuned or config(size, q.dtype, q.device)).prefill
    block_m = max(tiles.block_m, triton.next_power_of_2(group))
    size_pad = max(triton.next_power_of_2(size), 16)
    result = torch.empty(tokens, heads, size, dtype=q.dtype, device=q.device)
    if tokens == 0:
        return result
    table = tables.tiles(block_m // group)
    key_tiles, value_tiles = _descriptors(keys, values, tiles, size_pad)
    scales = (scale * LOG2_E if softcap is None else scale, softcap or 1.0, window or 0)
    prefill_kernel[(len(table) * kv_heads,)](
        q, keys, values, key_tiles, value_tiles, result, table, tables.segments, tables.pages, q.stride(0), *scales,
        KV_HEADS=kv_heads, GROUP=group, SIZE=size, SIZE_PAD=size_pad, PAGE=page, BLOCK_M=block_m,
        BLOCK_N=tiles.block_n, SOFTCAP=softcap is not None, WINDOW=window is not None, TMA=key_tiles is not None,
        STAGES=tiles.stages, num_warps=tiles.warps,
    )  # fmt: skip
    return result


def _descriptors(
    keys: Tensor, values: Tensor, tiles: Tiles, size_pad: int
) -> tuple[TensorDescriptor | None, TensorDescriptor | None]:
    """The pools as rows for Hopper's bulk copies, or None where a tile of keys would span pages."""
    pages, kv_heads, page, size = keys.shape
    usable = keys.is_cuda and torch.cuda.get_device_capability(keys.device)[0] >= 9
    if not usable or tiles.block_n > page or keys.dtype == torch.float32 or pages * kv_heads * page >= 2**31:
        return None, None
    block = [tiles.block_n, size_pad]
    whole, strides = [pages * kv_heads * page, size], [size, 1]
    return TensorDescriptor(keys, whole, strides, block), TensorDescriptor(values, whole, strides, block)


def _splits(programs: int, processors: int, tokens: int) -> int:
    """Programs per suffix: a power of two that fills the processors, at least 128 tokens of capacity each."""
    splits = 1
    while programs * splits * 2 <= SUFFIX_PROGRAMS * processors and splits * 2 * 128 <= tokens and splits < 32:
        splits *= 2
    return splits
