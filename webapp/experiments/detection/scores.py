"""The Curves tab: one method at one test angle in detail, averaged over its seeds.

Precision against recall, average precision by class and by size, and who is taken for whom.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

from django.http import QueryDict
from django.utils.http import urlencode

from jobs.kinds.detection.models import AngleScore
from jobs.models import Experiment
from webapp.experiments.detection.gallery import number
from webapp.experiments.detection.methods import Method

MOST_CLASSES = 30  # in the confusion matrix; those with most objects
METRICS = ("ap", "ap50", "ap75")
SIZES = {
    "small": "Small, under 32 × 32 px",
    "medium": "Medium, up to 96 × 96 px",
    "large": "Large",
}


@dataclass(frozen=True, slots=True)
class ScoreFilters:
    method: str = ""  # a method's key; empty: the first that has scores
    angle: float | None = None  # None: the first angle it was tested at
    iou: str = "50"  # of the curves: "50" or "75"
    beside: str = ""  # a method's key: its mean curve is drawn beside

    @classmethod
    def read(cls, query: QueryDict, methods: Sequence[Method]) -> ScoreFilters:
        known = {each.key for each in methods}
        method, beside = query.get("method", ""), query.get("beside", "")
        return cls(
            method=method if method in known else "",
            angle=number(query.get("angle", "")),
            iou="75" if query.get("iou") == "75" else "50",
            beside=beside if beside in known and beside != method else "",
        )

    def url(self, **changes: Any) -> str:
        values = asdict(replace(self, **changes))
        return "?" + urlencode({name: value for name, value in values.items() if value != getattr(_DEFAULT, name)})


_DEFAULT = ScoreFilters()


@dataclass(frozen=True, slots=True)
class ApRow:
    title: str
    values: list[float | None]  # AP, AP50, AP75 in points, means over the seeds


@dataclass(frozen=True, slots=True)
class Cell:
    count: int
    step: int  # 0 to 10: share of its row in tenths, for the colour
    title: str
    diagonal: bool


def details(experiment: Experiment, filters: ScoreFilters, methods: Sequence[Method]) -> dict[str, Any]:
    """What the tab shows; "chosen" is None while nothing was tested."""
    tested = sorted(
        AngleScore.objects.filter(experiment=experiment).values_list("run__index", "angle").distinct().order_by()
    )
    angles_of: dict[str, set[float]] = {}
    for method in methods:
        angles_of[method.key] = {angle for run, angle in tested if run in method.runs}
    offered = [method for method in methods if angles_of[method.key]]
    if not offered:
        return {"chosen": None}
    chosen = next((each for each in offered if each.key == filters.method), offered[0])
    angles = sorted(angles_of[chosen.key])
    angle = filters.angle if filters.angle in angles else angles[0]
    found = _details(experiment, chosen, angle)
    now = replace(filters, method=chosen.key, angle=angle)
    part = "curves75" if filters.iou == "75" else "curves"
    curves = mean_curves(each.get(part, {}) for each in found)
    other = next((each for each in offered if each.key == filters.beside and each is not chosen), None)
    beside = mean_curves(each.get(part, {}) for each in _details(experiment, other, angle)) if other else {}
    return {
        "chosen": chosen,
        "offered": offered,
        "angle": angle,
        "angles": angles,
        "seeds": len(found),
        "exact": all(each.get("exact") for each in found),
        "images": found[0].get("images"),
        "objects": found[0].get("objects"),
        "iou": filters.iou,
        "beside": other.key if other else "",
        "iou_urls": {each: now.url(iou=each) for each in ("50", "75")},
        "curves": {
            "method": chosen.title,
            "slot": chosen.slot,
            "angle": angle,
            "iou": f"0.{filters.iou}".rstrip("0"),
            "classes": [{"name": name, "precision": values} for name, values in curves.items()],
            "beside": {
                "title": other.title,
                "slot": other.slot,
                "precision": [round(fmean(each), 4) for each in zip(*beside.values(), strict=True)],
            }
            if other and beside
            else None,
        },
        "classes": ap_rows(found, "classes"),
        "sizes": [ApRow(SIZES.get(row.title, row.title), row.values) for row in ap_rows(found, "sizes")],
        "confusion": confusion(found),
    }


def _details(experiment: Experiment, method: Method, angle: float) -> list[dict[str, Any]]:
    """AngleScore.details of each of the method's runs that were tested at the angle."""
    found = AngleScore.objects.filter(experiment=experiment, run__index__in=method.runs, angle=angle)
    return list(found.order_by("run__index").values_list("details", flat=True))


def mean_curves(found: Iterable[Mapping[str, Sequence[float]]]) -> dict[str, list[float]]:
    """Precision at each recall by class, the mean over the seeds that have the class."""
    rows: dict[str, list[Sequence[float]]] = {}
    for curves in found:
        for name, values in curves.items():
            rows.setdefault(name, []).append(values)
    return {name: [round(fmean(each), 4) for each in zip(*values, strict=True)] for name, values in rows.items()}


def ap_rows(found: Sequence[Mapping[str, Any]], part: str) -> list[ApRow]:
    """Average precisions in points by class or size; None where no seed has anything to find."""
    names = list(dict.fromkeys(name for each in found for name in each.get(part, {})))
    rows = []
    for name in names:
        values: list[float | None] = []
        for column in range(len(METRICS)):
            known = [each[part][name][column] for each in found if name in each.get(part, {})]
            known = [value for value in known if value is not None]
            values.append(100 * fmean(known) if known else None)
        rows.append(ApRow(name, values))
    return rows


def confusion(found: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The matrix summed over seeds: rows true, columns found, background last. None where no detector kept one."""
    matrices = [each["confusion"] for each in found if each.get("confusion")]
    if not matrices:
        return None
    names = [*found[0].get("classes", {}), "background"]
    size = len(names)
    total = [[sum(matrix[row][column] for matrix in matrices) for column in range(size)] for row in range(size)]
    kept = _most_common(total, size)
    rows = [
        {"name": names[row], "sum": sum(total[row]), "cells": [_cell(total, row, column, names) for column in kept]}
        for row in kept
    ]
    return {"names": [names[each] for each in kept], "rows": rows, "left_out": size - len(kept)}


def _most_common(total: Sequence[Sequence[int]], size: int) -> list[int]:
    """Indices of the classes with most objects, in their own order, and the background."""
    classes = sorted(range(size - 1), key=lambda row: -sum(total[row]))[:MOST_CLASSES]
    return [*sorted(classes), size - 1]


def _cell(total: Sequence[Sequence[int]], row: int, column: int, names: Sequence[str]) -> Cell:
    whole = sum(total[row])
    share = total[row][column] / whole if whole else 0.0
    words = f"{names[row]} found as {names[column]}: {total[row][column]:,}, {share:.0%} of the row"
    return Cell(total[row][column], round(10 * share), words, row == column)
