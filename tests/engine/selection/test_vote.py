from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.coverage import pass_at_k
from engine.selection import NO_ANSWER, Answers, majority_votes, vote, vote_bars, weighted_votes
from engine.selection.exact import exact_majority
from tests.engine.selection.by_hand import problems, vote_by_hand


@given(problems())
@settings(deadline=None, max_examples=60)
def test_the_exact_vote_is_the_mean_over_all_subsets(problem: Answers) -> None:
    found = majority_votes([problem], range(1, problem.n + 1))
    assert found.exact.all()
    expected = [vote_by_hand(problem, k) for k in range(1, problem.n + 1)]
    np.testing.assert_allclose(found.right[0], expected, atol=1e-12)


@given(problems())
@settings(deadline=None, max_examples=40)
def test_coverage_is_never_below_the_vote_and_k_1_is_pass_at_1(problem: Answers) -> None:
    ks = np.arange(1, problem.n + 1)
    right = majority_votes([problem], ks).right[0]
    coverage = pass_at_k(problem.n, problem.correct.sum(), ks)
    assert np.all(right <= coverage + 1e-12)
    assert right[0] == pytest.approx(coverage[0])


@given(problems(), st.permutations([0, 1, 2, 3]), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=40)
def test_names_of_classes_and_order_of_samples_do_not_matter(problem: Answers, names: list[int], shuffle) -> None:
    order = list(range(problem.n))
    shuffle.shuffle(order)
    renamed = np.array([NO_ANSWER if each == NO_ANSWER else names[each] for each in problem.answer])
    other = Answers(renamed[order], problem.correct[order])
    ks = range(1, problem.n + 1)
    np.testing.assert_allclose(majority_votes([problem], ks).right, majority_votes([other], ks).right, atol=1e-12)


@given(problems(largest=7, scored=True))
@settings(deadline=None, max_examples=25)
def test_drawn_votes_agree_with_all_subsets(problem: Answers) -> None:
    """Majority (with exact counting switched off) and weighted vote; 2,000 draws leave 0.011 of standard error."""
    assert problem.score is not None
    ks = range(1, problem.n + 1)
    scored = weighted_votes([problem], ks, draws=2000).right[0]
    expected = [vote_by_hand(problem, k, problem.score) for k in ks]
    np.testing.assert_allclose(scored, expected, atol=0.055)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vote, "EXACT_WORK", -1)
        drawn = majority_votes([problem], ks, draws=2000)
    np.testing.assert_allclose(drawn.right[0], [vote_by_hand(problem, k) for k in ks], atol=0.055)
    assert drawn.exact[0, 0] and drawn.exact[0, -1]


def test_large_problems_agree_with_exact_counting() -> None:
    """400 samples: every value within five standard errors of the exact one, at every k where draws were needed."""
    random = np.random.default_rng(0)
    answer = random.choice([0, 1, 2, 3, NO_ANSWER], size=400, p=[0.3, 0.28, 0.2, 0.12, 0.1])
    problem = Answers(answer, answer == 1)
    ks = np.array([1, 2, 3, 5, 10, 30, 100, 399, 400])
    sizes = np.array([np.sum(answer == each) for each in range(4)])
    exact = exact_majority(sizes, np.array([0.0, 1.0, 0.0, 0.0]), int(np.sum(answer == NO_ANSWER)), 400)[ks - 1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vote, "EXACT_WORK", -1)
        drawn = majority_votes([problem], ks, draws=1500)
    assert np.all(np.abs(drawn.right[0] - exact) <= np.where(drawn.exact[0], 1e-3, 5 * drawn.error[0] + 1e-3))
    assert drawn.exact[0].tolist() == [True] + [False] * 7 + [True]


def test_where_no_other_can_win_nothing_is_drawn() -> None:
    answer = np.r_[np.zeros(7000), np.ones(2000), 2 + np.arange(1000)].astype(int)
    found = majority_votes([Answers(answer, answer == 0)], [1, 10, 1000, 10_000])
    assert found.exact[0].tolist() == [True, False, True, True]
    np.testing.assert_allclose(found.right[0, [0, 2, 3]], [0.7, 1, 1])


def test_a_reward_overrules_the_crowd_only_in_the_weighted_vote() -> None:
    problem = Answers([0, 0, 1], [False, False, True], [0.1, 0.2, 0.9])
    assert majority_votes([problem], [3]).right[0, 0] == 0
    assert weighted_votes([problem], [3]).right[0, 0] == 1
    with pytest.raises(ValueError, match="score"):
        weighted_votes([Answers([0], [True])])


def test_negative_rewards_do_not_let_an_absent_answer_win() -> None:
    problem = Answers([0, 0, 1, 1], [True, True, False, False], [-1.0, -1.0, -2.0, -2.0])
    expected = [vote_by_hand(problem, k, problem.score) for k in (1, 2, 3, 4)]
    np.testing.assert_allclose(weighted_votes([problem], [1, 2, 3, 4], draws=4000).right[0], expected, atol=0.04)


def test_bars_show_the_share_of_correct_samples_and_whether_the_vote_is_right() -> None:
    bars = vote_bars(
        [
            Answers([5, 5, 7], [True, True, False]),
            Answers([1, 2, 2], [True, False, False]),
            Answers([1, 2], [True, False]),
            Answers([NO_ANSWER], [False]),
        ]
    )
    np.testing.assert_allclose(bars.correct, [2 / 3, 1 / 3, 0.5, 0])
    np.testing.assert_allclose(bars.right, [1, 0, 0.5, 0])
    assert bars.vote_is_right.tolist() == [True, False, False, False]


def test_the_same_seed_gives_the_same_votes() -> None:
    random = np.random.default_rng(1)
    made = [Answers(random.integers(0, 6, 300), random.random(300) < 0.3, random.random(300)) for _ in range(5)]
    first, second = (weighted_votes(made, [3, 30], seed=4) for _ in range(2))
    np.testing.assert_array_equal(first.right, second.right)


def test_unequal_n_and_refused_shapes() -> None:
    made = [Answers([0, 0], [True, True]), Answers([0, 1, 1], [False, True, True])]
    right = majority_votes(made, [2, 3]).right
    assert np.isnan(right[0, 1]) and right[1, 1] == 1
    with pytest.raises(ValueError, match="2 draws"):
        weighted_votes([Answers([0], [True], [1.0])], [1], draws=1)
    with pytest.raises(ValueError, match="rising order"):
        majority_votes(made, [2, 1])
    with pytest.raises(ValueError, match="one shape"):
        Answers([0, 1], [True])
    with pytest.raises(ValueError, match="NO_ANSWER"):
        Answers([-2], [True])
