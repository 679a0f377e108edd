"""Detection experiments side by side: average precision against the test angle, and a table of all methods."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from django.urls import reverse

from jobs.kinds.detection.models import AngleScore, Prepared, Run
from jobs.kinds.detection.spec import ARCHITECTURES
from jobs.models import Experiment
from webapp.experiments.compare.query import CompareQuery, Line
from webapp.experiments.detection.methods import Method, methods_of
from webapp.experiments.detection.tiles import COMPARISON_TILES
from webapp.experiments.kind_pages import Json, KindComparison

METRICS = {"ap75": "AP75", "ap50": "AP50", "ap": "AP"}
Scores = dict[str, dict[float, list[float]]]  # by metric and angle: one value a seed


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    is_best: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    at: list[tuple[float, list[Cell]]]  # an angle and a cell for each experiment


class DetectionComparison(KindComparison):
    tiles = COMPARISON_TILES

    def context(self, experiments: Sequence[Experiment], lines: Sequence[Line], query: CompareQuery) -> Json:
        methods = _methods(experiments)
        scores = _scores(experiments, methods)
        titles = _titles(method for each in experiments for method in methods[each.pk])
        series = [
            _series(experiment, line, methods[experiment.pk], scores[experiment.pk], titles)
            for experiment, line in zip(experiments, lines, strict=True)
        ]
        return {
            "series": {"runs": series},
            "titles": titles.values(),
            "remarks": _remarks(experiments),
            "table": _table(experiments, scores, titles),
        }


def _methods(experiments: Sequence[Experiment]) -> dict[int, list[Method]]:
    runs: dict[int, list[Run]] = {each.pk: [] for each in experiments}
    for run in Run.objects.filter(experiment__in=experiments).defer("progress"):
        runs[run.experiment_id].append(run)
    return {pk: methods_of(found) for pk, found in runs.items()}


def _titles(methods: Iterable[Method]) -> dict[str, str]:
    """What each method is called here, by key: with its architecture where the experiments have several."""
    found = {method.key: method for method in methods}
    several = len({method.architecture for method in found.values()}) > 1
    return {
        key: f"{method.short}, {ARCHITECTURES[method.architecture]}" if several else method.short
        for key, method in found.items()
    }


def _scores(experiments: Sequence[Experiment], methods: dict[int, list[Method]]) -> dict[int, dict[str, Scores]]:
    """By experiment and method's key."""
    by_run = {(pk, index): method.key for pk, found in methods.items() for method in found for index in method.runs}
    made: dict[int, dict[str, Scores]] = {each.pk: {} for each in experiments}
    rows = AngleScore.objects.filter(experiment__in=experiments).order_by("run__index", "angle")
    for pk, run, angle, *values in rows.values_list("experiment_id", "run__index", "angle", *METRICS):
        scores = made[pk].setdefault(by_run[pk, run], {metric: {} for metric in METRICS})
        for metric, value in zip(METRICS, values, strict=True):
            if value is not None:
                scores[metric].setdefault(angle, []).append(value)
    return made


def _series(
    experiment: Experiment, line: Line, methods: Sequence[Method], scores: dict[str, Scores], titles: dict[str, str]
) -> Json:
    return {
        "code": str(experiment.code),
        "name": experiment.name,
        "url": reverse("experiment", args=[experiment.code]),
        "status": experiment.status,
        "slot": line.slot,
        "dash": line.dash,
        "methods": [
            {
                "title": titles[method.key],
                "ceiling": method.is_ceiling,
                "rule": method.rule,
                "gated": method.delta is not None,
                **{metric: _points(scores[method.key][metric]) for metric in METRICS},
            }
            for method in methods
            if method.key in scores
        ],
    }


def _points(by_angle: dict[float, list[float]]) -> list[dict[str, Any]]:
    return [
        {
            "angle": angle,
            "mean": round(fmean(values), 5),
            "sd": round(stdev(values), 5) if len(values) > 1 else None,
            "n": len(values),
        }
        for angle, values in sorted(by_angle.items())
    ]


def _table(
    experiments: Sequence[Experiment],
    scores: dict[int, dict[str, Scores]],
    titles: dict[str, str],
) -> list[Row]:
    """AP75 of every method at the first and the last angle that the experiments share."""
    angles = [set(each.spec.get("angles", [])) for each in experiments]
    shared = sorted(set.intersection(*angles)) if angles else []
    ends = list(dict.fromkeys([*shared[:1], *shared[-1:]]))
    rows = []
    for key, title in titles.items():
        kept = [scores[each.pk].get(key) for each in experiments]
        by_angle = [(angle, [each["ap75"].get(angle, []) if each else [] for each in kept]) for angle in ends]
        if any(any(found) for _, found in by_angle):
            rows.append(Row(title, [(angle, _cells(found)) for angle, found in by_angle]))
    return rows


def _cells(found: Sequence[list[float]]) -> list[Cell]:
    means = [fmean(values) for values in found if values]
    best = max(means) if len(means) > 1 else None
    return [_cell(values, best) for values in found]


def _cell(values: list[float], best: float | None) -> Cell:
    if not values:
        return Cell("–")
    note = f"± {100 * stdev(values):.1f}" if len(values) > 1 else ""
    return Cell(f"{100 * fmean(values):.1f}", fmean(values) == best, note)


def _remarks(experiments: Sequence[Experiment]) -> list[dict[str, str]]:
    """What makes a comparison doubtful, in sentences."""
    found = []
    kept = dict(Prepared.objects.filter(experiment__in=experiments).values_list("experiment_id", "values__fingerprint"))
    if len({kept[each.pk] for each in experiments if each.pk in kept}) > 1:
        found.append("The experiments use different images, so their scores differ for that alone.")
    for each in experiments:
        if not each.has_ended:
            found.append(f"{each.name} is still running: seeds and angles may be missing.")
    sizes = {(each.spec.get("image_size"), each.spec.get("backbone")) for each in experiments}
    if len(sizes) > 1:
        found.append("Backbone or image size differ: a difference may be theirs and not the label rule's.")
    return [{"text": text} for text in found]


COMPARISON = DetectionComparison()
