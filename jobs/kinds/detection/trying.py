"""One uploaded picture through every run's detector, turned by hand. No Django."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.detection import ModelConfig, detect
from engine.detection.data.images import ImageError, read_image
from jobs.kinds.accelerators import cpu
from jobs.kinds.detection.evaluate import load_model
from jobs.kinds.runner_parts import Hopeless, jpeg_text

if TYPE_CHECKING:
    from jobs.kinds.base import Context

_PICTURE = 768  # pixels, the longer side
_MOST_FOUND = 100


def try_image(job: dict[str, Any], context: Context) -> None:
    """Detect what is missing: ``job["missing"]`` holds [run, angle] in the order of runs."""
    done = job["done"]
    context.progress(done)
    try:
        pixels = read_image(Path(job["path"]))
    except ImageError as error:
        raise Hopeless(f"The picture cannot be read: {error}.") from None
    pictured = set(job["pictured"])
    device = cpu()
    for run, missing in groupby(job["missing"], key=lambda pair: pair[0]):
        model = load_model(ModelConfig(**job["models"][str(run)]["model"]), Path(job["models"][str(run)]["weights"]))
        model = model.to(device)
        for _, angle in missing:
            if context.cancelled:
                return
            canvas, found = detect(model, pixels, angle)
            if angle not in pictured:
                pictured.add(angle)
                jpeg = jpeg_text(canvas, _PICTURE)
                context.row({"is": "tried picture", "angle": angle, "size": canvas.shape[0], "jpeg": jpeg})
            rows = [
                [each.label - 1, round(each.score, 4), *(round(side, 1) for side in each.box)]
                for each in found[:_MOST_FOUND]
            ]
            context.row({"is": "tried", "run": run, "angle": angle, "found": rows})
            done += 1
            context.progress(done)
