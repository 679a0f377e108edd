"""Majority and reward-weighted votes over k of n samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.coverage.bands import Floats, Ints
from engine.selection.answers import NO_ANSWER, Answers, common_ks
from engine.selection.exact import LARGEST_N, exact_majority

# Exact counting is used when the sum over problems of classes times largest k is below: about a quarter of a second.
EXACT_WORK = 10_000
# A class whose chance to win is below is left out of random draws: far below the error of the draws themselves.
_NEGLIGIBLE = 1e-4


@dataclass(frozen=True, slots=True)
class Votes:
    """Arrays of shape (problems, ks). right: the chance that the vote is right, NaN where a problem has fewer than k
    samples. exact: whether that is exact (or within 1e-4, where any other winner is that unlikely); where it is not,
    error is the standard error of the random draws."""

    k: Ints
    right: Floats
    exact: npt.NDArray[np.bool_]
    error: Floats


@dataclass(frozen=True, slots=True)
class VoteBars:
    """The paper's bar chart (Brown et al. 2024, Figure 8): per problem, shape (problems,), the share of ``correct``
    samples, and ``right``, the chance that the vote over all samples is right: 1 or 0, between them for a tie."""

    correct: Floats
    right: Floats

    @property
    def vote_is_right(self) -> npt.NDArray[np.bool_]:
        """The bar's colour; a tie counts as right only where most tied answers are."""
        return self.right > 0.5


@dataclass(frozen=True, slots=True)
class _Ballot:
    """The classes of one problem in falling order of weight; ``sample`` maps samples to them, -1 without an answer."""

    sample: Ints
    weight: Floats  # of each sample, shape (n,)
    sizes: Ints
    sums: Floats
    squares: Floats
    right: Floats


def majority_votes(
    problems: Sequence[Answers], ks: npt.ArrayLike | None = None, *, draws: int = 100, seed: int = 0
) -> Votes:
    """The most frequent answer among k samples, ties broken at random.

    Exact (exact_majority) when the problems are small, at k = 1, 2 and n, and where one answer is so frequent that no
    other can win; else by ``draws`` random subsets per problem and k, without replacement, as in the paper (100).
    """
    grid = common_ks(problems, ks)
    ballots = [_ballot(each, np.ones(each.n)) for each in problems]
    largest = [int(min(each.n, grid.max(initial=0))) for each in problems]
    work = sum(len(ballot.sizes) * k for ballot, k in zip(ballots, largest, strict=True))
    if work <= EXACT_WORK and all(each.n <= LARGEST_N for each in problems):
        right = np.full((len(problems), len(grid)), np.nan)
        for row, (ballot, k) in enumerate(zip(ballots, largest, strict=True)):
            if k:
                silent = int(np.sum(ballot.sample < 0))
                chances = exact_majority(ballot.sizes, ballot.right, silent, k)
                right[row, grid <= k] = chances[grid[grid <= k] - 1]
        return Votes(grid, right, np.ones(right.shape, dtype=np.bool_), np.zeros_like(right))
    return _drawn(ballots, grid, draws, seed)


def weighted_votes(
    problems: Sequence[Answers], ks: npt.ArrayLike | None = None, *, draws: int = 100, seed: int = 0
) -> Votes:
    """The answer whose samples' scores have the highest sum among k samples (Brown et al. 2024, section 4.1).

    A sample with the score NaN adds nothing. Exact and drawn values as in majority_votes. Raises ValueError when a
    problem has no scores.
    """
    if any(each.score is None for each in problems):
        raise ValueError("weighted_votes needs a score for each sample")
    ballots = [_ballot(each, np.nan_to_num(each.score, nan=0.0)) for each in problems]  # type: ignore[arg-type]
    return _drawn(ballots, common_ks(problems, ks), draws, seed)


def vote_bars(problems: Sequence[Answers]) -> VoteBars:
    """The majority vote over all of each problem's samples; NaN for a problem without samples."""
    right = np.array([_winner(_ballot(each, np.ones(each.n))) if each.n else np.nan for each in problems])
    correct = np.array([each.correct.mean() if each.n else np.nan for each in problems])
    return VoteBars(correct, right)


