"""Operations of scenes: sets of posed pictures of a team; stages, scenes and scores of an experiment."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from django.core.files.base import ContentFile
from django.http import Http404, HttpRequest
from ninja import File, Form, Router, Status
from ninja.files import UploadedFile

from jobs.kinds.data_sets import standing
from jobs.kinds.scenes.asking import SceneRequest, ask_scene
from jobs.kinds.scenes.live import scenes
from jobs.kinds.scenes.models import LossPoint, SceneRun, SceneScore, SceneSet
from jobs.kinds.scenes.sets import SETS
from jobs.models import Artifact, Experiment
from jobs.services import Refused
from webapp.api.auth import actor_of, count_submit, reach, reach_team
from webapp.api.errors import Problem
from webapp.api.schemas import Listing
from webapp.api.schemas_scenes import (
    LossOut,
    SceneIn,
    SceneOut,
    SceneScoreOut,
    SceneSetFolderIn,
    SceneSetOut,
    StageOut,
)

router = Router(tags=["scenes"])
_FILES = ("map", "image")


# --- sets of posed pictures -------------------------------------------------------------------------------------------


@router.get("/teams/{uuid:team}/scene-sets", response=Listing[SceneSetOut], operation_id="list_scene_sets")
def list_scene_sets(request: HttpRequest, team: UUID) -> dict[str, Any]:
    """The team's sets of posed pictures, newest first. Built in are ``builtin/rooms`` and ``builtin/freedoom``."""
    found, _ = reach_team(request, team)
    rows = SceneSet.objects.filter(team=found).select_related("reader", "team").order_by("-created_at", "-pk")
    return {"items": [_set(row) for row in rows], "next_cursor": None}


@router.post("/teams/{uuid:team}/scene-sets", response={201: SceneSetOut}, operation_id="upload_scene_set")
def upload_scene_set(
    request: HttpRequest,
    team: UUID,
    file: Annotated[UploadedFile, File(description="A zip of scenes in GSN's layout, or with a transforms.json.")],
    name: Annotated[str, Form(max_length=80, description="Empty: the file's name.")] = "",
) -> Status[dict[str, Any]]:
    """Upload a zip. A worker reads it: ask for the set until its state is no longer ``reading``."""
    found, _ = reach_team(request, team, write=True)
    count_submit(request)
    try:
        made = SETS.add_upload(team=found, by=actor_of(request), file=file, name=name)
    except Refused as error:
        raise Problem(409, str(error)) from None
    return Status(201, _set(made))


@router.post("/teams/{uuid:team}/scene-sets/folders", response={201: SceneSetOut}, operation_id="add_scene_set_folder")
def add_scene_set_folder(request: HttpRequest, team: UUID, body: SceneSetFolderIn) -> Status[dict[str, Any]]:
    """Use a folder on the workers, below one that the operator allows."""
    found, _ = reach_team(request, team, write=True)
    count_submit(request)
    return Status(201, _set(SETS.add_path(team=found, by=actor_of(request), path=body.path, name=body.name)))


@router.get("/scene-sets/{uuid:scene_set}", response=SceneSetOut, operation_id="get_scene_set")
def get_scene_set(request: HttpRequest, scene_set: UUID) -> dict[str, Any]:
    """One set with the report of what is wrong in it."""
    return _set(_reach_set(request, scene_set))


@router.delete("/scene-sets/{uuid:scene_set}", response={204: None}, operation_id="delete_scene_set")
def delete_scene_set(request: HttpRequest, scene_set: UUID) -> Status[None]:
    """Delete a set with its files. Results of experiments with it are kept."""
    SETS.delete(data_set=_reach_set(request, scene_set, write=True))
    return Status(204, None)


def _reach_set(request: HttpRequest, code: UUID, *, write: bool = False) -> SceneSet:
    found = SceneSet.objects.select_related("team", "reader").filter(code=code).first()
    if found is None:
        raise Http404("no such set")
    reach_team(request, found.team.code, write=write)
    return found


def _set(found: SceneSet) -> dict[str, Any]:
    state, reason = standing(found)
    shown = ("code", "name", "source", "format", "counts", "report", "created_at")
    return {
        "value": f"set/{found.code}",
        "state": state,
        "reason": reason,
        "reader": found.reader and found.reader.code,
        **{name: getattr(found, name) for name in shown},
    }


