"""Coverage curves from counters, kept in the cache until the experiment changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.core.cache import cache

from engine.serial import as_json
from jobs.models import Experiment
from webapp.experiments.sampling.counters import Counters

Json = dict[str, Any]
KEPT_SECONDS = 7 * 86_400
RECENT_SECONDS = 15
LONGEST_SECONDS = 60  # a request that makes a value and dies blocks the others no longer
_VERSION = 2  # raise it when what is kept changes its shape or meaning


def cache_key(name: str, experiment: Experiment) -> str:
    """Every change of an experiment's rows raises ``last_seq``, so a kept value never has to be thrown away."""
    return f"sampling:{_VERSION}:{name}:{experiment.pk}:{experiment.last_seq}"


def cached(name: str, experiment: Experiment, make: Callable[[], Json]) -> Json:
    """``make()``, or what it gave the last time for the experiment as it is now.

    Counting the answers of millions of samples takes seconds, so many readers of one page cause it once: the others
    wait for the first. While an experiment runs it changes all the time; then a value of the last RECENT_SECONDS does.
    """
    key, recent = cache_key(name, experiment), f"sampling:{_VERSION}:{name}:{experiment.pk}:recent"
    value = _kept(key, recent, experiment)
    if value is not None:
        return value
    lock = f"{key}:made"
    if not cache.add(lock, True, LONGEST_SECONDS):
        value = _wait_for(key, lock)
        if value is not None:
            return value
    try:
        value = make()
        cache.set(key, value, KEPT_SECONDS)
        cache.set(recent, value, RECENT_SECONDS)
    finally:
        cache.delete(lock)
    return value


def _kept(key: str, recent: str, experiment: Experiment) -> Json | None:
    value: Json | None = cache.get(key)
    if value is None and not experiment.has_ended:
        value = cache.get(recent)
    return value


def _wait_for(key: str, lock: str) -> Json | None:
    """What another request is making; None when it failed or takes too long."""
    until = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < until and cache.get(lock):
        time.sleep(0.1)
    value: Json | None = cache.get(key)
    return value


def curves(experiments: Sequence[Experiment], counters: Mapping[int, Counters]) -> dict[int, Json]:
    """Each experiment's curve as JSON, by experiment id: one question to the cache for all."""
    keys = {cache_key("curve", experiment): experiment.pk for experiment in experiments}
    kept = cache.get_many(keys)
    fresh = {key: curve_json(counters[pk]) for key, pk in keys.items() if key not in kept}
    if fresh:
        cache.set_many(fresh, KEPT_SECONDS)
    return {pk: (kept | fresh)[key] for key, pk in keys.items()}


def curve_json(counters: Counters) -> Json:
    """{"k", "coverage", "lo", "hi", "half"}: lists of one length, empty without graded samples; half: least_k(1/2)."""
    curve = counters.curve()
    columns = {name: as_json(getattr(curve, name)) for name in ("k", "coverage", "lo", "hi")}
    return columns | {"half": least_k(counters, 0.5)}


def at(counters: Counters, ks: Sequence[int]) -> list[tuple[float, float, float] | None]:
    """Coverage at each k and its band; None where some problem has fewer graded samples."""
    curve = counters.curve(list(ks))
    points = zip(curve.coverage.tolist(), curve.lo.tolist(), curve.hi.tolist(), strict=True)
    return [point if k <= counters.reach else None for k, point in zip(ks, points, strict=True)]


def least_k(counters: Counters, coverage: float) -> int | None:
    """The smallest k at which coverage reaches the given value; None when it does not up to the curve's end."""
    low, high = 1, counters.reach
    if high < 1 or _mean(counters, high) < coverage:
        return None
    while low < high:  # coverage rises with k
        middle = (low + high) // 2
        low, high = (low, middle) if _mean(counters, middle) >= coverage else (middle + 1, high)
    return low


def _mean(counters: Counters, k: int) -> float:
    return float(counters.curve([k]).coverage[0])
