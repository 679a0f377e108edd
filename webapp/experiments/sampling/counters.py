"""Per-problem counters of several experiments, read in one query: every curve and comparison starts from these."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.coverage import Curve
from jobs.kinds.sampling.curve import measured_curve, tries_of
from jobs.kinds.sampling.models import Problem
from jobs.kinds.sampling.stopping import settled
from jobs.models import Experiment

Ints = npt.NDArray[np.int64]
_COLUMNS = (
    "experiment_id", "index", "uid", "n", "c", "drawn", "tokens", "prompt_tokens", "extra_n", "extra_c",
    "first_correct",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Counters:
    """Arrays over the problems of one experiment, in their order.

    n and c leave out extra draws: who got those was decided by looking at c, so that with them every estimate of
    coverage would be biased. Counts and fitted laws use all_n and all_c.
    """

    index: Ints
    uid: tuple[str, ...]
    # Where drawing a problem stops when it is solved: samples of every problem that are graded or not needed.
    settled: int | None
    n: Ints  # graded samples
    c: Ints  # correct ones
    drawn: Ints
    tokens: Ints  # of all samples drawn
    prompt_tokens: Ints  # counted by a hosted model's service
    tries: Ints  # samples up to the first correct one, where drawing stops at it; else 0
    all_n: Ints  # graded samples, extra draws included
    all_c: Ints

    @property
    def stops(self) -> bool:
        """Whether drawing a problem stopped when it was solved: then n depends on c."""
        return self.settled is not None

    @property
    def reach(self) -> int:
        """The largest k at which every problem takes part; 0 without graded samples."""
        if not self.n.size:
            return 0
        return int(self.n.min()) if self.settled is None else self.settled

    @property
    def solved(self) -> int:
        """Problems with a correct sample, whoever drew it."""
        return int((self.all_c > 0).sum())

    @property
    def is_even(self) -> bool:
        """Whether all problems have equally many graded samples."""
        return bool(self.n.size) and int(self.n.min()) == int(self.n.max())

    def curve(self, ks: npt.ArrayLike | None = None) -> Curve:
        """Measured coverage at ``ks``, or at log-spaced k up to the reach."""
        return measured_curve(self.n, self.c, self.tries, self.settled, ks)

    def only(self, uids: Collection[str]) -> Counters:
        """The problems whose ids are among ``uids``."""
        keep = np.array([uid in uids for uid in self.uid], dtype=bool)
        kept = tuple(uid for uid, stays in zip(self.uid, keep, strict=True) if stays)
        columns = (self.n, self.c, self.drawn, self.tokens, self.prompt_tokens, self.tries, self.all_n, self.all_c)
        return Counters(self.index[keep], kept, self.settled, *(column[keep] for column in columns))


def load_counters(experiments: Sequence[Experiment]) -> dict[int, Counters]:
    """Counters by experiment id. One query, and one more for each experiment that stops when solved."""
    rows = Problem.objects.filter(experiment__in=experiments).order_by("experiment_id", "index").values_list(*_COLUMNS)
    of: dict[int, list[tuple[Any, ...]]] = {experiment.pk: [] for experiment in experiments}
    for experiment_id, *values in rows:
        of[experiment_id].append(tuple(values))
    return {experiment.pk: _counters(of[experiment.pk], settled(experiment)) for experiment in experiments}


def _counters(rows: Sequence[tuple[Any, ...]], known: int | None) -> Counters:
    index, uid, *counts, first = zip(*rows, strict=True) if rows else ((),) * (len(_COLUMNS) - 1)
    n, c, drawn, tokens, prompt_tokens, extra_n, extra_c = map(_column, counts)
    even = (n - extra_n, c - extra_c, drawn, tokens, prompt_tokens, tries_of(first))
    return Counters(_column(index), tuple(uid), known, *even, n, c)


def _column(values: Sequence[int]) -> Ints:
    return np.fromiter(values, dtype=np.int64, count=len(values))
