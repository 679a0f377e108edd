"""What the page asks for piece by piece: too large for the live state, JSON-able."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from jobs.kinds.detection.models import AngleScore, Epoch, Picture, Prediction
from jobs.models import Experiment


def score_details(experiment: Experiment, run: int, angle: float) -> dict[str, Any] | None:
    """AngleScore.details of a run (by index) at an angle with "ap", "ap50", "ap75"; None where there is no score."""
    score = AngleScore.objects.filter(experiment=experiment, run__index=run, angle=angle).first()
    if score is None:
        return None
    return {"ap": score.ap, "ap50": score.ap50, "ap75": score.ap75, **score.details}


def epoch_details(experiment: Experiment, run: int) -> list[dict[str, Any]]:
    """All epochs of a run with their gates by angle and losses by step: Epoch.values with "epoch"."""
    found = Epoch.objects.filter(experiment=experiment, run__index=run).order_by("epoch")
    return [{"epoch": row.epoch, **row.values} for row in found]


def predictions(
    experiment: Experiment, run: int, angle: float, *, chosen: str = "", offset: int = 0, limit: int = 24
) -> dict[str, Any]:
    """{"total", "items": [{"image", "file", "badness", "chosen", "picture": code of the Picture, "size", "found",
    "truth"}]}, worst first; ``chosen``: only "worst" or "random"."""
    found = Prediction.objects.filter(experiment=experiment, run__index=run, angle=angle)
    if chosen:
        found = found.filter(chosen=chosen)
    rows = found.select_related("picture").defer("picture__jpeg").order_by("-badness", "image")
    return {
        "total": found.count(),
        "items": [
            {
                "image": row.image,
                "file": row.file,
                "badness": row.badness,
                "chosen": row.chosen,
                "picture": str(row.picture.code),
                **row.values,
            }
            for row in rows[offset : offset + limit]
        ],
    }


def picture(experiment: Experiment, code: UUID) -> bytes | None:
    """The JPEG of a prediction's picture; None for one of another experiment."""
    row = Picture.objects.filter(experiment=experiment, code=code).first()
    return bytes(row.jpeg) if row else None
