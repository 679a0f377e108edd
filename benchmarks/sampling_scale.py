"""A large sampling experiment: 200 problems x 10,000 samples.

    python -m benchmarks.sampling_scale

Every part is a function that returns rows, listed in PARTS. The samples are made up but shaped like real ones: chances
of success from Beta(0.35, 0.65) (the paper's MATH), wrong answers with a long tail (Zipf), rewards between 0 and 1 that
lean to correct answers.
"""

from __future__ import annotations

import os

# One core is the claim: BLAS threads would only get into each other's way on matrices this small.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import time
from collections.abc import Callable
from statistics import median

import numpy as np

from benchmarks._report import Row, write_report
from engine.cost import Cost, cost_curve, frontier
from engine.coverage import (
    backtest,
    bootstrap_curve,
    compare_curves,
    coverage_curve,
    expected_gains,
    fit_power_law,
    forecast,
)
from engine.selection import Answers, best_of, majority_votes, selection_curves, vote_bars, weighted_votes

PROBLEMS, SAMPLES = 200, 10_000
REPEATS = 5
CASE = f"{PROBLEMS} problems x {SAMPLES:,} samples"


def made_up(seed: int = 0) -> list[Answers]:
    random = np.random.default_rng(seed)
    problems = []
    for chance in random.beta(0.35, 0.65, PROBLEMS):
        correct = random.random(SAMPLES) < chance
        answer = np.where(correct, 0, np.minimum(random.zipf(1.6, SAMPLES), 3000))
        reward = 1 / (1 + np.exp(-random.standard_normal(SAMPLES) - 0.5 * correct))
        problems.append(Answers(answer, correct, reward))
    return problems


def analysis() -> list[Row]:
    """The time of each analysis and of all curves of an experiment's page together, on warm code."""
    problems = made_up()
    n = np.full(PROBLEMS, SAMPLES)
    c = np.array([each.correct.sum() for each in problems])
    rival = np.array([each.correct.sum() for each in made_up(1)])

    def every_curve() -> None:
        curve = coverage_curve(n, c)
        coverage_curve(n, c, over="samples")
        bootstrap_curve(n, c)
        fit_power_law(n, c)
        forecast(n, c)
        frontier([cost_curve("model", curve, Cost("dollars", 0.001, 0.0001), PROBLEMS)])
        selection_curves(problems)
        vote_bars(problems)

    parts: list[tuple[str, Callable[[], object]]] = [
        ("coverage, closed-form band over problems", lambda: coverage_curve(n, c)),
        ("coverage, closed-form band over samples", lambda: coverage_curve(n, c, over="samples")),
        ("coverage, bootstrap band (1,000 resamples)", lambda: bootstrap_curve(n, c)),
        ("coverage at every k up to 10,000", lambda: coverage_curve(n, c, np.arange(1, SAMPLES + 1))),
        ("comparison of two experiments (4,000 sign flips)", lambda: compare_curves(n, c, n, rival)),
        ("power law fit", lambda: fit_power_law(n, c)),
        ("beta-binomial forecast with interval", lambda: forecast(n, c)),
        ("backtest", lambda: backtest(n, c)),
        ("expected gains", lambda: expected_gains(n, c, [1, 10, 100, 1_000, 10_000])),
        ("majority vote", lambda: majority_votes(problems)),
        ("best of k", lambda: best_of(problems)),
        ("reward-weighted vote", lambda: weighted_votes(problems)),
    ]
    whole = "all curves with bands, forecast and selection"
    wall, busy = seconds(every_curve)
    return [
        Row(CASE, whole, "s", wall, goal="< 1"),
        Row(CASE, whole, "CPU s", busy),
        *(Row(CASE, name, "s", seconds(work)[0]) for name, work in parts),
    ]


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """(wall time, processor time of all threads): medians of REPEATS runs after one that warms up."""
    work()
    walls, busy = [], []
    for _ in range(REPEATS):
        start, start_busy = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - start)
        busy.append(time.process_time() - start_busy)
    return median(walls), median(busy)


PARTS: tuple[Callable[[], list[Row]], ...] = (analysis,)


def main() -> None:
    rows = [row for part in PARTS for row in part()]
    write_report(
        "sampling-scale",
        "A large sampling experiment",
        rows,
        packages=["numpy", "scipy"],
        notes=f"Made-up samples, seed 0; median of {REPEATS} runs after one warm-up, on one core. Votes: 100 "
        "random subsets per k, 25 above k = 300.",
    )


if __name__ == "__main__":
    main()
