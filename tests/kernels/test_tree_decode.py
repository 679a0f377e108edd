"""The torch references of the paged tree kernels against float64, and the kernels through Triton's interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.attention import Chunk, PrefillTables, TreeNode, TreeTables, tree_decode, tree_prefill
from tests.kernels.trees import Case, prefill_case, random_case, spread

ROOT = Path(__file__).resolve().parents[2]


def close(out: torch.Tensor, exact: torch.Tensor) -> None:
    torch.testing.assert_close(out.double(), exact, rtol=1e-4, atol=1e-5)


@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 9),
    depth=st.integers(0, 3),
    heads=st.sampled_from([(1, 1), (4, 4), (6, 2), (3, 1)]),
    softcap=st.sampled_from([None, 5.0]),
)
@settings(max_examples=40, deadline=None)
def test_decode_over_any_tree_is_attention_over_each_rows_path(
    seed: int, rows: int, depth: int, heads: tuple[int, int], softcap: float | None
) -> None:
    case = random_case(seed, rows, depth, 40, heads=heads)
    out = tree_decode(case.q, case.keys, case.values, case.tables(), scale=case.scale, softcap=softcap)
    close(out, case.exact(softcap=softcap))


@given(seed=st.integers(0, 10**6), window=st.integers(1, 60))
@settings(max_examples=20, deadline=None)
def test_a_window_leaves_the_newest_tokens(seed: int, window: int) -> None:
    case = random_case(seed, 5, 0, 30)
    levels = [[(20, range(5))], spread([2, 3], [17, 4])]
    case = Case(levels, [max(length, 1) for length in case.suffixes], seed=seed)
    out = tree_decode(
        case.q, case.keys, case.values, case.tables(), scale=case.scale, window=window, positions=case.positions()
    )
    close(out, case.exact(window=window))


@given(seed=st.integers(0, 10**6), new=st.lists(st.integers(0, 12), min_size=1, max_size=4))
@settings(max_examples=20, deadline=None)
def test_prefill_is_causal_in_the_own_node_only(seed: int, new: list[int]) -> None:
    there = [(seed >> i) % 7 for i in range(len(new))]
    suffixes = [a + b for a, b in zip(there, new, strict=True)]
    case = Case([[(21, range(len(new)))], spread([1] * len(new), [3, 0, 17, 1][: len(new)])], suffixes, seed=seed)
    chunks = [(row, there[row], count) for row, count in enumerate(new)]
    if not any(new):
        return
    q, tables, exact = prefill_case(case, chunks)
    close(tree_prefill(q, case.keys, case.values, tables, scale=case.scale), exact)


def test_prefill_gives_what_decode_gives_token_by_token() -> None:
    case = Case([[(19, range(2))]], [6, 6])
    q, tables, _ = prefill_case(case, [(0, 0, 6)])
    whole = tree_prefill(q, case.keys, case.values, tables, scale=case.scale)
    for token in range(6):
        decode = case.tables()
        decode.suffix_lengths[0] = token + 1
        one = tree_decode(q[[token, token]], case.keys, case.values, decode, scale=case.scale)[0]
        torch.testing.assert_close(one, whole[token])


def test_a_row_that_sees_nothing_gets_zero() -> None:
    case = Case([[(5, [1])]], [0, 0, 3])
    out = tree_decode(case.q, case.keys, case.values, case.tables(), scale=case.scale)
    assert (out[0] == 0).all()
    close(out[1:], case.exact([1, 2]))


def test_the_order_of_rows_does_not_matter() -> None:
    case = random_case(3, 6, 2, 30)
    out = tree_decode(case.q, case.keys, case.values, case.tables(), scale=case.scale)
    order = [4, 0, 5, 2, 1, 3]
    place = {row: i for i, row in enumerate(order)}
    tables = case.tables()
    tables.suffix_pages.copy_(tables.suffix_pages[order])
    tables.suffix_lengths.copy_(tables.suffix_lengths[order])
    tables.set_tree([TreeNode(n.length, n.pages, [place[r] for r in n.rows], n.start) for n in case.nodes])
    moved = tree_decode(case.q[order], case.keys, case.values, tables, scale=case.scale)
    torch.testing.assert_close(moved, out[order])


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([TreeNode(1, [1], [0])] * 3, "raise `nodes`"),
        ([TreeNode(1, [1], [0])] * 2, "raise `depth`"),
        ([TreeNode(40, [1, 2, 3], [0])], "raise `node_pages`"),
        ([TreeNode(1, [1], [4])], "rows must be in"),
        ([TreeNode(1, [1], [0, 0])], "only once"),
    ],
)
def test_a_tree_that_does_not_fit_is_refused(nodes: list[TreeNode], message: str) -> None:
    tables = TreeTables(rows=4, nodes=2, node_pages=2, depth=1, row_pages=1, device="cpu")
    with pytest.raises(ValueError, match=message):
        tables.set_tree(nodes)


def test_tensors_that_do_not_fit_are_refused() -> None:
    case = Case([], [3, 3])
    tables = case.tables()
    with pytest.raises(ValueError, match="multiple of KV heads"):
        tree_decode(case.q[:, :3].contiguous(), case.keys, case.values, tables, scale=1.0)
    with pytest.raises(ValueError, match="positions"):
        tree_decode(case.q, case.keys, case.values, tables, scale=1.0, window=4)
    with pytest.raises(ValueError, match="a page holds"):
        tree_decode(case.q, case.keys[:, :, :8].contiguous(), case.values[:, :, :8].contiguous(), tables, scale=1.0)
    with pytest.raises(ValueError, match="only 1 rows"):
        tree_decode(case.q[:1], case.keys, case.values, Case([[(3, [1])]], [3, 3]).tables(), scale=1.0)
    with pytest.raises(ValueError, match="too few pages"):
        tables.set_tree([TreeNode(17, [1], [0])])
        tree_decode(case.q, case.keys, case.values, tables, scale=1.0)
    with pytest.raises(ValueError, match="too few pages"):
        tree_prefill(case.q, case.keys, case.values, PrefillTables([Chunk([1], 15, 2)], "cpu"), scale=1.0)
    with pytest.raises(ValueError, match="too few pages"):
        tree_prefill(case.q, case.keys, case.values, PrefillTables([Chunk([], 0, 2)], "cpu"), scale=1.0)
    tables.set_tree([])
    with pytest.raises(ValueError, match="do not fit in tables"):
        tree_decode(case.q.repeat(2, 1, 1), case.keys, case.values, tables, scale=1.0)


def test_the_kernels_in_the_interpreter() -> None:
    """TRITON_INTERPRET must be set before triton is imported, so these run in a process of their own."""
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(ROOT), "--noconftest", "-q"]
    command += ["-p", "no:cacheprovider", "-p", "no:django", "tests/kernels/interpreted.py"]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
