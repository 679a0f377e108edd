from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from math import comb, prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.coverage import pass_at_k


def counts(largest: int) -> st.SearchStrategy[tuple[int, int, int]]:
    """(n, c, k) with c, k <= n."""
    return st.integers(1, largest).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n)))


@pytest.mark.parametrize("n", range(1, 8))
def test_it_equals_the_share_of_subsets_with_a_correct_sample(n: int) -> None:
    for c in range(n + 1):
        for k in range(1, n + 1):
            subsets = list(combinations([1] * c + [0] * (n - c), k))
            assert pass_at_k(n, c, k) == pytest.approx(np.mean([any(subset) for subset in subsets]))


@given(counts(2_000))
def test_it_equals_the_product_form_of_chen_et_al(case: tuple[int, int, int]) -> None:
    n, c, k = case
    expected = 1.0 if n - c < k else 1 - prod(1 - k / j for j in range(n - c + 1, n + 1))
    assert pass_at_k(n, c, k) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(("c", "k"), [(1, 1), (1, 500_000), (37, 12_345), (3, 10**6 - 3), (999_000, 2)])
def test_it_is_accurate_at_a_million_samples(c: int, k: int) -> None:
    n = 10**6
    few = min(c, n - c)  # exact in integers, by whichever symmetric form has fewer factors
    exact = 1 - comb(n - k, c) / comb(n, c) if few == c else 1 - comb(n - c, k) / comb(n, k)
    assert pass_at_k(n, c, k) == pytest.approx(exact, rel=1e-8, abs=0)


@given(counts(400))
def test_it_equals_the_exact_fraction(case: tuple[int, int, int]) -> None:
    n, c, k = case
    exact = float(1 - Fraction(comb(n - c, k), comb(n, k)))
    assert pass_at_k(n, c, k) == pytest.approx(exact, rel=1e-10, abs=0)


@given(counts(10_000))
def test_it_grows_with_k_and_with_c(case: tuple[int, int, int]) -> None:
    n, c, k = case
    here = pass_at_k(n, c, k)
    assert 0 <= here <= 1
    if k < n:
        assert pass_at_k(n, c, k + 1) >= here - 1e-10
    if c < n:
        assert pass_at_k(n, c + 1, k) >= here - 1e-10


def test_it_is_undefined_beyond_n() -> None:
    assert np.isnan(pass_at_k(5, 5, 6))
    np.testing.assert_array_equal(pass_at_k([3, 10], [3, 0], 4), [np.nan, 0.0])


def test_it_broadcasts() -> None:
    assert pass_at_k(np.full(3, 8), np.arange(3), np.arange(1, 9)[:, None]).shape == (8, 3)


@pytest.mark.parametrize(("n", "c", "k"), [(3, 4, 1), (3, -1, 1), (3, 1, 0)])
def test_it_refuses_impossible_counts(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="0 <= c <= n"):
        pass_at_k(n, c, k)
