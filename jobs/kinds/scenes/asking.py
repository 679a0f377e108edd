"""Ask for a scene: a new one, or one made from drawn ones. Drawn in seconds on a worker whose models are loaded.

    scene = ask_scene(experiment=experiment, by=user, request=SceneRequest(operation="vary", parent=3, strength=0.5))

It is a shard of its own on a GPU worker, beside the experiment: an ended one stays ended.
"""

from __future__ import annotations

import secrets
import uuid
from typing import Any, Literal

from django.core.files import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Max
from pydantic import BaseModel, ConfigDict, Field, model_validator

from jobs import leases, logbook
from jobs.kinds.scenes.models import Collected, GeneratedScene, SceneRun
from jobs.kinds.scenes.plan import DIFFUSION, GENERATE
from jobs.kinds.scenes.spec import MAX_SEED, Sampler, ScenesSpec
from jobs.models import Experiment, next_seq
from jobs.services import Refused, apply_plan

MOST_ASKED = 500  # of an experiment
MOST_BYTES = 20 * 2**20  # of a map or picture
Group = Literal["g", "c", "f"]
_TAKES = {
    "new": (),
    "inpaint": ("parent", "box"),
    "vary": ("parent",),
    "join": ("parent", "other"),
    "style": ("parent",),
    "improve": ("parent",),
}
_NAMES = {"parent": "a scene to start from (parent)", "other": "another scene (other)", "box": "a box"}


class Drawing(BaseModel):
    """How one latent is drawn; what is left out is as in the experiment."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    sampler: Sampler | None = None
    steps: int | None = Field(default=None, ge=1, le=1000)
    guidance: float | None = Field(default=None, ge=-10, le=20, description="Towards the map from above; 1: none.")


class BoxIn(BaseModel):
    """A part of the ground plane, as shares of its sides: x0 < x1 along x, y0 < y1 along y."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    x0: float = Field(ge=0, le=1)
    y0: float = Field(ge=0, le=1)
    x1: float = Field(ge=0, le=1)
    y1: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _has_inside(self) -> BoxIn:
        if not (self.x0 < self.x1 and self.y0 < self.y1):
            raise ValueError("a box needs x0 < x1 and y0 < y1")
        return self


