"""Data of the Analysis tab's figures: computed when a page asks for it, then kept until the experiment changes."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.coverage import backtest, coverage_curve, expected_gains, fit_power_law, forecast, log_spaced
from engine.serial import as_json
from jobs.models import Experiment
from webapp.experiments.sampling.answers import Classes, answer_classes
from webapp.experiments.sampling.costs import costs_of
from webapp.experiments.sampling.counters import Counters, load_counters
from webapp.experiments.sampling.curves import cached
from webapp.experiments.sampling.measured import Measured, measure

Json = dict[str, Any]
FAR = 10  # times the samples there are: how far forecasts are drawn
MORE = (1, 3, 9)  # times the samples there are: how much more drawing is weighed
POINTS = 60


def forecast_data(experiment: Experiment) -> Json:
    """Fitted laws, their forecast, its backtest and what more samples would bring. Reads counters only.

    {"graded", "reach", "problems", "measured", "forecast", "law", "backtest", "gains"}; what cannot be said is None.
    """
    return cached("forecast", experiment, lambda: _forecast(experiment))


def _forecast(experiment: Experiment) -> Json:
    every = load_counters([experiment])
    counters = every[experiment.pk]
    kept = counters.only([uid for uid, n in zip(counters.uid, counters.n, strict=True) if n])
    data: Json = {"graded": int(counters.n.sum()), "reach": kept.reach, "problems": len(kept.uid)}
    if not kept.reach:
        return data | {"measured": None, "forecast": None, "law": None, "backtest": None, "gains": None}
    n, c = kept.n, kept.c
    ks = log_spaced(FAR * kept.reach, POINTS)
    found, law = forecast(n, c, ks), fit_power_law(n, c)
    return data | {
        "measured": as_json(coverage_curve(n, c)),
        "forecast": as_json(found.curve) | {"fit": as_json(found.law)} if found else None,
        "law": as_json(law) | {"k": ks.tolist(), "coverage": as_json(law.coverage(ks))} if law else None,
        "backtest": as_json(backtest(n, c)),
        "gains": _gains(kept, measure([experiment], every)[experiment.pk]),
    }


def _gains(counters: Counters, measured: Measured) -> Json | None:
    """Newly solved problems for so many further samples on every problem, as "Draw more" draws them."""
    more = np.array([times * counters.reach for times in MORE])
    lines = costs_of(measured).lines
    seconds, dollars = (lines[axis].per_sample if axis in lines else None for axis in ("gpu", "dollars_each"))
    gains = expected_gains(
        counters.n, counters.c, more, on="all", dollars_per_sample=dollars, gpu_seconds_per_sample=seconds
    )
    if gains is None:
        return None
    unsolved = int((counters.c == 0).sum())
    found: Json = as_json(gains)
    return found | {"unsolved": unsolved, "seconds_per_sample": seconds, "dollars_per_sample": dollars}


def selection_data(experiment: Experiment) -> Json:
    """Selection curves beside coverage, and the vote on each problem."""
    return cached("selection", experiment, lambda: _selection(experiment))


def _selection(experiment: Experiment) -> Json:
    counters = load_counters([experiment])[experiment.pk]
    classes = answer_classes(experiment)
    votes = [
        _vote(int(index), int(n), int(c), classes.get(int(index)))
        for index, n, c in zip(counters.index, counters.n, counters.c, strict=True)
        if n
    ]
    data: Json = {"graded": int(counters.n.sum()), "problems": len(votes), "votes": votes, "methods": []}
    return data


def _vote(index: int, n: int, c: int, classes: Classes | None) -> list[int | bool | None]:
    """[problem, graded, correct, whether the most frequent answer is right, its votes]; None without any answer."""
    if classes is None or not classes.votes.size:
        return [index, n, c, None, 0]
    return [index, n, c, bool(classes.is_right[0]), int(classes.votes[0])]
