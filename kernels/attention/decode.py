"""Decode attention of a batch over its tree: shared nodes and suffixes at the same time, then one reduction."""

from __future__ import annotations

from torch import Tensor

from kernels.attention import reference
from kernels.attention.tables import TreeTables


def tree_decode(
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
) -> Tensor:
    """Attention of each row over the nodes above it and its own suffix (Hydragen, arXiv 2402.05099).

    q: (rows, query heads, size), rows at most `tables.rows`. keys, values: (pages, KV heads, PAGE, size),
    contiguous, PAGE a power of two in 16..128. softcap: logits become softcap * tanh(logits / softcap).
    window: a row sees only the last `window` tokens of its path, itself included; needs positions, int32 (rows,),
    of each row's newest token. Returns q's shape and dtype (in `out` if given); 0 for a row that sees nothing.

    On a GPU the launches depend only on rows and on the capacities of `tables`, so a CUDA graph may capture them;
    call once before. Replays follow `set_tree` and the suffix tables; a tree's rows must stay within q's. One step
    at a time may use the same tables. Raises ValueError for tensors that do not fit together.
    """
    check(q, keys, values, tables.least_page)
    if window is not None and positions is None:
        raise ValueError("a sliding window needs the rows' positions")
    if q.shape[0] > tables.rows:
        raise ValueError(f"{q.shape[0]} rows do not fit in tables for {tables.rows}")
    if q.shape[0] <= tables.last_row:
        raise ValueError(f"the tree has nodes above row {tables.last_row}, and q only {q.shape[0]} rows")
    run = reference.tree_decode
    if q.is_cuda:
        from kernels.attention import launch  # Triton exists only where there are GPUs

        run = launch.decode
    return run(q, keys, values, tables, scale=scale, softcap=softcap, window=window, positions=positions, out=out)


def check(q: Tensor, keys: Tensor, values: Tensor, least_page: int) -> None:
    """Raises ValueError for queries, pools and page lists that do not fit together."""
    if keys.shape != values.shape or keys.dim() != 4 or q.dim() != 3 or q.shape[2] != keys.shape[3]:
        raise ValueError(f"q {tuple(q.shape)} needs keys and values (pages, KV heads, page, size), both alike")
    if q.shape[1] % keys.shape[1] or not q.dtype == keys.dtype == values.dtype:
        raise ValueError("query heads must be a multiple of KV heads, and q, keys and values of one dtype")
    page = keys.shape[2]
    if page & (page - 1) or not 16 <= page <= 128:
        raise ValueError(f"a page holds 16, 32, 64 or 128 tokens, not {page}")
    if page < least_page:
        raise ValueError(f"a node has too few pages of {page} for its tokens")
    if not (keys.is_contiguous() and values.is_contiguous() and q.stride(2) == 1 and q.stride(1) == q.shape[2]):
        raise ValueError("the pools must be contiguous, and each row of q")
