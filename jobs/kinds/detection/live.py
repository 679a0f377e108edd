"""What pages show of a detection experiment: small rows only. Details of a score (classes, curves, confusion) and
predictions are asked for one by one, see jobs.kinds.detection.details."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from django.db.models import F, Q
from django.db.models.functions import Mod

from jobs.kinds.detection.models import AngleScore, Epoch, LabelQuality, Prediction, Prepared, Run, TriedImage
from jobs.kinds.detection.plan import TRY, method_title
from jobs.models import Experiment

MOST_EPOCHS = 60  # of one run in a snapshot; evenly spaced, with the last
MOST_ROWS = 1_500  # epochs of all runs in a snapshot, about 300 kB
_RUN = (
    "index", "architecture", "rule", "delta", "seed", "label", "epochs", "best_epoch", "best_ap", "stopped", "progress",
)  # fmt: skip
_EPOCH = ("loss", "losses", "images_per_second", "learning_rate", "ap", "ap50", "ap75", "best")


def changes(experiment: Experiment, after: int) -> dict[str, Any]:
    """The kind's part of the live state (jobs.live), all of it absolute and changed after ``after``:

    data         Prepared.values, or None when unchanged
    runs         [{index, architecture, rule, delta, seed, label, epochs, best_epoch, best_ap, stopped, progress}]
    epochs       [{run: index, epoch, loss, losses, images_per_second, learning_rate, ap, ap50, ap75, best,
                 gated: {loss: share of positives not regressed}}]; a snapshot has at most 60 of each run
    scores       [{run: index, angle, ap, ap50, ap75, exact}]
    quality      [{rule, angle, share50, share75, mean_iou, objects}]
    tries        [{code, name, index, angles, size, state}]
    predictions  how many there are in all
    total_runs, epochs_planned, angles, classes: for axes and empty places
    """
    runs = {run.pk: run for run in Run.objects.filter(experiment=experiment).order_by("index")}
    prepared = Prepared.objects.filter(experiment=experiment).first()
    return {
        "data": prepared.values if prepared and prepared.seq > after else None,
        "runs": [{name: getattr(run, name) for name in _RUN} for run in runs.values() if after == 0 or run.seq > after],
        "epochs": _epochs(experiment, runs, after),
        "scores": [
            {
                "run": runs[run].index,
                "angle": angle,
                "ap": ap,
                "ap50": ap50,
                "ap75": ap75,
                "exact": exact,
            }
            for run, angle, ap, ap50, ap75, exact in AngleScore.objects.filter(experiment=experiment, seq__gt=after)
            .order_by("run", "angle")
            .values_list("run_id", "angle", "ap", "ap50", "ap75", "details__exact")  # its curves stay in the database
        ],
        "quality": [
            {
                "rule": row.rule,
                "angle": row.angle,
                "share50": row.share50,
                "share75": row.share75,
                "mean_iou": row.mean_iou,
                "objects": row.objects_count,
            }
            for row in LabelQuality.objects.filter(experiment=experiment, seq__gt=after).order_by("pk")
        ],
        "tries": tries(experiment, after),
        "predictions": Prediction.objects.filter(experiment=experiment).count(),
        "total_runs": len(runs),
        "epochs_planned": planned_epochs(experiment),
        "angles": experiment.spec.get("angles", []),
        "classes": (prepared.values if prepared else {}).get("classes", []),
    }


def planned_epochs(experiment: Experiment) -> int:
    return experiment.shards.filter(stage="train").order_by("index").values_list("total", flat=True).first() or 0


def tries(experiment: Experiment, after: int = 0) -> list[dict[str, Any]]:
    shards = experiment.shards.filter(stage=TRY).in_bulk(field_name="pk")
    by_index = {shard.index: shard for shard in shards.values()}
    return [
        {
            "code": str(tried.code),
            "name": tried.name,
            "index": tried.index,
            "angles": tried.angles,
            "size": tried.size,
            "state": by_index[tried.index].status if tried.index in by_index else "queued",
            "reason": by_index[tried.index].reason if tried.index in by_index else "",
        }
        for tried in TriedImage.objects.filter(experiment=experiment).order_by("index")
        if tried.seq > after or (tried.index in by_index and by_index[tried.index].seq > after)
    ]


def _epochs(experiment: Experiment, runs: dict[int, Run], after: int) -> list[dict[str, Any]]:
    found = Epoch.objects.filter(experiment=experiment, seq__gt=after).order_by("run", "epoch")
    stride = 1 if after else _stride([run.epochs for run in runs.values()])
    if stride > 1:  # in the database: a row holds much more than what is shown of it
        found = found.annotate(place=Mod("epoch", stride)).filter(Q(place=0) | Q(epoch=F("run__epochs")))
    rows = []
    for row in found.iterator():
        run = runs[row.run_id]
        shares = {name: _gated(bins) for name, bins in row.values.get("gates", {}).items()}
        values = {name: row.values.get(name) for name in _EPOCH}
        rows.append({"run": run.index, "epoch": row.epoch, **values, "gated": shares})
    return rows


def _stride(epochs: Sequence[int]) -> int:
    """Every how many epochs one is in a snapshot."""
    return max(1, math.ceil(max(epochs, default=0) / MOST_EPOCHS), math.ceil(sum(epochs) / MOST_ROWS))


def _gated(bins: list[list[float]]) -> float | None:
    """The share of positives whose box was not regressed, over all angles."""
    positives = sum(row[2] for row in bins)
    return 1 - sum(row[3] for row in bins) / positives if positives else None


# --- lists ------------------------------------------------------------------------------------------------------------


def summary(experiment: Experiment) -> dict[str, Any]:
    """The list's figure: the best method's AP75 at the largest tested angle up to 30 degrees, the mean over seeds."""
    scores = AngleScore.objects.filter(experiment=experiment, ap75__isnull=False).select_related("run")
    table: dict[tuple[str, str, float | None], dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for score in scores.defer("details"):
        assert score.ap75 is not None
        table[score.run.architecture, score.run.rule, score.run.delta][score.angle].append(score.ap75)
    angles = [angle for angle in experiment.spec.get("angles", []) if angle <= 30]
    at = max(angles, default=0.0)
    ranked = {method: fmean(by_angle[at]) for method, by_angle in table.items() if by_angle.get(at)}
    if not ranked:
        return _before_scores(experiment)
    best = max(ranked, key=lambda method: ranked[method])
    curve = [fmean(values) for _, values in sorted(table[best].items())]
    return {
        "label": f"AP75 at {at:g}°",
        "value": ranked[best],
        "text": f"{ranked[best]:.3f} {method_title(best[1], best[2])}",
        "spark": [round(value, 5) for value in curve],
    }


def _before_scores(experiment: Experiment) -> dict[str, Any]:
    """While nothing is evaluated: the best AP on the validation images; with no training the ellipse's labels."""
    best = max(
        (run.best_ap for run in Run.objects.filter(experiment=experiment) if run.best_ap is not None), default=None
    )
    if best is not None:
        return {"label": "AP so far", "value": best, "text": f"{best:.3f}", "spark": []}
    row = LabelQuality.objects.filter(experiment=experiment, angle__lte=30).order_by("-angle", "-share75").first()
    if row is None:
        return {"label": "AP75", "value": None, "text": "–", "spark": []}
    return {
        "label": f"Labels with IoU ≥ 0.75 at {row.angle:g}°",
        "value": row.share75,
        "text": f"{row.share75:.1%} {method_title(row.rule, None)}",
        "spark": [],
    }
