from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings

from engine.coverage import pass_at_k
from engine.selection import Answers, best_of
from engine.selection.best_of import best_chances
from tests.engine.selection.by_hand import best_by_hand, problems


@given(problems(largest=6, scored=True))
@settings(deadline=None, max_examples=40)
def test_it_is_the_mean_over_all_orders(problem: Answers) -> None:
    ks = range(1, problem.n + 1)
    np.testing.assert_allclose(best_of([problem], ks)[0], [best_by_hand(problem, k) for k in ks], atol=1e-12)


@given(problems(largest=40, scored=True))
@settings(deadline=None, max_examples=40)
def test_coverage_is_never_below_it(problem: Answers) -> None:
    ks = np.arange(1, problem.n + 1)
    found = best_of([problem], ks)[0]
    assert np.all(found <= pass_at_k(problem.n, problem.correct.sum(), ks) + 1e-9)
    assert found[0] == pytest.approx(problem.correct.mean())


def test_a_score_that_knows_the_verdict_reaches_coverage() -> None:
    random = np.random.default_rng(0)
    correct = random.random(200) < 0.1
    problem = Answers(np.zeros(200), correct, correct + 0.5 * random.random(200))
    ks = [1, 3, 20, 200]
    np.testing.assert_allclose(best_of([problem], ks)[0], pass_at_k(200, correct.sum(), ks), atol=1e-12)


@pytest.mark.parametrize(("n", "k"), [(1, 1), (9, 4), (300, 17), (1000, 1000)])
def test_rank_chances_are_the_shares_of_subsets(n: int, k: int) -> None:
    found = best_chances(n, np.array([k]))[:, 0]
    expected = [comb(rank - 1, k - 1) / comb(n, k) for rank in range(1, n + 1)]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-300)
    assert found.sum() == pytest.approx(1)


def test_equal_scores_are_a_random_choice_and_nan_ranks_lowest() -> None:
    assert best_of([Answers([0, 1], [True, False], [1.0, 1.0])], [2])[0, 0] == 0.5
    assert best_of([Answers([0, 1], [True, False], [-9.0, np.nan])], [2])[0, 0] == 1
    with pytest.raises(ValueError, match="score"):
        best_of([Answers([0], [True])])