def _ballot(problem: Answers, weight: Floats) -> _Ballot:
    heard = problem.answer != NO_ANSWER
    classes = _compact(problem.answer[heard])
    sums = np.bincount(classes, weight[heard]).astype(np.float64)
    order = np.argsort(-sums, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    sample = np.full(problem.n, -1, dtype=np.int64)
    sample[heard] = rank[classes]
    sizes = np.bincount(sample[heard], minlength=len(order))
    # A verifier may judge equal answers differently: choosing the class is then as right as its mean.
    right = np.bincount(sample[heard], problem.correct[heard], minlength=len(order)) / np.maximum(sizes, 1)
    squares = np.bincount(sample[heard], weight[heard] ** 2, minlength=len(order)).astype(np.float64)
    return _Ballot(sample, weight, sizes, sums[order], squares, right)


def _compact(ids: Ints) -> Ints:
    """The ids as 0, 1, ... without gaps."""
    if ids.max(initial=0) > 4 * len(ids):
        return np.unique(ids, return_inverse=True)[1]
    return np.asarray((np.cumsum(np.bincount(ids) > 0) - 1)[ids])  # the same without sorting


def _winner(ballot: _Ballot) -> float:
    """How right the vote over all samples is; 0 without any answer."""
    if not ballot.sums.size:
        return 0.0
    return float(ballot.right[ballot.sums == ballot.sums.max()].mean())


def _drawn(ballots: Sequence[_Ballot], grid: Ints, draws: int, seed: int) -> Votes:
    right = np.full((len(ballots), len(grid)), np.nan)
    exact, error = np.ones(right.shape, dtype=np.bool_), np.zeros_like(right)
    common, *own = np.random.default_rng(seed).spawn(len(ballots) + 1)
    orders: dict[int, Ints] = {}  # by n: mostly one for all problems
    for row, (ballot, random) in enumerate(zip(ballots, own, strict=True)):
        n = len(ballot.sample)
        inside = (grid >= 1) & (grid <= n)
        if not inside.any():
            continue
        if n not in orders:
            orders[n] = common.permuted(np.tile(np.arange(n, dtype=np.int32), (draws, 1)), axis=1)
        right[row, inside], exact[row, inside], error[row, inside] = _vote(ballot, grid[inside], orders[n], random)
    return Votes(grid, right, exact, error)


def _vote(
    ballot: _Ballot, ks: Ints, orders: Ints, random: np.random.Generator
) -> tuple[Floats, npt.NDArray[np.bool_], Floats]:
    """(right, exact, standard error), each of shape (ks,), for one problem."""
    n = len(ballot.sample)
    rivals, certain = _rivals(ballot, ks)
    right, exact, error = np.zeros(len(ks)), np.ones(len(ks), dtype=np.bool_), np.zeros(len(ks))
    equal = bool(np.all(ballot.weight == 1))
    open_ks = []
    for column, k in enumerate(ks):
        if k == n:
            right[column] = _winner(ballot)
        elif k == 1 or (equal and k == 2 and not np.any(ballot.sample < 0)):
            # One vote decides; two that differ tie, and either is as likely as a single sample.
            right[column] = float(ballot.right @ ballot.sizes) / n
        elif certain[column]:
            right[column] = float(ballot.right[0]) if ballot.right.size else 0.0
        else:
            open_ks.append(column)
    if open_ks:
        columns = np.array(open_ks)
        shares = _shares(ballot, ks[columns], rivals[columns], orders, random)
        right[columns] = shares.mean(axis=0)
        exact[columns] = False
        error[columns] = shares.std(axis=0, ddof=1) / np.sqrt(len(shares))
    return right, exact, error


def _rivals(ballot: _Ballot, ks: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """How many of the leading classes can win at each k with more than a negligible chance, and whether it is certain
    that the first one wins (or that there is none).

    Bernstein's inequality for the difference between the leader's sum and another's over k samples: the chance that it
    is not positive is at most exp(-k d^2 / (2 (v + 2 b d / 3))) with its mean d and variance v per sample and the
    largest weight b. Drawing without replacement only sharpens it (Hoeffding 1963, theorem 4).
    """
    classes = len(ballot.sums)
    if classes == 0:
        return np.zeros(len(ks), dtype=np.int64), np.ones(len(ks), dtype=np.bool_)
    n = len(ballot.sample)
    # The last entry is silence, which "wins" where the leader is not drawn.
    gap = (ballot.sums[0] - np.append(ballot.sums, 0.0)) / n
    variance = (ballot.squares[0] + np.append(ballot.squares, 0.0)) / n - gap**2
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = gap**2 / (2 * (variance + 2 * np.abs(ballot.weight).max() * gap / 3))
    rate = np.nan_to_num(rate, nan=0.0)  # all weights 0: every class ties
    rate[0] = 0.0
    if ballot.sums[0] <= 0:
        rate[-1] = 0.0
    able = classes * np.exp(-np.outer(ks, rate)) > _NEGLIGIBLE
    if np.any(ballot.weight < 0):
        # A leader that was not drawn loses to answers with sums below 0.
        able |= able[:, -1:]
    silence = able[:, -1] & np.any(ballot.sample < 0)
    # Classes are in falling order of weight, but not quite of this bound: count up to the last able one.
    rivals = classes - np.argmax(able[:, -2::-1], axis=1)
    return rivals.astype(np.int64), (rivals == 1) & ~silence


def _shares(ballot: _Ballot, ks: Ints, rivals: Ints, orders: Ints, random: np.random.Generator) -> Floats:
    """How right the vote is in each of at least as many random subsets as there are orders, shape (subsets, ks).

    orders: shape (draws, n), shuffled positions, the same for all problems; the problem's samples are shuffled once by
    its own ``random``, which makes its subsets independent of other problems'. Orders are cut into stretches as long as
    the largest k: the first k of a stretch are a random subset, and growing it from k to k keeps the curve smooth.
    """
    draws, n = orders.shape
    longest, classes = int(ks[-1]), int(rivals.max())
    per_order = n // longest
    stretches = orders[: -(-draws // per_order), : per_order * longest].reshape(-1, longest)
    subsets = len(stretches)
    # A class that cannot win, and silence, go to one column beyond the others.
    column_of = np.where((ballot.sample < 0) | (ballot.sample >= classes), classes, ballot.sample)
    shuffled = random.permutation(n)
    cell = column_of[shuffled][stretches] + np.arange(subsets)[:, None] * (classes + 1)
    summed = np.zeros((subsets, classes + 1))
    weight = None if np.all(ballot.weight == 1) else ballot.weight[shuffled][stretches]
    # With positive weights a sum above 0 shows that an answer is there; else its samples are counted.
    counted = None if np.all(ballot.weight > 0) else np.zeros((subsets, classes + 1))
    shares = np.zeros((subsets, len(ks)))
    start = 0
    for column, (k, rival) in enumerate(zip(ks, rivals, strict=True)):
        _add(summed, cell[:, start:k], None if weight is None else weight[:, start:k])
        votes = summed[:, :rival]
        if counted is not None:
            _add(counted, cell[:, start:k], None)
            votes = np.where(counted[:, :rival] > 0, votes, -np.inf)
        start = k
        best = votes.max(axis=1)
        nobody = best == (-np.inf if counted is not None else 0)
        tied = (votes == best[:, None]).astype(np.float64)
        shares[:, column] = np.where(nobody, 0.0, (tied @ ballot.right[:rival]) / tied.sum(axis=1))
    return shares


def _add(table: Floats, cells: Ints, weight: Floats | None) -> None:
    """Add the weights (1 each without) to the flat positions ``cells`` of ``table``."""
    if cells.size * 4 < table.size:  # few: touching each is cheaper than a whole new table
        np.add.at(table.reshape(-1), cells.ravel(), 1.0 if weight is None else weight.ravel())
    else:
        flat = np.bincount(cells.ravel(), None if weight is None else weight.ravel(), minlength=table.size)
        table += flat.reshape(table.shape)
