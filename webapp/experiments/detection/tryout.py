"""Try an image: what the tab shows of the pictures that people uploaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from jobs.kinds.detection.models import TriedDetections, TriedImage
from jobs.kinds.detection.plan import TRY
from jobs.kinds.detection.tries import MOST_BYTES
from jobs.models import ShardStatus
from webapp.experiments.detection.gallery import SCORE, number, whole
from webapp.experiments.detection.methods import Method
from webapp.experiments.page import Page

SHOWN = 12  # methods side by side


def context(request: HttpRequest, page: Page, methods: Sequence[Method], classes: Sequence[str]) -> dict[str, Any]:
    tries = list(TriedImage.objects.filter(experiment=page.experiment).order_by("-index"))
    asked = request.GET.get("at", "")
    chosen = next((each for each in tries if str(each.code) == asked), tries[0] if tries else None)
    seeds = sorted({seed for method in methods for seed in method.seeds})
    seed = whole(request.GET.get("seed", ""))
    seed = seed if seed in seeds else next(iter(seeds), None)
    score = number(request.GET.get("score", ""))
    return {
        "tries": [{"tried": each, "url": f"?at={each.code}"} for each in tries],
        "chosen": chosen,
        "seeds": seeds,
        "seed": seed,
        "score": score if score is not None and 0 <= score <= 1 else SCORE,
        "can_try": page.access.can_write and page.experiment.has_ended,
        "try_url": reverse("experiment-try", args=[page.experiment.code]) if page.access.can_write else "",
        "most_megabytes": MOST_BYTES // 2**20,
        "tried": _as_json(page, chosen, methods, seed, classes) if chosen else None,
    }


def _as_json(
    page: Page, tried: TriedImage, methods: Sequence[Method], seed: int | None, classes: Sequence[str]
) -> dict[str, Any]:
    """Pictures and detections of one seed of each method, for the slider."""
    runs = {
        index: method
        for method in methods[:SHOWN]
        for index, own in zip(method.runs, method.seeds, strict=True)
        if own == seed
    }
    shard = page.experiment.shards.filter(stage=TRY, index=tried.index).first()
    found: dict[int, dict[str, Any]] = {index: {} for index in runs}
    rows = TriedDetections.objects.filter(tried=tried, run__index__in=runs).values_list("run__index", "angle", "found")
    for run, angle, detections in rows:
        found[run][f"{angle:g}"] = detections
    pictured = tried.pictures.order_by("angle").values_list("angle", flat=True)
    state = shard.status if shard else ShardStatus.QUEUED
    return {
        "code": str(tried.code),
        "state": state,
        # A reason can quote a path or a host: not for strangers.
        "reason": "" if page.is_shared or shard is None else shard.reason,
        "size": tried.size,
        "angles": tried.angles,
        "pictures": {
            f"{angle:g}": page.url("picture", part="tried", key=f"{tried.code}@{angle:g}") for angle in pictured
        },
        "classes": list(classes),
        "methods": [
            {"title": method.title, "slot": method.slot, "found": found[index]} for index, method in runs.items()
        ],
    }
