from __future__ import annotations

import json

import numpy as np
import pytest

from engine.coverage import coverage_curve
from engine.selection import Answers, mean_log_probability, selection_curves, self_certainty, vote_bars
from engine.serial import as_json
from tests.engine.shared import shared_data


def test_real_rewards_on_math() -> None:
    """100 MATH problems x 8 samples with a reward model's scores: pass@1 0.91, coverage@8 0.96, best of 8 0.94,
    majority@8 0.93 (shared/data/README.md)."""
    with (shared_data("math-rewards") / "math_cot_100.jsonl").open() as lines:
        rows = [json.loads(line) for line in lines]
    problems = []
    for row in rows:
        _, answer = np.unique([str(each) for each in row["pred"]], return_inverse=True)
        problems.append(Answers(answer, row["score"], np.ravel(row["pred_score"])))
    found = selection_curves(problems, [1, 2, 4, 8])
    at_8 = {curve.selector: float(curve.value[-1]) for curve in found.curves}
    assert found.coverage.coverage[0] == pytest.approx(0.91, abs=0.005)
    assert found.coverage.coverage[-1] == pytest.approx(0.96, abs=0.005)
    assert at_8["best of k"] == pytest.approx(0.94, abs=0.005)
    assert at_8["majority vote"] == pytest.approx(0.93, abs=0.006)
    assert found.curves[0].exact.all() and found.curves[1].exact.all()
    assert vote_bars(problems).right.mean() == pytest.approx(at_8["majority vote"])


def made(seed: int, problems: int, n: int) -> list[Answers]:
    random = np.random.default_rng(seed)
    result = []
    for p in random.beta(0.6, 0.6, problems):
        answer = np.where(random.random(n) < p, 0, random.zipf(1.7, n))
        result.append(Answers(answer, answer == 0, random.standard_normal(n) + (answer == 0)))
    return result


def test_every_curve_lies_below_coverage_and_the_gap_is_the_difference() -> None:
    problems = made(0, 30, 64)
    found = selection_curves(problems)
    expected = coverage_curve([64] * 30, [int(each.correct.sum()) for each in problems], found.coverage.k)
    np.testing.assert_array_equal(found.coverage.coverage, expected.coverage)
    assert [curve.selector for curve in found.curves] == ["majority vote", "best of k", "weighted vote"]
    for curve in found.curves:
        assert np.all(curve.value <= found.coverage.coverage + 3 * curve.draw_error + 1e-9)
        np.testing.assert_allclose(curve.gap, found.coverage.coverage - curve.value)
        assert np.all((curve.lo <= curve.value) & (curve.value <= curve.hi))
        assert curve.value[0] == pytest.approx(found.coverage.coverage[0])
    json.dumps(as_json(found), allow_nan=False)


def test_without_scores_there_is_the_vote_only_and_without_problems_an_empty_curve() -> None:
    assert [each.selector for each in selection_curves([Answers([0, 1], [True, False])]).curves] == ["majority vote"]
    assert selection_curves([]).curves[0].k.size == 0


def test_scores_without_a_reward_model() -> None:
    assert mean_log_probability([-1.0, -3.0]) == -2.0
    assert np.isnan(mean_log_probability([]))
    p = np.array([[0.7, 0.2, 0.1], [1 / 3, 1 / 3, 1 / 3]])
    by_hand = np.mean(np.sum(1 / 3 * np.log((1 / 3) / p), axis=1))
    assert self_certainty(np.log(p)) == pytest.approx(by_hand)
    assert self_certainty(np.log(p[1:])) == pytest.approx(0)
    assert np.isnan(self_certainty(np.empty((0, 5))))
    with pytest.raises(ValueError, match="vocabulary"):
        self_certainty([0.1])
