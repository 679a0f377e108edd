from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.kinds.sampling.plan import (
    LARGEST_SHARD,
    MAX_PROBLEM_BLOCK,
    SMALLEST_SHARD,
    Block,
    block_shape,
    blocks,
    shard_samples,
    stages,
    work_of,
)

problems = st.integers(1, 200)
samples = st.integers(1, 120)


def keys(plan: list[Block]) -> Counter[tuple[int, int]]:
    return Counter(
        (problem, index)
        for block in plan
        for problem in range(block.first_problem, block.last_problem)
        for index in range(block.first_sample, block.last_sample)
    )


def planned(problems: int, samples: int, existing: list[Block] | None = None) -> list[Block]:
    found = [work_of(shard.payload) for shard in stages(problems, samples, existing=existing or [])[0].shards]
    return [block for block in found if isinstance(block, Block)]


@given(problems, samples)
def test_shards_hold_every_sample_of_every_problem_once(problems: int, samples: int) -> None:
    assert keys(planned(problems, samples)) == {(p, i): 1 for p in range(problems) for i in range(samples)}


@given(problems, st.lists(samples, min_size=1, max_size=4))
def test_a_grown_plan_begins_with_the_old_one_and_misses_nothing(problems: int, growth: list[int]) -> None:
    plan: list[Block] = []
    for samples in sorted(growth):
        longer = planned(problems, samples, plan)
        assert longer[: len(plan)] == plan
        assert keys(longer) == {(p, i): 1 for p in range(problems) for i in range(samples)}
        plan = longer


@given(problems, samples)
def test_the_same_numbers_give_the_same_plan(problems: int, samples: int) -> None:
    assert stages(problems, samples) == stages(problems, samples)


@given(st.integers(1, 3_000), st.integers(1, 200))
def test_shards_are_of_a_useful_size(problems: int, samples: int) -> None:
    size = shard_samples(problems * samples)
    plan = list(blocks(problems, samples))
    assert SMALLEST_SHARD <= size <= LARGEST_SHARD
    assert all(0 < block.size <= size for block in plan)
    assert len(plan) <= 4 + 4 * problems * samples / size + problems


def test_large_experiments_have_large_shards() -> None:
    assert shard_samples(60 * 64) == SMALLEST_SHARD
    assert shard_samples(100 * 1_000) == 6_250
    assert shard_samples(200 * 10_000) == LARGEST_SHARD


@given(st.integers(1, 3_000))
def test_blocks_of_problems_are_even(problems: int) -> None:
    height = block_shape(problems, 1_000)[0]
    heights = {block.last_problem - block.first_problem for block in blocks(problems, 1)}
    assert height <= MAX_PROBLEM_BLOCK and sum(b.size for b in blocks(problems, 1)) == problems
    assert -(-problems // height) == -(-problems // MAX_PROBLEM_BLOCK), "no more blocks than the largest would make"
    assert max(heights) == height


@settings(deadline=None)
@given(problems, st.lists(samples, min_size=1, max_size=3))
def test_rows_double_where_later_samples_may_not_be_needed(problems: int, growth: list[int]) -> None:
    plan: list[Block] = []
    for samples in sorted(growth):
        longer = [work_of(shard.payload) for shard in stages(problems, samples, existing=plan, growing=True)[0].shards]
        assert longer[: len(plan)] == plan
        assert keys(longer) == {(p, i): 1 for p in range(problems) for i in range(samples)}
        plan = longer
    least = SMALLEST_SHARD // block_shape(problems, 1)[0]
    for block in plan:
        assert block.last_sample - block.first_sample <= max(least, block.first_sample)


@given(problems, samples)
def test_every_problem_has_its_first_samples_before_any_has_more(problems: int, samples: int) -> None:
    firsts = [block.first_sample for block in planned(problems, samples)]
    assert firsts == sorted(firsts)


def test_each_grade_shard_waits_for_its_own_generate_shard_and_the_export_for_all() -> None:
    generate, grade, export = stages(60, 64)
    assert (generate.queue, grade.queue, export.queue) == ("gpu", "cpu", "cpu")
    assert grade.pairwise and list(grade.shards) == list(generate.shards)
    assert not export.pairwise and len(export.shards) == 1


def test_no_problems_need_no_shards() -> None:
    assert planned(0, 10) == []
