"""Per-problem counters of several experiments, read in one query: every curve and comparison starts from these."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jobs.kinds.sampling.models import Problem
from jobs.models import Experiment

Ints = npt.NDArray[np.int64]
_COLUMNS = ("experiment_id", "index", "uid", "n", "c", "drawn", "tokens")


@dataclass(frozen=True, slots=True)
class Counters:
    """Arrays over the problems of one experiment, in their order."""

    index: Ints
    uid: tuple[str, ...]
    n: Ints  # graded samples
    c: Ints  # correct ones
    drawn: Ints
    tokens: Ints  # of all samples drawn

    @property
    def reach(self) -> int:
        """The largest k at which every problem takes part; 0 without graded samples."""
        return int(self.n.min()) if self.n.size else 0

    @property
    def is_even(self) -> bool:
        """Whether all problems have equally many graded samples."""
        return bool(self.n.size) and int(self.n.min()) == int(self.n.max())

    def only(self, uids: Collection[str]) -> Counters:
        """The problems whose ids are among ``uids``."""
        keep = np.array([uid in uids for uid in self.uid], dtype=bool)
        kept = tuple(uid for uid, stays in zip(self.uid, keep, strict=True) if stays)
        return Counters(self.index[keep], kept, self.n[keep], self.c[keep], self.drawn[keep], self.tokens[keep])


def load_counters(experiments: Sequence[Experiment]) -> dict[int, Counters]:
    """Counters by experiment id. One query, however many experiments."""
    rows = Problem.objects.filter(experiment__in=experiments).order_by("experiment_id", "index").values_list(*_COLUMNS)
    of: dict[int, list[tuple[int, str, int, int, int, int]]] = {experiment.pk: [] for experiment in experiments}
    for experiment_id, *values in rows:
        of[experiment_id].append(tuple(values))
    return {experiment_id: _counters(found) for experiment_id, found in of.items()}


def _counters(rows: Sequence[tuple[int, str, int, int, int, int]]) -> Counters:
    index, uid, n, c, drawn, tokens = zip(*rows, strict=True) if rows else ((),) * 6

    def column(values: Iterable[int]) -> Ints:
        return np.fromiter(values, dtype=np.int64, count=len(rows))

    return Counters(column(index), tuple(uid), column(n), column(c), column(drawn), column(tokens))
