"""When an experiment will begin and be done, from the measured rate of shards. Pure functions."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True)
class Pace:
    """What one attempt of a shard did so far."""

    units: int  # finished in this attempt; those found from earlier attempts do not count
    seconds: float
    running: bool


@dataclass(frozen=True, slots=True)
class StagePace:
    remaining: int  # units
    paces: Sequence[Pace]


def stage_rate(paces: Iterable[Pace]) -> float:
    """Units per second of a stage now: running shards at their own rate, or the stage's mean rate until they report.

    When none runs, one shard at the mean rate is assumed to run next.
    """
    known = [pace for pace in paces if pace.units > 0 and pace.seconds > 0]
    if not known:
        return 0.0
    mean = sum(pace.units for pace in known) / sum(pace.seconds for pace in known)
    current = [pace for pace in known if pace.running]
    silent = sum(1 for pace in paces if pace.running) - len(current)
    rate = sum(pace.units / pace.seconds for pace in current) + silent * mean
    return rate or mean


def eta_seconds(stages: Iterable[StagePace]) -> float | None:
    """Seconds until the slowest stage is done; None as long as no unfinished stage has a measured rate.

    Stages overlap (grading runs behind generation), so the longest counts, not the sum.
    """
    times = [
        stage.remaining / rate for stage in stages if stage.remaining > 0 and (rate := stage_rate(stage.paces)) > 0
    ]
    return max(times, default=None)


def starts(free_in: Iterable[float | None], lengths: Iterable[float | None]) -> list[float | None]:
    """Seconds until each waiting experiment gets its first worker; None where that is not known.

    ``free_in``: of each worker, the seconds until it takes something new. ``lengths``: of each waiting experiment in
    turn, how long its first shard keeps a worker. None: not known. The soonest free worker takes the next experiment.
    """
    workers = [inf if seconds is None else seconds for seconds in free_in]
    heapq.heapify(workers)
    found: list[float | None] = []
    for length in lengths:
        start = workers[0] if workers else inf
        found.append(None if start == inf else start)
        if workers:
            heapq.heapreplace(workers, start + (inf if length is None else length))
    return found
