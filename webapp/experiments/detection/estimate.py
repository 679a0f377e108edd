"""What a detection experiment will take: counted where it can be, measured where an earlier run like it was made."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from jobs.kinds.base import SpecError
from jobs.kinds.detection.checks import data_set, planned_epochs, train_images
from jobs.kinds.detection.models import Epoch
from jobs.kinds.detection.plan import runs
from jobs.kinds.detection.spec import ARCHITECTURES, DOOM, DetectionSpec
from webapp.accounts.models import Team
from webapp.experiments.kind_forms import Estimate
from webapp.experiments.kind_forms import EstimateRow as Row
from webapp.templatetags.experiments import duration, size

MEASURED = "measured"
_EARLIER_EPOCHS = 20
_SIZES = ("backbone", "image_size", "finest_stride")  # what decides how long an image takes, beside the architecture


def estimate(spec: DetectionSpec, team: Team) -> Estimate:
    """Rows for the form. Unknown parts say so instead of guessing."""
    try:
        found = data_set(spec, team)
        epochs = planned_epochs(spec, found)
    except SpecError as error:
        return Estimate(note=str(error))
    if not spec.train:
        return Estimate([Row("Runs", "none")], "The data set is read and the quality of its labels is measured.")
    planned = runs(spec)
    if spec.data == DOOM:
        rows = [Row("Runs", f"{len(planned):,}"), Row("Images and time", "not known yet")]
        return Estimate(rows, "The pictures are drawn when the experiment starts.")
    images = train_images(spec, found) * epochs
    rows = [
        Row("Runs", f"{len(planned):,}"),
        Row("Steps of a run", f"{max(1, images // spec.batch):,}"),
        Row("Images in all", f"{images * len(planned):,}"),
    ]
    seconds, unknown = 0.0, []
    for architecture in spec.architectures:
        speed = measured_speed(spec, architecture)
        if speed is None:
            unknown.append(ARCHITECTURES[architecture])
            continue
        rows.append(Row(ARCHITECTURES[architecture], f"{speed:,.0f} images/s", MEASURED))
        if memory := measured_memory(spec, architecture):
            rows.append(Row("its GPU memory", f"about {size(int(memory))}", MEASURED))
        seconds += images * len(planned) / len(spec.architectures) / speed
    if unknown:
        rows.append(Row("Training time", "not known yet"))
        return Estimate(rows, f"The speed of {' and '.join(unknown)} at this size is known after the first run.")
    rows.append(Row("Training time", f"about {duration(seconds)} on one worker", MEASURED))
    return Estimate(rows, "From earlier runs of this size; without validation and tests.")


def measured_speed(spec: DetectionSpec, architecture: str) -> float | None:
    """Images a second of one worker in earlier epochs of the same network and image size; None without any."""
    speeds = [values["images_per_second"] for values in _earlier(spec, architecture) if "images_per_second" in values]
    return fmean(speeds) if speeds else None


def measured_memory(spec: DetectionSpec, architecture: str) -> float | None:
    """Bytes of a GPU for the whole batch, by what earlier batches of the same network and image size took: in
    proportion to the images, which is an upper bound for a larger batch. None where none ran on a GPU."""
    told = [
        values["memory"] * max(1.0, spec.batch / values["batch"])
        for values in _earlier(spec, architecture)
        if values.get("memory") and values.get("batch")
    ]
    return max(told, default=None)


def _earlier(spec: DetectionSpec, architecture: str) -> list[dict[str, Any]]:
    """The latest epochs of the same network and image size."""
    like = {f"experiment__spec__{name}": getattr(spec, name) for name in _SIZES}
    found = Epoch.objects.filter(run__architecture=architecture, **like).order_by("-pk")
    return list(found.values_list("values", flat=True)[:_EARLIER_EPOCHS])
