"""Try an image: a picture through every run's detector, turned from 0 to 90 degrees.

    tried = try_image(experiment=experiment, by=user, file=request.FILES["file"])
    tried_state(tried)  # as JSON, for the page's slider

It is a shard of its own on a CPU worker, beside the experiment: an ended one stays ended.
"""

from __future__ import annotations

import uuid
from typing import Any

from django.core.files import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Max
from django.utils.text import get_valid_filename

from jobs import leases, logbook
from jobs.kinds.detection.models import Run, TriedDetections, TriedImage
from jobs.kinds.detection.plan import TRY, TRY_ANGLES
from jobs.models import Experiment, next_seq
from jobs.services import Refused, apply_plan

MOST_BYTES = 20 * 2**20
MOST_TRIES = 50  # of an experiment


def try_image(*, experiment: Experiment, by: Any, file: File[bytes], name: str = "") -> TriedImage:
    """Keep the picture and queue a shard that runs the detectors on it. Raises Refused with a sentence."""
    name = (name or file.name or "picture").replace("\0", "").strip()[-120:]
    if not file.size:
        raise Refused("The file is empty: choose a picture.")
    if file.size > MOST_BYTES:
        raise Refused(f"The picture is larger than {MOST_BYTES // 2**20} MB: make it smaller.")
    stored = default_storage.save(f"tried/{uuid.uuid4().hex}-{get_valid_filename(name) or 'picture'}", file)
    try:
        with transaction.atomic():
            return _queue(experiment, by, stored, name)
    except BaseException:
        default_storage.delete(stored)
        raise


def _queue(experiment: Experiment, by: Any, stored: str, name: str) -> TriedImage:
    current = Experiment.objects.select_for_update(of=("self",)).filter(pk=experiment.pk).first()
    if current is None:
        raise Refused("The experiment was deleted.")
    if not Run.objects.filter(experiment=current).exclude(stopped="").exists() or not current.has_ended:
        raise Refused("Pictures can be tried once the experiment has ended and a detector is trained.")
    last = TriedImage.objects.filter(experiment=current).aggregate(last=Max("index"))["last"]
    index = 0 if last is None else last + 1
    if index >= MOST_TRIES:
        raise Refused(f"{MOST_TRIES} pictures were tried already, as many as an experiment keeps.")
    seq = next_seq(current.pk)
    tried = TriedImage.objects.create(
        experiment=current,
        index=index,
        name=name,
        file=stored,
        angles=list(TRY_ANGLES),
        created_by=by if getattr(by, "pk", None) else None,
        seq=seq,
    )
    apply_plan(current, current.kind_object.Spec.model_validate(current.spec), seq)
    logbook.write(current.pk, seq, [logbook.Line(f"{by} tries the picture {name}.")])
    leases.roll_up(current.pk, seq)
    return tried


def tried_state(tried: TriedImage) -> dict[str, Any]:
    """Everything about a tried picture but the picture: {"code", "name", "state", "reason", "size": side of the canvas
    in pixels, "angles", "pictured": angles whose picture is there, "found": {run index: {angle: [[class index from 0,
    score, x1, y1, x2, y2], ...]}}} with boxes in pixels of the canvas and angles written as "10" or "22.5"."""
    shard = tried.experiment.shards.filter(stage=TRY, index=tried.index).first()
    found: dict[str, dict[str, Any]] = {}
    for row in TriedDetections.objects.filter(tried=tried).select_related("run").order_by("run__index", "angle"):
        found.setdefault(str(row.run.index), {})[f"{row.angle:g}"] = row.found
    return {
        "code": str(tried.code),
        "name": tried.name,
        "state": shard.status if shard else "queued",
        "reason": shard.reason if shard else "",
        "size": tried.size,
        "angles": tried.angles,
        "pictured": list(tried.pictures.order_by("angle").values_list("angle", flat=True)),
        "found": found,
    }


def tried_picture(tried: TriedImage, angle: float) -> bytes | None:
    """The JPEG of the canvas at one angle; None while it is not there."""
    row = tried.pictures.filter(angle=angle).first()
    return bytes(row.jpeg) if row else None
