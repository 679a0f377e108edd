"""Majority and reward-weighted votes over k of n samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.coverage.bands import Floats, Ints
from engine.selection.answers import NO_ANSWER, Answers, common_ks
from engine.selection.exact import LARGEST_N, exact_majority

# Exact counting is used when the sum over problems of classes times largest k is below: 0.1 to 0.7 s.
EXACT_WORK = 10_000
# Classes whose chances to win add up to less are left out of random draws: far below the error of the draws.
_NEGLIGIBLE = 1e-3
# Above this k a problem whose vote is still open gets a quarter of the subsets: there are few such problems, and
# drawing for them would take as long as for all others.
_MANY = 300
# At most so many positions are shuffled and kept (160 MB): above 400,000 samples a problem gets fewer subsets.
_ORDER_CELLS = 40_000_000
# Chernoff's bound is tried with this s over the mean weight, and with each time twice as much: small ones tell close
# rivals apart, large ones rare answers.
_FIRST_SLOPE, _SLOPES = 0.25, 5


@dataclass(frozen=True, slots=True)
class Votes:
    """Arrays of shape (problems, ks). right: the chance that the vote is right, NaN where a problem has fewer than k
    samples. exact: whether that is exact (or within 1e-3, where any other winner is that unlikely); where it is not,
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
    right: Floats


def majority_votes(
    problems: Sequence[Answers], ks: npt.ArrayLike | None = None, *, draws: int = 100, seed: int = 0
) -> Votes:
    """The most frequent answer among k samples, ties broken at random.

    Exact (exact_majority) when the problems are small, at k = 1, 2 and n, and where one answer is so frequent that no
    other can win; else by ``draws`` random subsets per problem and k, without replacement, as in the paper (100);
    a quarter of them where k > 300.
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
    return _Ballot(sample, weight, sizes, sums[order], right)


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
    if draws < 2:
        raise ValueError(f"votes need at least 2 draws to tell their error, got {draws}")
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
            rows = max(2, min(draws, _ORDER_CELLS // n))
            orders[n] = common.permuted(np.tile(np.arange(n, dtype=np.int32), (rows, 1)), axis=1)
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
    drawn = np.array(open_ks, dtype=np.int64)
    many = ks[drawn] > _MANY
    for columns, fewer in ((drawn[~many], 1), (drawn[many], 4)):
        if columns.size:
            some = orders[: max(2, len(orders) // fewer)]
            shares = _shares(ballot, ks[columns], rivals[columns], some, random)
            right[columns], exact[columns] = shares.mean(axis=0), False
            error[columns] = shares.std(axis=0, ddof=1) / np.sqrt(len(shares))
    return right, exact, error


def _rivals(ballot: _Ballot, ks: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """How many of the leading classes can win at each k with more than a negligible chance, and whether it is certain
    that the first one wins (or that there is none).

    Chernoff's bound: another class's sum over k samples reaches the leader's with a chance of at most M^k, where M is
    the mean over all n samples of exp(s w), w a sample's weight if it is the other's, -w if the leader's, else 0, for
    any s > 0. Drawing without replacement only sharpens it (Hoeffding 1963, theorem 4).
    """
    classes = len(ballot.sums)
    if classes == 0:
        return np.zeros(len(ks), dtype=np.int64), np.ones(len(ks), dtype=np.bool_)
    # The last entry is silence, which "wins" where the leader is not drawn.
    log_m = np.zeros(classes + 1)
    voice = ballot.sample[ballot.sample >= 0]
    equal = bool(np.all(ballot.weight == 1))
    # exp(s w) of each sample with an answer (or of any, when all weights are 1), and exp(-s w) of the leader's.
    weight = ballot.weight[:1] if equal else ballot.weight[ballot.sample >= 0]
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        growth = np.exp(_FIRST_SLOPE / (np.abs(ballot.weight).mean() or 1.0) * weight)
        decay = 1 / (growth if equal else growth[voice == 0])
        for _ in range(_SLOPES):
            if equal:
                others, leader = ballot.sizes * (growth[0] - 1), ballot.sizes[0] * (decay[0] - 1)
            else:
                others = np.bincount(voice, growth, minlength=classes) - ballot.sizes
                leader = decay.sum() - ballot.sizes[0]
            log_m = np.fmin(log_m, np.log1p((np.append(others, 0.0) + leader) / len(ballot.sample)))
            growth, decay = growth**2, decay**2  # for twice the s
    log_m[0] = 0.0
    if ballot.sums[0] <= 0:
        log_m[-1] = 0.0
    bound = np.exp(np.outer(ks, log_m))
    silence = bound[:, -1] > _NEGLIGIBLE
    # Dropped from the last class on, as long as all dropped ones together stay negligible.
    dropped = np.sum(np.cumsum(bound[:, -2::-1], axis=1) <= _NEGLIGIBLE, axis=1)
    if np.any(ballot.weight < 0):
        # A leader that was not drawn loses to answers with sums below 0.
        dropped[silence] = 0
    rivals = classes - dropped
    return rivals.astype(np.int64), (rivals == 1) & ~(silence & np.any(ballot.sample < 0))


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
    # Whole numbers of votes are exact in float32, which is twice as fast; sums of weights may tie and need float64.
    summed = np.zeros((subsets, classes + 1), np.float32 if np.all(ballot.weight == 1) else np.float64)
    rightness_and_one = np.column_stack([ballot.right[:classes], np.ones(classes)]).astype(np.float32)
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
        tied = (votes == best[:, None]).astype(np.float32)
        won = tied @ rightness_and_one[:rival]
        shares[:, column] = np.where(nobody, 0.0, won[:, 0] / won[:, 1])
    return shares


def _add(table: npt.NDArray[Any], cells: Ints, weight: Floats | None) -> None:
    """Add the weights (1 each without) to the flat positions ``cells`` of ``table``."""
    if cells.size * 4 < table.size:  # few: touching each is cheaper than a whole new table
        # One of the table's own type: another would be converted entry by entry.
        np.add.at(table.reshape(-1), cells.ravel(), table.dtype.type(1) if weight is None else weight.ravel())
    else:
        flat = np.bincount(cells.ravel(), None if weight is None else weight.ravel(), minlength=table.size)
        table += flat.reshape(table.shape).astype(table.dtype, copy=False)
