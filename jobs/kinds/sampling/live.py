"""What pages show of a sampling experiment, from the problems' counters alone: no query reads samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.coverage import Curve, first_success
from engine.serial import as_json
from jobs import metrics
from jobs.kinds.sampling.curve import measured_curve, tries_of
from jobs.kinds.sampling.models import Problem
from jobs.kinds.sampling.plan import samples_planned
from jobs.kinds.sampling.rewards import current_scorer
from jobs.kinds.sampling.spec import ExtraDraw
from jobs.kinds.sampling.speed import TOKENS_PER_SECOND
from jobs.kinds.sampling.stopping import settled
from jobs.models import Experiment

_COUNTERS = ("index", "n", "c", "errors", "timeouts", "drawn", "tokens", "prompt_tokens", "extra_n", "extra_c", "seq")
Counters = dict[str, np.ndarray[Any, np.dtype[np.int64]]]


def changes(experiment: Experiment, after: int) -> dict[str, Any]:
    """The kind's part of the live state (jobs.live). Curve and counts are absolute; problems only those changed.

    Until every problem has k graded samples the problems' n differ by chance and by how hard they are to grade, so
    the curve ends at the smallest n ("complete_to"), where every problem takes part. Where problems stop when they are
    solved ("stops"), it ends where every problem is known; rows of problems then also have their tries (0: not solved).
    Samples of extra draws are left out of it: who got them was decided by looking at c, and with them the estimate
    would be biased.
    """
    counters = _counters(experiment)
    n, c, errors, timeouts, drawn, tokens = (counters[name] for name in _COUNTERS[1:7])
    changed = counters["seq"] > after
    known = settled(experiment)
    stops = known is not None
    curve = _curve(counters, known)
    planned = _planned(experiment, len(n))
    columns = [counters["index"], n, c, errors, *([counters["tries"]] if stops else [])]
    return {
        "problems": np.stack(columns, axis=1)[changed].tolist(),
        "stops": stops,
        "total_problems": len(n),
        "samples": experiment.spec["samples"],
        "planned": sum(planned),
        "extra": _extra(experiment, counters, planned),
        "drawn": int(drawn.sum()),
        "graded": int(n.sum()),
        "scored": scorer.scored if (scorer := current_scorer(experiment)) else 0,  # by the Spec's reward model
        "counts": {
            "correct": int(c.sum()),
            "wrong": int((n - c - errors).sum()),
            "error": int((errors - timeouts).sum()),
            "timeout": int(timeouts.sum()),
            "pending": int((drawn - n).sum()),
        },
        "curve": {
            "k": curve.k.tolist(),
            "coverage": _rounded(curve.coverage),
            "lo": _rounded(curve.lo),
            "hi": _rounded(curve.hi),
            "complete_to": int(curve.k[-1]) if curve.k.size else 0,
        },
        "kpis": {
            **_ends(curve),
            "solved": int((c > 0).sum()),
            # Sampled to the end and still unsolved; fewer samples say little.
            "never_solved": int(((c == 0) & (n >= experiment.spec["samples"])).sum()),
            "first_success": as_json(first_success(counters["tries"], known)) if known else None,
            "tokens": int(tokens.sum()),
            "prompt_tokens": int(counters["prompt_tokens"].sum()),  # counted by an endpoint
            # None where no length is known, as in an import without that column.
            "mean_tokens": float(tokens.sum() / drawn.sum()) if tokens.any() else None,
            "tokens_per_second": tokens_per_second(experiment),
        },
    }


def summary(experiment: Experiment) -> dict[str, Any]:
    """The list's figure: coverage at the largest k that every problem has reached."""
    counters = _counters(experiment)
    curve = _curve(counters, settled(experiment))
    if not curve.k.size:
        return {"label": "Coverage", "value": None, "text": "–", "spark": []}
    value = float(curve.coverage[-1])
    return {
        "label": f"Coverage at {int(curve.k[-1])}",
        "value": value,
        "text": f"{value:.1%}",
        "spark": _rounded(curve.coverage),
    }


def _curve(counters: Counters, known: int | None) -> Curve:
    """From the samples that every problem has, so without extra draws."""
    n, c = counters["n"] - counters["extra_n"], counters["c"] - counters["extra_c"]
    return measured_curve(n, c, counters["tries"], known)


def _planned(experiment: Experiment, problems: int) -> list[int]:
    """Samples of each problem, drawn or not."""
    extra = [ExtraDraw.model_validate(draw).targets for draw in experiment.spec.get("extra", [])]
    return samples_planned(problems, experiment.spec["samples"], extra)


def _extra(experiment: Experiment, counters: Counters, planned: list[int]) -> dict[str, int] | None:
    """What extra draws add to the ``samples`` of every problem; None without any."""
    samples = experiment.spec["samples"]
    beyond = [each for each in planned if each > samples]
    if not beyond:
        return None
    return {
        "problems": len(beyond),
        "most": max(beyond),  # samples of one problem
        "samples": sum(beyond) - samples * len(beyond),
        "graded": int(counters["extra_n"].sum()),
        # Problems that only an extra sample solved.
        "solved": int(((counters["c"] > 0) & (counters["c"] == counters["extra_c"])).sum()),
    }


def tokens_per_second(experiment: Experiment) -> float | None:
    """Of all workers that draw: the mean of the last seconds, after the end that of the whole drawing; None before."""
    if experiment.has_ended:
        means = metrics.means([experiment], TOKENS_PER_SECOND)
        return means.all_workers if means else None
    return metrics.recent_mean(experiment, TOKENS_PER_SECOND)


def _counters(experiment: Experiment) -> Counters:
    """Each counter as an int64 array over problems in order, and their tries."""
    found = Problem.objects.filter(experiment=experiment).order_by("index").values_list(*_COUNTERS, "first_correct")
    rows = list(found)
    table = np.array([row[:-1] for row in rows], dtype=np.int64).reshape(len(rows), len(_COUNTERS))
    return dict(zip(_COUNTERS, table.T, strict=True)) | {"tries": tries_of(row[-1] for row in rows)}


def _ends(curve: Curve) -> dict[str, Any]:
    """Coverage at the curve's two ends with their bands; None while there is no curve."""
    names = ("coverage", "lo", "hi", "pass1", "pass1_lo", "pass1_hi")
    if not curve.k.size:
        return {"coverage_at": 0, **dict.fromkeys(names)}
    values = [float(column[end]) for end in (-1, 0) for column in (curve.coverage, curve.lo, curve.hi)]
    return {"coverage_at": int(curve.k[-1]), **dict(zip(names, values, strict=True))}


def _rounded(values: np.ndarray[Any, np.dtype[np.float64]]) -> list[float]:
    return [round(float(value), 5) for value in values]
