"""The cut of a tree into pieces of work: everything once, nothing twice."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.attention import planning

ROWS = 12


@st.composite
def trees(draw: st.DrawFn) -> planning.Nodes:
    count = draw(st.integers(0, 6))
    rows = [draw(st.lists(st.integers(0, ROWS - 1), min_size=1, unique=True)) for _ in range(count)]
    lengths = [draw(st.one_of(st.integers(1, 300), st.integers(1, 20_000))) for _ in range(count)]
    return planning.Nodes(
        lengths=np.array(lengths, np.int64),
        starts=np.arange(count) * 7,
        pages=np.arange(count) * 1000,
        counts=np.array([len(each) for each in rows], np.int64),
        members=np.concatenate([np.zeros(0, np.int64), *(np.array(each, np.int64) for each in rows)]),
    )


@given(nodes=trees(), tile=st.integers(1, 5), programs=st.integers(1, 300), spare=st.integers(0, 200))
@settings(max_examples=60, deadline=None)
def test_every_token_meets_every_row_once(nodes: planning.Nodes, tile: int, programs: int, spare: int) -> None:
    parts = len(nodes.members) + spare
    work = planning.plan(nodes, rows=ROWS, tile=tile, heads=2, programs=programs, parts=parts)
    seen: dict[tuple[int, int], list[tuple[int, int]]] = {}
    places = []
    for page, begin, end, first, count, run, start, _ in work.fields.tolist():
        node = page // 1000
        assert 0 <= begin < end and begin % planning.ALIGNMENT == 0 and 1 <= count <= tile
        assert start == nodes.starts[node]
        for member in range(first, first + count):
            seen.setdefault((node, int(nodes.members[member])), []).append((begin, end))
            places.append((int(nodes.members[member]), int(work.member_parts[member]) + run))
    offsets = np.cumsum(nodes.counts) - nodes.counts
    for node, (length, count) in enumerate(zip(nodes.lengths.tolist(), nodes.counts.tolist(), strict=True)):
        for row in nodes.members[offsets[node] : offsets[node] + count].tolist():
            runs = sorted(seen.pop((node, row)))
            assert runs[0][0] == 0 and runs[-1][1] == length
            assert all(a[1] == b[0] for a, b in pairwise(runs))
    assert not seen
    # Each partial result has a place of its own, among its row's.
    assert len({place for _, place in places}) == len(places) == work.part_counts.sum() <= parts
    for row, place in places:
        assert work.first_parts[row] <= place < work.first_parts[row] + work.part_counts[row]
    lengths = work.fields[:, 2] - work.fields[:, 1]
    assert (np.diff(lengths) <= 0).all()


def one_node(length: int, rows: int) -> planning.Nodes:
    zero = np.zeros(1, np.int64)
    return planning.Nodes(np.array([length]), zero, zero, np.array([rows]), np.arange(rows))


def test_few_rows_below_a_long_node_share_its_tokens_out() -> None:
    work = planning.plan(one_node(16384, 4), rows=4, tile=32, heads=8, programs=132, parts=10_000)
    assert 120 <= len(work.fields) * 8 <= 132


def test_many_rows_are_not_split_further_than_the_programs_need() -> None:
    work = planning.plan(one_node(1024, 1024), rows=1024, tile=32, heads=40, programs=132, parts=10_000)
    assert len(work.fields) == 32


def test_a_crowd_is_long_shared_nodes() -> None:
    assert planning.crowded(one_node(16384, 100), group=4)
    assert not planning.crowded(one_node(2048, 100), group=4)
    assert not planning.crowded(one_node(0, 0), group=4)
