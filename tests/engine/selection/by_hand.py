"""Selection by trying every k-subset: the independent source for the closed forms."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
from hypothesis import strategies as st

from engine.selection import NO_ANSWER, Answers


def vote_by_hand(problem: Answers, k: int, weights: np.ndarray | None = None) -> float:
    """The mean over all k-subsets of the winner's rightness, ties broken evenly."""
    weights = np.ones(problem.n) if weights is None else weights
    outcomes = []
    for subset in combinations(range(problem.n), k):
        sums: dict[int, float] = {}
        for sample in subset:
            if problem.answer[sample] != NO_ANSWER:
                sums[problem.answer[sample]] = sums.get(problem.answer[sample], 0.0) + weights[sample]
        winners = [answer for answer, total in sums.items() if total == max(sums.values())]
        rightness = [problem.correct[problem.answer == answer].mean() for answer in winners]
        outcomes.append(np.mean(rightness) if winners else 0.0)
    return float(np.mean(outcomes))


def best_by_hand(problem: Answers, k: int) -> float:
    """The mean over all k-subsets and all orders of the samples: the highest score wins, the first of equals."""
    scores = np.nan_to_num(problem.score, nan=-np.inf)
    outcomes = [
        problem.correct[max(order[:k], key=lambda sample: scores[sample])] for order in permutations(range(problem.n))
    ]
    return float(np.mean(outcomes))


@st.composite
def problems(draw: st.DrawFn, largest: int = 9, scored: bool = False) -> Answers:
    """One problem; equal answers have equal verdicts, some samples no answer; scores are whole, so that ties occur."""
    n = draw(st.integers(1, largest))
    answer = np.array(draw(st.lists(st.integers(NO_ANSWER, 3), min_size=n, max_size=n)))
    correct_answers = draw(st.sets(st.integers(0, 3), max_size=2))
    score = np.array(draw(st.lists(st.integers(0, 4), min_size=n, max_size=n)), dtype=float) if scored else None
    return Answers(answer, np.isin(answer, sorted(correct_answers)), score)
