"""Scene experiments side by side: losses by step, the evaluation as a table, and scenes of one number in one viewer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from jobs.kinds.scenes.models import Collected, GeneratedScene, LossPoint, SceneScore
from jobs.kinds.scenes.spec import TRAINED
from jobs.models import Experiment
from webapp.experiments.compare.query import CompareQuery, Line
from webapp.experiments.kind_pages import Json, KindComparison

SHOWN = 4  # scenes side by side
SUBJECTS = {
    "samples": "scenes",
    "latents": "through the latents",
    "autoencoder": "auto-encoder",
    "nearest": "nearest picture",
    "real": "real against real",
}


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    is_best: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    note: str
    cells: list[Cell]


class ScenesComparison(KindComparison):
    def context(self, experiments: Sequence[Experiment], lines: Sequence[Line], query: CompareQuery) -> Json:
        losses = _losses(experiments)
        return {
            "imports": "parts/scene_head.html",
            "series": {
                "runs": [
                    _series(each, line, losses.get(each.pk, {})) for each, line in zip(experiments, lines, strict=True)
                ]
            },
            "stages": TRAINED.items(),
            "table": _table(experiments),
            "remarks": _remarks(experiments),
            **_scenes(experiments),
        }


def _losses(experiments: Sequence[Experiment]) -> dict[int, dict[str, Json]]:
    """By experiment and stage: {"steps", "values": the sum of the parts}."""
    found: dict[int, dict[str, Json]] = {}
    rows = LossPoint.objects.filter(experiment__in=experiments).order_by("step")
    for pk, stage, step, values in rows.values_list("experiment_id", "run__stage", "step", "values"):
        line = found.setdefault(pk, {}).setdefault(stage, {"steps": [], "values": []})
        line["steps"].append(step)
        line["values"].append(values.get("loss", sum(values.values())))
    return found


def _series(experiment: Experiment, line: Line, losses: dict[str, Json]) -> Json:
    return {
        "code": str(experiment.code),
        "name": experiment.name,
        "url": reverse("experiment", args=[experiment.code]),
        "status": experiment.status,
        "slot": line.slot,
        "dash": line.dash,
        "losses": losses,
    }


def _table(experiments: Sequence[Experiment]) -> list[Row]:
    """A row for each measure and what was measured; of the scenes and the auto-encoder the best is marked."""
    values: dict[tuple[str, str], dict[int, float]] = {}
    details: dict[tuple[str, str], Json] = {}
    for score in SceneScore.objects.filter(experiment__in=experiments).order_by("pk"):
        key = (score.subject, score.metric)
        details[key] = score.details
        if score.value is not None:
            values.setdefault(key, {})[score.experiment_id] = score.value
    order = list(SUBJECTS)
    rows = []
    for subject, metric in sorted(values, key=lambda key: order.index(key[0]) if key[0] in order else len(order)):
        found, told = values[subject, metric], details[subject, metric]
        better = {"high": max, "low": min}.get(str(told.get("better")))
        best = (
            better(found.values())
            if better and len(found) > 1 and subject in ("samples", "latents", "autoencoder")
            else None
        )
        unit = f" {told['unit']}" if told.get("unit") else ""
        cells = [
            Cell(f"{found[each.pk]:.4g}{unit}", found[each.pk] == best) if each.pk in found else Cell("–")
            for each in experiments
        ]
        rows.append(Row(str(told.get("title") or metric), SUBJECTS.get(subject, subject), cells))
    return rows


def _scenes(experiments: Sequence[Experiment]) -> Json:
    """The first scenes of each, and the manifests of the first pair that was drawn."""
    drawn: dict[int, dict[int, GeneratedScene]] = {each.pk: {} for each in experiments}
    found = GeneratedScene.objects.filter(
        experiment__in=experiments, state=GeneratedScene.State.DRAWN, number__lte=SHOWN
    ).order_by("number")
    for scene in found:
        drawn[scene.experiment_id][scene.number] = scene
    numbers = sorted({number for each in drawn.values() for number in each})
    rows = [(number, [_tile(each, drawn[each.pk].get(number)) for each in experiments]) for number in numbers]
    first = numbers[0] if numbers else 0
    both = [(each, drawn[each.pk][first]) for each in experiments if first in drawn[each.pk]][:2]
    pair = [
        {"name": each.name, "url": reverse("experiment-item", args=[each.code, "scene", str(scene.number)])}
        for each, scene in both
    ]
    return {"scene_rows": rows, "pair": pair if len(pair) == 2 else []}


def _tile(experiment: Experiment, scene: GeneratedScene | None) -> Any:
    if scene is None:
        return None
    return {
        "poster": reverse("experiment-picture", args=[experiment.code, "poster", str(scene.number)]),
        "url": f"{reverse('experiment-tab', args=[experiment.code, 'scenes'])}?at={scene.number}",
        "seed": scene.seed,
    }


def _remarks(experiments: Sequence[Experiment]) -> list[Json]:
    """What keeps figures from being compared."""
    prints = dict(
        Collected.objects.filter(experiment__in=experiments).values_list("experiment_id", "values__fingerprint")
    )
    if len(set(prints.values())) > 1:
        text = "They were trained on different data: distances to real pictures are not of the same pictures."
        return [{"text": text}]
    return []


COMPARISON = ScenesComparison()
