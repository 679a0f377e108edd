"""The Make tab: what can be asked of the trained model, and how the sliders stand at first."""

from __future__ import annotations

from statistics import median
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from jobs.kinds.scenes.asking import takes_maps
from jobs.kinds.scenes.models import GeneratedScene, SceneRun
from jobs.kinds.scenes.spec import MAX_SEED, SAMPLERS, TRAINED, ScenesSpec
from jobs.models import Experiment
from webapp.experiments.detection.gallery import whole
from webapp.experiments.page import Page
from webapp.experiments.scenes.gallery import GROUPS, in_full, items
from webapp.experiments.scenes.tiles import patterns

NEWEST = 8  # scenes in the strip
SOURCES = 60  # scenes that can be edited, the newest
MOST_STEPS = 200  # of a slider; more can be asked for through the API
OPERATIONS = [  # value, title, icon, how many drawn scenes it needs
    ("new", "New scene", "plus", 0),
    ("inpaint", "Draw a box anew", "note", 1),
    ("vary", "Vary", "dice", 1),
    ("join", "Join two", "columns", 2),
    ("style", "Style of a picture", "eye", 1),
    ("improve", "Improve", "star", 1),
]
BOX_FIELDS = [("left", "From x", 30), ("top", "From y", 30), ("right", "To x", 70), ("bottom", "To y", 70)]
TITLES = {"g": "Whole scene", "c": "Coarse shape", "f": "Fine detail"}


def is_ready(experiment: Experiment) -> bool:
    """Whether all three stages are trained."""
    done = SceneRun.objects.filter(experiment=experiment, stopped__in=["finished", "reused"]).values_list(
        "stage", flat=True
    )
    return set(done) >= set(TRAINED)


def context(request: HttpRequest, page: Page) -> dict[str, Any]:
    if not is_ready(page.experiment):
        return {"ready": False}
    spec = ScenesSpec.model_validate(page.experiment.spec)
    drawn = GeneratedScene.objects.filter(experiment=page.experiment, state=GeneratedScene.State.DRAWN)
    sources = list(drawn.order_by("-number")[:SOURCES])
    asked = whole(request.GET.get("scene", ""))
    shown = drawn.filter(number=asked).select_related("parent").first() if asked is not None else None
    shown = shown or (sources[0] if sources else None)
    newest = list(
        GeneratedScene.objects.filter(experiment=page.experiment).select_related("parent").order_by("-number")[:NEWEST]
    )
    operation = request.GET.get("op", "")
    count = len(sources)
    named = patterns(page)
    return {
        "ready": True,
        "shown": in_full(page, shown) if shown else None,
        "sources": sources,
        "newest": items(page, newest),
        "operations": OPERATIONS,
        "operation": operation
        if operation in {value for value, _, _, needs in OPERATIONS if needs <= count}
        else "new",
        "groups": [(group, GROUPS[group]) for group in spec.latent_groups],
        "sliders": _sliders(spec),
        "box_fields": BOX_FIELDS,
        "samplers": SAMPLERS.items(),
        "sampler": spec.sampler_c,
        "seed": spec.seed + 1000 + (newest[0].number if newest else 0),
        "most_seed": MAX_SEED,
        "maps": takes_maps(page.experiment),
        "make_url": reverse("experiment-make", args=[page.experiment.code]),
        "pace": pace(sources),
        "make": {
            "grid": list(spec.voxels[1:]),
            "drawn": count,
            "scenes_url": page.url("tab", tab="scenes"),
            "patterns": {"manifest": named["manifest_pattern"], "poster": named["poster_pattern"]},
        },
    }


def pace(scenes: list[GeneratedScene]) -> str:
    """How long one took, from those that were drawn."""
    seconds = [float(each.values["seconds"]) for each in scenes if each.values.get("seconds")]
    return f"One took {median(seconds):.1f} s, the median of {len(seconds)}." if seconds else ""


def _sliders(spec: ScenesSpec) -> list[dict[str, Any]]:
    return [
        {
            "title": TITLES[group],
            "steps_name": f"steps_{group}",
            "steps": how["steps"],
            "most": max(MOST_STEPS, how["steps"]),
            "guidance_name": f"guidance_{group}",
            "guidance": how["guidance"],
        }
        for group, how in spec.drawing().items()
    ]