class SceneRequest(BaseModel):
    """What to draw. Scenes are named by their numbers in the experiment."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    operation: Literal["new", "inpaint", "vary", "join", "style", "improve"] = "new"
    seed: int | None = Field(default=None, ge=0, le=MAX_SEED, description="Left out: any.")
    parent: int | None = Field(default=None, ge=1, description="The scene to start from; of a join the left one.")
    other: int | None = Field(default=None, ge=1, description="The right scene of a join.")
    box: BoxIn | None = Field(default=None, description="What is drawn anew by inpaint.")
    strength: float = Field(default=0.5, gt=0, le=1, description="How far a variation goes; 1: as far as can be.")
    groups: list[Group] = Field(default=["c", "f"], min_length=1, max_length=3, description="Latents that vary.")
    seam: float = Field(default=0.25, ge=0.05, le=0.9, description="Share of a join that is drawn anew.")
    g: Drawing = Drawing()
    c: Drawing = Drawing()
    f: Drawing = Drawing()


def ask_scene(
    *,
    experiment: Experiment,
    by: Any,
    request: SceneRequest,
    map: File[bytes] | None = None,
    image: File[bytes] | None = None,
) -> GeneratedScene:
    """Queue a shard that draws the scene. ``map``: a picture as engine.scenes.data.maps reads it; ``image``: a picture
    in whose style the scene is wanted. Raises Refused with a sentence."""
    stored = {"map_file": _kept(map, "map"), "image_file": _kept(image, "picture")}
    try:
        with transaction.atomic():
            return _queue(experiment, by, request, stored)
    except BaseException:
        for name in filter(None, stored.values()):
            default_storage.delete(name)
        raise


def takes_maps(experiment: Experiment) -> bool:
    """Whether scenes can be drawn on a map from above."""
    collected = Collected.objects.filter(experiment=experiment).first()
    return bool(experiment.spec.get("use_map") and collected and collected.values["has_maps"])


def _kept(file: File[bytes] | None, what: str) -> str:
    if file is None:
        return ""
    if not file.size:
        raise Refused(f"The file of the {what} is empty.")
    if file.size > MOST_BYTES:
        raise Refused(f"The {what} is larger than {MOST_BYTES // 2**20} MB: make it smaller.")
    return default_storage.save(f"scenes/{uuid.uuid4().hex}-{what}", file)


def _queue(experiment: Experiment, by: Any, request: SceneRequest, stored: dict[str, str]) -> GeneratedScene:
    current = Experiment.objects.select_for_update(of=("self",)).filter(pk=experiment.pk).first()
    if current is None:
        raise Refused("The experiment was deleted.")
    spec = ScenesSpec.model_validate(current.spec)
    _check_model(current, request, stored)
    parent, other = (_drawn(current, number) for number in (request.parent, request.other))
    asked = GeneratedScene.objects.filter(experiment=current, stage=GENERATE).count()
    if asked >= MOST_ASKED:
        raise Refused(f"{MOST_ASKED} scenes were asked for already, as many as an experiment keeps.")
    last = GeneratedScene.objects.filter(experiment=current).aggregate(last=Max("number"))["last"] or 0
    seq = next_seq(current.pk)
    scene = GeneratedScene.objects.create(
        experiment=current,
        number=last + 1,
        stage=GENERATE,
        shard=asked,
        operation=request.operation,
        settings=_settings(spec, request),
        seed=secrets.randbelow(MAX_SEED) if request.seed is None else request.seed,
        parent=parent,
        other=other,
        created_by=by if getattr(by, "pk", None) else None,
        seq=seq,
        **stored,
    )
    apply_plan(current, spec, seq)
    what = scene.get_operation_display().lower()
    logbook.write(current.pk, seq, [logbook.Line(f"{by} asks for scene {scene.number}: {what}.")])
    leases.roll_up(current.pk, seq)
    return scene


def _check_model(experiment: Experiment, request: SceneRequest, stored: dict[str, str]) -> None:
    trained = SceneRun.objects.filter(experiment=experiment, stage=DIFFUSION, stopped__in=["finished", "reused"])
    if not trained.exists():
        raise Refused("Scenes can be asked for once the diffusion model is trained.")
    for name in _TAKES[request.operation]:
        if getattr(request, name) is None:
            raise Refused(f"{request.operation} needs {_NAMES[name]}.")
    if request.operation == "style" and not stored["image_file"]:
        raise Refused("style needs a picture in whose style the scene is wanted.")
    if stored["map_file"] and not takes_maps(experiment):
        raise Refused("The model was trained without maps from above: leave the map out.")
    wanted = set(request.groups) if request.operation == "vary" else set()
    if missing := wanted - set(experiment.spec["groups"].split("+")):
        raise Refused(f"The model has no latent {' and '.join(sorted(missing))}: vary others.")


def _drawn(experiment: Experiment, number: int | None) -> GeneratedScene | None:
    if number is None:
        return None
    scene = GeneratedScene.objects.filter(experiment=experiment, number=number).first()
    if scene is None or scene.state != GeneratedScene.State.DRAWN:
        raise Refused(f"There is no drawn scene {number} in this experiment.")
    return scene


def _settings(spec: ScenesSpec, request: SceneRequest) -> dict[str, Any]:
    """GeneratedScene.settings: the experiment's, with what the request changes."""
    found: dict[str, Any] = {
        group: {**how, **getattr(request, group).model_dump(exclude_none=True)} for group, how in spec.drawing().items()
    }
    if request.operation == "inpaint" and request.box is not None:
        box = request.box
        found["box"] = {"left": box.x0, "top": box.y0, "right": box.x1, "bottom": box.y1}
    if request.operation == "vary":
        found |= {"strength": request.strength, "groups": [group for group in "gcf" if group in request.groups]}
    if request.operation == "join":
        found["seam"] = request.seam
    return found
