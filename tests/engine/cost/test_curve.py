from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.cost import LLAMA_3_8B, LLAMA_3_70B, Cost, CostCurve, cost_curve, flops_cost, frontier
from engine.cost import small_against_big as compare
from engine.coverage import PUBLISHED_FITS, Curve, coverage_curve, log_spaced

POINTS = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=12)


def curve_of(label: str, points: list[tuple[int, int]]) -> CostCurve:
    cost, coverage = np.array(points, dtype=float).T
    return CostCurve(label, "dollars", np.arange(1, len(cost) + 1), cost, coverage / 9, coverage, coverage, 10, False)


def from_fit(index: int, label: str, cost: Cost) -> CostCurve:
    """The published fit's curve at every k up to 10,000, for 128 problems."""
    ks = log_spaced(10_000, 400)
    coverage = PUBLISHED_FITS[index].coverage(ks)
    return cost_curve(label, Curve(ks, coverage, coverage, coverage, np.full(len(ks), 128)), cost, 128)


@given(POINTS, POINTS)
def test_the_frontier_is_what_no_point_dominates(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> None:
    found = frontier([curve_of("a", first), curve_of("b", second)])
    everything = {(float(cost), coverage / 9) for cost, coverage in first + second}

    def dominated(point: tuple[float, float]) -> bool:
        return any(other[0] <= point[0] and other[1] >= point[1] and other != point for other in everything)

    assert [(each.cost, each.coverage) for each in found] == sorted(p for p in everything if not dominated(p))


def test_cost_is_a_line_in_k() -> None:
    curve = coverage_curve([8] * 4, [0, 1, 4, 8], [1, 2, 8])
    with_cost = cost_curve("m", curve, Cost("seconds", 2.0, 0.5), 4)
    np.testing.assert_allclose(with_cost.cost, [10, 12, 24])
    np.testing.assert_allclose(with_cost.cost_per_solved, with_cost.cost / (4 * curve.coverage))


def test_on_math_the_small_model_wins_at_equal_flops_as_in_the_paper() -> None:
    """Section 2.3: at equal FLOPs the 8B always reaches more than the 70B on MATH, and almost never on CodeContests. By
    the published fits, for a 1,000-token prompt charged once and 200 tokens an answer."""
    small, big = flops_cost(LLAMA_3_8B, 1000, 200), flops_cost(LLAMA_3_70B, 1000, 200)
    math = compare(from_fit(0, "8B", small), from_fit(1, "70B", big))
    assert math.coverage_at_equal_cost is not None and math.coverage_at_equal_cost > math.big_coverage
    assert math.saving is not None and math.saving > 1
    code = compare(from_fit(2, "8B", small), from_fit(3, "70B", big))
    assert code.coverage_at_equal_cost is not None and code.coverage_at_equal_cost < code.big_coverage
    assert code.saving is not None and code.saving < 1
    best = frontier([from_fit(0, "8B", small), from_fit(1, "70B", big)])
    assert best[0].label == "8B" and best[0].k == 1


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 9))
@settings(max_examples=50)
def test_k_is_the_first_that_reaches_the_big_model(c_small: int, c_big: int, ratio: int) -> None:
    every = range(1, 41)
    small = cost_curve("s", coverage_curve([40], [c_small], every), Cost("dollars", 0.0, 1.0), 1)
    big = cost_curve("b", coverage_curve([40], [c_big], every), Cost("dollars", 0.0, float(ratio)), 1)
    found = compare(small, big)
    reaching = [k for k, coverage in zip(small.k, small.coverage, strict=True) if coverage >= found.big_coverage]
    assert found.k == (reaching[0] if reaching else None)
    assert found.k_at_equal_cost == ratio
    assert found.coverage_at_equal_cost == pytest.approx(small.coverage[ratio - 1])
    if found.k:
        assert found.cost == pytest.approx(found.k) and found.saving == pytest.approx(ratio / found.k)


def test_it_refuses_what_cannot_be_compared() -> None:
    curve = coverage_curve([4], [1])
    one, other = cost_curve("a", curve, Cost("dollars", 0, 1), 1), cost_curve("b", curve, Cost("seconds", 0, 1), 1)
    with pytest.raises(ValueError, match="one unit"):
        frontier([one, other])
    with pytest.raises(ValueError, match="from k = 1"):
        compare(one, cost_curve("c", coverage_curve([4], [1], [2, 4]), Cost("dollars", 0, 1), 1))
    with pytest.raises(ValueError, match="per_sample > 0"):
        Cost("dollars", 0, 0)
