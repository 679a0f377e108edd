"""The tree kernels on a GPU against float64 softmax over each row's joined path.

Needs no Django:
python3 -m pytest -c /dev/null --rootdir . --noconftest -p no:cacheprovider tests/gpu/test_attention.py
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from kernels.attention import TreeNode, tree_decode, tree_prefill
from tests.kernels.trees import Case, prefill_case, random_case, spread

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

# Relative error: rounding of the inputs' dtype, twice (weights and partial results).
LIMITS = {torch.bfloat16: 6e-3, torch.float16: 1e-3, torch.float32: 1e-6}
# The sizes of hydragen's own tests, one level deeper: lengths around a tile's edge, one-sample groups, an empty node.
HYDRAGEN = [
    [(7, range(8))],
    spread([2, 3, 1, 2], [9, 10, 11, 4]),
    spread([1] * 8, [129, 2, 0, 4, 1, 6, 7, 128]),
]
LONG = [[(16384, range(3))], spread([1, 1, 1], [1, 128, 256])]
# After FastTree's list (branching 1, 4, 16, 64 with 1024, 256, 128 tokens), ragged and smaller.
BRANCHING = [[(1024, range(64))], spread([12, 16, 20, 16], [256, 255, 257, 1]), spread([4] * 16, range(120, 136))]


def error(out: Tensor, exact: Tensor) -> float:
    assert out.isfinite().all()
    return float((out.double() - exact).norm() / exact.norm())


def check(
    case: Case, rows: Sequence[int] | None = None, *, softcap: float | None = None, window: int | None = None
) -> None:
    positions = case.positions() if window is not None else None
    out = torch.full_like(case.q, float("nan"))
    run = {"scale": case.scale, "softcap": softcap, "window": window, "positions": positions}
    tables = case.tables()
    tree_decode(case.q, case.keys, case.values, tables, out=out, **run)  # type: ignore[arg-type]
    exact = case.exact(rows, softcap=softcap, window=window)
    assert error(out if rows is None else out[list(rows)], exact) < LIMITS[case.dtype]
    again = tree_decode(case.q, case.keys, case.values, tables, **run)  # type: ignore[arg-type]
    assert torch.equal(out, again)  # whichever program takes which piece


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("size", [64, 96, 128, 256])
@pytest.mark.parametrize("heads", [(4, 4), (8, 2), (7, 1)])
def test_dtypes_and_heads(dtype: torch.dtype, size: int, heads: tuple[int, int]) -> None:
    suffixes = [0, 1, 31, 32, 33, 200, 7, 64]
    check(Case(HYDRAGEN, suffixes, heads=heads, size=size, page=64, dtype=dtype, device="cuda"))


@pytest.mark.parametrize("page", [16, 32, 64, 128])
@pytest.mark.parametrize("size", [64, 128])
def test_page_sizes(page: int, size: int) -> None:
    suffixes = [(37 * row) % 150 for row in range(64)]
    check(Case(BRANCHING, suffixes, heads=(8, 2), size=size, page=page, dtype=torch.bfloat16, device="cuda"))


@pytest.mark.parametrize("heads", [(5, 5), (12, 4), (16, 1)])
def test_a_long_node_over_few_rows(heads: tuple[int, int]) -> None:
    check(Case(LONG, [5, 0, 300], heads=heads, size=128, page=64, dtype=torch.bfloat16, device="cuda"))


@pytest.mark.parametrize("groups", [[256], [1, 100, 155], [1] * 256, [127, 129]])
@pytest.mark.parametrize("heads", [(4, 4), (16, 4)])
def test_groups_across_tile_edges(groups: list[int], heads: tuple[int, int]) -> None:
    lengths = [200 - (17 * i) % 90 for i in range(len(groups))]
    levels = [[(300, range(256))], spread(groups, lengths)]
    suffixes = [row % 140 for row in range(256)]
    case = Case(levels, suffixes, heads=heads, size=64, page=32, dtype=torch.bfloat16, device="cuda")
    check(case, range(0, 256, 15))


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("window", [1, 100, 333, 5000])
def test_window(size: int, window: int) -> None:
    suffixes = [1 + (37 * row) % 400 for row in range(64)]
    case = Case(BRANCHING, suffixes, heads=(8, 2), size=size, page=64, dtype=torch.bfloat16, device="cuda")
    check(case, window=window)


@pytest.mark.parametrize("size", [128, 256])
def test_softcap(size: int) -> None:
    case = Case(HYDRAGEN, [3] * 8, heads=(8, 4), size=size, page=32, dtype=torch.bfloat16, device="cuda")
    case.q *= 40
    check(case, softcap=30.0)


@pytest.mark.parametrize("seed", range(6))
def test_random_trees(seed: int) -> None:
    case = random_case(seed, 40, 3, 700, heads=(8, 2), size=64, page=32, dtype=torch.float16, device="cuda")
    out = tree_decode(case.q, case.keys, case.values, case.tables(), scale=case.scale)
    seeing = [row for row in range(40) if case.starts[row] + case.suffixes[row]]
    assert error(out[seeing], case.exact(seeing)) < LIMITS[torch.float16]
    assert (out[[row for row in range(40) if row not in seeing]] == 0).all()


def test_one_row_with_a_long_suffix() -> None:
    check(Case([[(77, [0])]], [9000], heads=(8, 2), size=128, page=32, dtype=torch.bfloat16, device="cuda"))


def test_more_rows_than_a_grid_axis_holds() -> None:
    rows = 70_000
    levels = [[(40, range(rows))], spread([rows - 5, 5], [3, 2])]
    case = Case(
        levels, [row % 3 for row in range(rows)], heads=(2, 1), size=64, page=16, dtype=torch.bfloat16, device="cuda"
    )
    check(case, [0, 1, 2, 32_767, 65_535, 65_536, 69_998, 69_999])


def test_a_pool_of_more_than_2_31_elements() -> None:
    shape = {"heads": (16, 8), "size": 128, "page": 128, "dtype": torch.bfloat16, "device": "cuda"}
    case = Case([[(1000, range(8))]], [100] * 8, spare_pages=17_000, **shape)  # type: ignore[arg-type]
    assert case.keys.numel() > 2**31
    assert max(case.nodes[0].pages) * case.keys[0].numel() > 2**31
    check(case)


def test_a_captured_graph_follows_the_tree() -> None:
    levels = [[(500, range(16))], spread([5, 11], [130, 60])]
    case = Case(levels, [20 + row for row in range(16)], heads=(8, 2), size=128, dtype=torch.bfloat16, device="cuda")
    tables, out = case.tables(24), torch.empty_like(case.q)

    def step() -> None:
        tree_decode(case.q, case.keys, case.values, tables, scale=case.scale, out=out)

    step()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    graph.replay()
    assert error(out, case.exact()) < LIMITS[case.dtype]
    # Samples end, a node goes, suffixes grow within their pages: the same graph.
    case.nodes = [TreeNode(node.length, node.pages, [row for row in node.rows if row != 3]) for node in case.nodes[:2]]
    tables.set_tree(case.nodes)
    case.suffixes = [length - 19 for length in case.suffixes]
    tables.suffix_lengths[:16] = torch.tensor(case.suffixes, dtype=torch.int32, device="cuda")
    for _ in range(2):
        graph.replay()
        assert error(out, case.exact()) < LIMITS[case.dtype]
    tables.set_tree([])
    case.nodes = []
    graph.replay()
    assert error(out, case.exact()) < LIMITS[case.dtype]


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("size", [64, 96, 128, 256])
@pytest.mark.parametrize("heads", [(4, 4), (8, 2)])
def test_prefill(dtype: torch.dtype, size: int, heads: tuple[int, int]) -> None:
    levels = [[(300, range(4))], spread([1, 1, 2], [0, 17, 64])]
    case = Case(levels, [400, 7, 1, 133], heads=heads, size=size, page=64, dtype=dtype, device="cuda")
    q, tables, exact = prefill_case(case, [(0, 100, 300), (1, 3, 4), (2, 0, 1), (3, 16, 117)])
    out = tree_prefill(q, case.keys, case.values, tables, scale=case.scale)
    assert error(out, exact) < LIMITS[dtype]


def test_prefill_with_window_and_softcap_equals_the_reference() -> None:
    from kernels.attention import reference

    case = Case([[(500, range(2))]], [400, 90], heads=(8, 2), size=128, page=32, dtype=torch.bfloat16, device="cuda")
    q, tables, _ = prefill_case(case, [(0, 80, 320), (1, 0, 90)])
    for window, softcap in [(1, None), (200, None), (64, 20.0)]:
        both = [
            run(q, case.keys, case.values, tables, scale=case.scale, window=window, softcap=softcap)
            for run in (reference.tree_prefill, tree_prefill)
        ]
        assert error(both[1], both[0].double()) < LIMITS[torch.bfloat16]


def test_capturing_without_a_first_call_is_refused() -> None:
    case = Case([[(5, [0])]], [3], size=64, dtype=torch.bfloat16, device="cuda")
    tables = case.tables()
    with pytest.raises(RuntimeError, match="before capturing"), torch.cuda.graph(torch.cuda.CUDAGraph()):
        tree_decode(case.q, case.keys, case.values, tables, scale=1.0)