# --- an experiment ----------------------------------------------------------------------------------------------------


def _scenes(request: HttpRequest, code: UUID, *, write: bool = False) -> Experiment:
    experiment = reach(request, code, write=write).experiment
    if experiment.kind != "scenes":
        raise Http404("experiments of other kinds have no scenes")
    return experiment


@router.get("/experiments/{uuid:code}/stages", response=Listing[StageOut], operation_id="list_stages")
def list_stages(request: HttpRequest, code: UUID) -> dict[str, Any]:
    """The stages that are trained, in order, and how far each is."""
    rows = SceneRun.objects.filter(experiment=_scenes(request, code)).select_related("reused_from").order_by("pk")
    names = ("stage", "steps", "stopped", "seconds", "progress")
    items = [
        {name: getattr(row, name) for name in names} | {"reused_from": row.reused_from and row.reused_from.code}
        for row in rows
    ]
    return {"items": items, "next_cursor": None}


@router.get("/experiments/{uuid:code}/losses", response=Listing[LossOut], operation_id="list_losses")
def list_losses(request: HttpRequest, code: UUID) -> dict[str, Any]:
    """The curves of all stages, at most some 200 points each."""
    rows = LossPoint.objects.filter(experiment=_scenes(request, code)).select_related("run").order_by("run", "step")
    items = [{"stage": row.run.stage, "step": row.step, "values": row.values} for row in rows]
    return {"items": items, "next_cursor": None}


@router.get("/experiments/{uuid:code}/scenes", response=Listing[SceneOut], operation_id="list_scenes")
def list_scenes(request: HttpRequest, code: UUID) -> dict[str, Any]:
    """The scenes, drawn or asked for: the newest 200, oldest first."""
    return {"items": _described(_scenes(request, code)), "next_cursor": None}


@router.get("/experiments/{uuid:code}/scenes/{int:number}", response=SceneOut, operation_id="get_scene")
def get_scene(request: HttpRequest, code: UUID, number: int) -> dict[str, Any]:
    """One scene with the names of its files: volume, poster, latents, mesh, cameras, flight, panorama."""
    return _one(_scenes(request, code), number)


@router.post("/experiments/{uuid:code}/scenes", response={201: SceneOut}, operation_id="draw_scene")
def draw_scene(request: HttpRequest, code: UUID, body: SceneIn) -> Status[dict[str, Any]]:
    """Have a scene drawn by the trained model: a new one, or one made from drawn ones. Ask for it until its state is
    ``drawn``; on a worker whose models are loaded that takes seconds."""
    experiment = _scenes(request, code, write=True)
    count_submit(request)
    wanted = SceneRequest.model_validate(body.model_dump(exclude=set(_FILES)))
    files = {name: ContentFile(content, name) for name in _FILES if (content := getattr(body, name)) is not None}
    made = ask_scene(experiment=experiment, by=actor_of(request), request=wanted, **files)
    return Status(201, _one(experiment, made.number))


@router.get("/experiments/{uuid:code}/scene-scores", response=Listing[SceneScoreOut], operation_id="list_scene_scores")
def list_scene_scores(request: HttpRequest, code: UUID) -> dict[str, Any]:
    """Reconstructions of held-out views, and the scenes' pictures against real ones, each with its reference rows."""
    rows = SceneScore.objects.filter(experiment=_scenes(request, code)).order_by("pk")
    shown = ("title", "unit", "better", "count")
    items = [
        {"subject": row.subject, "metric": row.metric, "value": row.value}
        | {name: row.details.get(name, 0 if name == "count" else "") for name in shown}
        for row in rows
    ]
    return {"items": items, "next_cursor": None}


def _one(experiment: Experiment, number: int) -> dict[str, Any]:
    found = _described(experiment, number) if number < 2**31 else []
    if not found:
        raise Http404("no such scene")
    return found[0]


def _described(experiment: Experiment, number: int | None = None) -> list[dict[str, Any]]:
    found = scenes(experiment, number=number)
    wanted = [each["folder"] for each in found]
    files: dict[str, list[str]] = {folder: [] for folder in wanted}
    for name in (
        Artifact.objects.filter(experiment=experiment, name__startswith="scene-")
        .order_by("name")
        .values_list("name", flat=True)
    ):
        files.get(name.partition("/")[0], []).append(name)
    return [{**each, "files": files[each["folder"]]} for each in found]
