"""Data of the Analysis tab's figures: computed when a page asks for it, then kept until the experiment changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.coverage import backtest, coverage_curve, expected_gains, fit_power_law, forecast, log_spaced
from engine.coverage.bands import Floats, Ints, mean_over_problems
from engine.selection import NO_ANSWER, Answers, best_of, scored_curves, selection_curves, vote_bars
from engine.serial import as_json
from jobs.kinds.sampling.rewards import current_scorer
from jobs.kinds.sampling.stopping import stops_when_solved
from jobs.models import Experiment
from webapp.experiments.sampling.answers import (
    answer_classes,
    certain_samples,
    probable_samples,
    rewarded_samples,
    votes_of,
)
from webapp.experiments.sampling.costs import costs_of
from webapp.experiments.sampling.counters import Counters, load_counters
from webapp.experiments.sampling.curves import cached
from webapp.experiments.sampling.measured import measure, time_title
from webapp.prices.table import prices_of

Json = dict[str, Any]
FAR = 10  # times the samples there are: how far forecasts are drawn
MORE = (1, 3, 9)  # times the samples there are: how much more drawing is weighed
POINTS = 60
# Name, title and short title of what a score gives: its best sample, and the vote weighted by it.
BY_REWARD = (("reward", "Highest reward", "reward"), ("weighted", "Vote weighted by reward", "weighted vote"))
BY_CERTAINTY = (
    ("certainty", "Highest self-certainty", "self-certainty"),
    ("certainty-vote", "Vote weighted by self-certainty", "certainty vote"),
)
STOPS = "Problems stop when they are solved, so their samples are no fair draw to select from."


def forecast_data(experiment: Experiment) -> Json:
    """Fitted laws, their forecast, its backtest and what more samples would bring. Reads counters only.

    {"graded", "extra" (samples of extra draws), "reach", "problems", "measured", "forecast", "law", "backtest",
    "gains"}; what cannot be said is None.
    """
    data = cached("forecast", experiment, lambda: _forecast(experiment))
    return data | {"gains": data["gains"] and _priced(data["gains"], experiment)}


def _forecast(experiment: Experiment) -> Json:
    nothing: Json = dict.fromkeys(("measured", "forecast", "law", "backtest", "gains"))
    if stops_when_solved(experiment):
        return {"graded": 0, "reach": 0, "problems": 0, **nothing}
    every = load_counters([experiment])
    counters = every[experiment.pk]
    kept = counters.only([uid for uid, n in zip(counters.uid, counters.n, strict=True) if n])
    extra = int(kept.all_n.sum() - kept.n.sum())
    data: Json = {"graded": int(counters.all_n.sum()), "reach": kept.reach, "problems": len(kept.uid), "extra": extra}
    if not kept.reach:
        return data | nothing
    n, c = kept.n, kept.c
    ks = log_spaced(max(FAR * kept.reach, int(kept.all_n.max())), POINTS)
    # Of all samples: the beta-binomial law is right whatever decided who got how many. Everything else is not.
    found, law = forecast(kept.all_n, kept.all_c, ks), fit_power_law(n, c)
    return data | {
        "measured": as_json(coverage_curve(n, c)),
        "forecast": as_json(found.curve) | {"fit": as_json(found.law)} if found else None,
        "law": as_json(law) | {"k": ks.tolist(), "coverage": as_json(law.coverage(ks))} if law else None,
        "backtest": as_json(backtest(n, c)),
        "gains": _gains(kept),
    }


def _gains(counters: Counters) -> Json | None:
    """Newly solved problems for so many further samples on every problem, as "Draw more" draws them."""
    more = np.array([times * counters.reach for times in MORE])
    gains = expected_gains(counters.all_n, counters.all_c, more, on="all")
    if gains is None:
        return None
    found: Json = as_json(gains)
    return found | {"unsolved": len(counters.uid) - counters.solved}


def _priced(gains: Json, experiment: Experiment) -> Json:
    """With what was measured and the prices of today, which change without the experiment."""
    measured = measure([experiment], load_counters([experiment]))[experiment.pk]
    lines = costs_of(measured, prices_of(experiment.team)).lines
    seconds, dollars = (lines[axis].per_sample if axis in lines else None for axis in ("gpu", "dollars_each"))
    each = gains["per_sample"]
    return gains | {
        "seconds_per_sample": seconds,
        "dollars_per_sample": dollars,
        "per_gpu_hour": [gain / seconds * 3600 for gain in each] if seconds else None,
        "per_dollar": [gain / dollars for gain in each] if dollars else None,
        "time": time_title(measured.device),
    }


def selection_data(experiment: Experiment) -> Json:
    """Selection curves beside coverage, and the vote on each problem."""
    return cached("selection", experiment, lambda: _selection(experiment))


def _selection(experiment: Experiment) -> Json:
    """{"graded", "problems", "measured", "methods", "votes", "scorer", "scored", "why"}; methods are empty and why says
    so without any. Every method has its own k: a reward model that is still at work has not scored all samples."""
    if stops_when_solved(experiment):
        return {"graded": 0, "problems": 0, "measured": None, "methods": [], "votes": [], "why": STOPS}
    counters = load_counters([experiment])[experiment.pk]
    found = answer_classes(experiment)
    indices = [index for index in counters.index.tolist() if index in found]
    problems = [found[index] for index in indices]
    data: Json = {
        "graded": sum(problem.n for problem in problems),
        "problems": len(problems),
        "measured": None,
        "methods": [],
        "votes": _votes(indices, problems),
        "scorer": scorer.name if (scorer := current_scorer(experiment)) else "",
        "scored": scorer.scored if scorer else 0,
        "why": "There are no graded samples yet.",
    }
    if not problems:
        return data
    chosen = selection_curves(problems)
    ks = chosen.coverage.k
    has_answers = any((problem.answer != NO_ANSWER).any() for problem in problems)
    methods = []
    if has_answers:
        vote = chosen.curves[0]
        methods.append(_method(("majority", "Majority vote", "majority"), ks, vote.value, vote.lo, vote.hi))
    methods += _by_score(rewarded_samples(experiment), indices, BY_REWARD, with_vote=has_answers)
    probable = probable_samples(experiment)
    if probable is not None:
        methods.append(_best_of([probable[index] for index in indices], ks))
    methods += _by_score(certain_samples(experiment), indices, BY_CERTAINTY, with_vote=has_answers)
    why = "No answer was extracted from any sample, and neither rewards nor log-probabilities are known."
    return data | {"measured": as_json(chosen.coverage), "methods": methods, "why": "" if methods else why}


Name = tuple[str, str, str]


def _by_score(
    found: dict[int, Answers] | None, indices: Sequence[int], names: tuple[Name, Name], *, with_vote: bool
) -> list[Json]:
    """The two methods of a score, up to the k that it is known for in every problem; none where that is nothing."""
    if found is None or any(index not in found for index in indices):
        return []
    best, vote = scored_curves([found[index] for index in indices])
    methods = [
        _method(name, each.k, each.value, each.lo, each.hi) for name, each in zip(names, (best, vote), strict=True)
    ]
    return methods if with_vote else methods[:1]


def _best_of(problems: Sequence[Answers], ks: Ints) -> Json:
    """The sample with the highest mean log-probability, exact."""
    n = np.array([problem.n for problem in problems])
    value, lo, hi, _ = mean_over_problems(best_of(problems, ks), np.ones_like(n), n[:, None] / ks)
    return _method(("logprob", "Highest mean log-probability", "log-probability"), ks, value, lo, hi)


def _method(name: Name, ks: Ints, value: Floats, lo: Floats, hi: Floats) -> Json:
    words = dict(zip(("name", "title", "short"), name, strict=True))
    return words | {"k": ks.tolist(), **as_json({"coverage": value, "lo": lo, "hi": hi})}


def _votes(indices: Sequence[int], problems: Sequence[Answers]) -> list[list[int | bool | None]]:
    """[problem, graded, correct, whether the most frequent answer is right, its votes]; None without any answer.
    Empty where no problem has an answer to vote on: proofs, programs, results without answers."""
    if not any(votes_of(problem) for problem in problems):
        return []
    bars = vote_bars(problems)
    return [
        [index, problem.n, int(problem.correct.sum()), bool(right) if votes else None, votes]
        for index, problem, right in zip(indices, problems, bars.vote_is_right, strict=True)
        for votes in [votes_of(problem)]
    ]
