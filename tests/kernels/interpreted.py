"""The tree kernels through Triton's interpreter on a CPU: run by test_tree_decode with TRITON_INTERPRET=1.

fp32 and fp16 only: the interpreter's product of bf16 is wrong (10a of the engine notes: an error of 1e10).
"""

from __future__ import annotations

import pytest
import torch

from kernels.attention import TreeNode, launch, tree_kernels
from kernels.attention.configs import Config, Prefix, Reduce, Suffix, Tiles
from tests.kernels.trees import Case, prefill_case, random_case, spread

TINY = Config(Prefix(16, 16, 4, 1), Suffix(16, 4, 1), Tiles(16, 16, 4, 1))
# Tiles of keys that span pages of 16, several partial results at once.
WIDE = Config(Prefix(32, 64, 4, 1), Suffix(32, 4, 1), Tiles(32, 64, 4, 1), Reduce(2, 64))


def check(
    case: Case,
    tuned: Config = TINY,
    *,
    rows: int | None = None,
    softcap: float | None = None,
    window: int | None = None,
) -> None:
    positions = case.positions() if window is not None else None
    out = torch.full_like(case.q, float("nan"))
    launch.decode(
        case.q, case.keys, case.values, case.tables(rows), scale=case.scale, softcap=softcap, window=window,
        positions=positions, out=out, tuned=tuned,
    )  # fmt: skip
    limit = 1e-5 if case.dtype == torch.float32 else 4e-3
    torch.testing.assert_close(out.double(), case.exact(softcap=softcap, window=window), rtol=limit, atol=limit)


RAGGED = [spread([9], [23]), spread([1, 5, 3], [1, 0, 40]), spread([3, 1, 1, 2, 2], [2, 3, 64, 16, 5])]


@pytest.mark.parametrize(
    ("heads", "dtype", "tuned"),
    [((3, 3), torch.float32, TINY), ((8, 2), torch.float16, WIDE), ((3, 1), torch.float32, WIDE)],
)
def test_ragged_tree(heads: tuple[int, int], dtype: torch.dtype, tuned: Config) -> None:
    check(Case(RAGGED, [0, 1, 15, 16, 17, 33, 2, 0, 5], heads=heads, dtype=dtype), tuned)


def test_head_size_that_is_no_power_of_two() -> None:
    check(Case(RAGGED, [3] * 9, size=24))


def test_groups_across_tile_edges_and_empty_suffixes() -> None:
    """17 and 15 rows of 3 heads over tiles of 5 rows; a row without anything gives 0."""
    case = Case([spread([17, 1, 15], [33, 1, 16])], [0] * 34, heads=(3, 1))
    tables = case.tables()
    out = launch.decode(case.q, case.keys, case.values, tables, scale=case.scale, tuned=TINY)
    torch.testing.assert_close(out[:33].double(), case.exact(range(33)), rtol=1e-5, atol=1e-5)
    assert (out[33] == 0).all()


def test_a_long_node_is_split_and_a_long_suffix_too() -> None:
    """One row: 300 shared tokens over 8 programs, 400 own tokens over splits of at least 128."""
    check(Case([[(300, [0])], [(1000, [0])]], [400], page=16))


@pytest.mark.parametrize("window", [1, 40, 500])
def test_window(window: int) -> None:
    check(Case([spread([4], [150]), spread([1, 3], [33, 20])], [1, 20, 5, 300]), window=window)


def test_softcap() -> None:
    case = Case([[(20, range(3))]], [3, 0, 9])
    case.q *= 30  # logits well above the cap
    check(case, softcap=5.0)


def test_rows_below_the_capacity_and_a_tree_that_changes() -> None:
    case = Case([[(20, range(3))], spread([1, 2], [5, 18])], [4, 2, 7])
    check(case, rows=11)
    tables = case.tables(8)
    launch.decode(case.q, case.keys, case.values, tables, scale=case.scale, tuned=TINY)
    tables.set_tree([TreeNode(n.length, n.pages, n.rows, n.start) for n in case.nodes[:1]])
    case.nodes = case.nodes[:1]
    out = launch.decode(case.q, case.keys, case.values, tables, scale=case.scale, tuned=TINY)
    torch.testing.assert_close(out.double(), case.exact(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seed", range(2))
def test_random_trees(seed: int) -> None:
    case = random_case(seed, 7, 3, 50)
    out = launch.decode(case.q, case.keys, case.values, case.tables(), scale=case.scale, tuned=TINY)
    seeing = [row for row in range(7) if case.starts[row] + case.suffixes[row]]
    torch.testing.assert_close(out[seeing].double(), case.exact(seeing), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("tuned", [TINY, WIDE])
def test_prefill(tuned: Config) -> None:
    case = Case([[(21, range(4))], spread([1, 1, 2], [0, 17, 64])], [40, 7, 1, 33], heads=(6, 2))
    q, tables, exact = prefill_case(case, [(0, 0, 40), (1, 3, 4), (2, 0, 1), (3, 16, 17)])
    out = launch.prefill(q, case.keys, case.values, tables, scale=case.scale, tuned=tuned)
    torch.testing.assert_close(out.double(), exact, rtol=1e-5, atol=1e-5)


def test_prefill_window_and_softcap_equal_the_reference() -> None:
    from kernels.attention import reference

    case = Case([[(50, range(2))]], [40, 9])
    q, tables, _ = prefill_case(case, [(0, 8, 32), (1, 0, 9)])
    for window, softcap in [(1, None), (20, None), (64, 3.0)]:
        both = [
            run(q, case.keys, case.values, tables, scale=1.0, window=window, softcap=softcap)
            for run in (reference.tree_prefill, lambda *a, **k: launch.prefill(*a, **k, tuned=TINY))
        ]
        torch.testing.assert_close(both[1], both[0], rtol=1e-4, atol=1e-5)


def test_this_is_the_interpreter() -> None:
    assert type(tree_kernels.prefix_kernel).__name__ == "InterpretedFunction"
