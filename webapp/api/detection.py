"""Operations of detection: data sets of a team, and the runs, scores and label quality of an experiment."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from django.http import Http404, HttpRequest
from ninja import File, Form, Query, Router, Status
from ninja.files import UploadedFile

from jobs.kinds.detection import sets
from jobs.kinds.detection.details import score_details
from jobs.kinds.detection.models import AngleScore, DataSet, LabelQuality, Run, TriedImage
from jobs.kinds.detection.tries import tried_state, try_image
from jobs.models import Experiment
from jobs.services import Refused
from webapp.api.auth import actor_of, count_submit, reach, reach_team
from webapp.api.errors import Problem
from webapp.api.schemas import (
    DataSetFolderIn,
    DataSetOut,
    LabelQualityOut,
    Listing,
    RunOut,
    ScoreDetailsOut,
    ScoreOut,
    TriedOut,
)

router = Router(tags=["detection"])
FormatName = Annotated[Literal["", "coco", "voc", "yolo"], Form(description="Empty: found out from the files.")]
SetName = Annotated[str, Form(max_length=80, description="Empty: the file's name.")]
Angle = Annotated[float, Query(ge=0, le=180, description="Degrees; one of the spec's angles.")]


# --- data sets --------------------------------------------------------------------------------------------------------


@router.get("/teams/{uuid:team}/data-sets", response=Listing[DataSetOut], operation_id="list_data_sets")
def list_data_sets(request: HttpRequest, team: UUID) -> dict[str, Any]:
    """The team's data sets, newest first. Rendered shapes are built in: ``builtin/shapes``."""
    found, _ = reach_team(request, team)
    rows = DataSet.objects.filter(team=found).select_related("reader", "team").order_by("-created_at", "-pk")
    return {"items": [_set(row) for row in rows], "next_cursor": None}


@router.post("/teams/{uuid:team}/data-sets", response={201: DataSetOut}, operation_id="upload_data_set")
def upload_data_set(
    request: HttpRequest,
    team: UUID,
    file: Annotated[UploadedFile, File(description="A zip of images with COCO, VOC or YOLO labels.")],
    name: SetName = "",
    format: FormatName = "",
) -> Status[dict[str, Any]]:
    """Upload a zip. A worker reads it: ask for the data set until its state is no longer ``reading``."""
    found, _ = reach_team(request, team, write=True)
    count_submit(request)
    try:
        made = sets.add_upload(team=found, by=actor_of(request), file=file, name=name, format=format)
    except Refused as error:
        raise Problem(409, str(error)) from None
    return Status(201, _set(made))


@router.post("/teams/{uuid:team}/data-sets/folders", response={201: DataSetOut}, operation_id="add_data_set_folder")
def add_data_set_folder(request: HttpRequest, team: UUID, body: DataSetFolderIn) -> Status[dict[str, Any]]:
    """Use a folder on the workers, below one that the operator allows."""
    found, _ = reach_team(request, team, write=True)
    count_submit(request)
    made = sets.add_path(team=found, by=actor_of(request), path=body.path, name=body.name, format=body.format)
    return Status(201, _set(made))


@router.get("/data-sets/{uuid:data_set}", response=DataSetOut, operation_id="get_data_set")
def get_data_set(request: HttpRequest, data_set: UUID) -> dict[str, Any]:
    """One data set with the report of what is wrong in it."""
    return _set(_reach_set(request, data_set))


@router.delete("/data-sets/{uuid:data_set}", response={204: None}, operation_id="delete_data_set")
def delete_data_set(request: HttpRequest, data_set: UUID) -> Status[None]:
    """Delete a data set with its files. Results of experiments with it are kept."""
    sets.delete(data_set=_reach_set(request, data_set, write=True))
    return Status(204, None)


def _reach_set(request: HttpRequest, code: UUID, *, write: bool = False) -> DataSet:
    found = DataSet.objects.select_related("team", "reader").filter(code=code).first()
    if found is None:
        raise Http404("no such data set")
    reach_team(request, found.team.code, write=write)
    return found


def _set(found: DataSet) -> dict[str, Any]:
    state, reason = sets.standing(found)
    return {
        "value": f"set/{found.code}",
        "code": found.code,
        "name": found.name,
        "source": found.source,
        "format": found.format,
        "state": state,
        "reason": reason,
        "counts": found.counts,
        "classes": found.classes,
        "has_masks": found.has_masks,
        "report": found.report,
        "reader": found.reader and found.reader.code,
        "created_at": found.created_at,
    }


# --- results ----------------------------------------------------------------------------------------------------------


def _detection(request: HttpRequest, code: UUID, *, write: bool = False) -> Experiment:
    experiment = reach(request, code, write=write).experiment
    if experiment.kind != "detection":
        raise Http404("experiments of other kinds have no runs")
    return experiment


@router.get("/experiments/{uuid:code}/runs", response=Listing[RunOut], operation_id="list_runs")
def list_runs(request: HttpRequest, code: UUID) -> dict[str, Any]:
    """The detectors of the experiment: one for each architecture, label rule, RU delta and seed."""
    names = (
        "index", "label", "architecture", "rule", "delta", "seed", "epochs", "best_epoch", "best_ap", "stopped",
        "progress",
    )  # fmt: skip
    rows = Run.objects.filter(experiment=_detection(request, code)).order_by("index")
    return {"items": [{name: getattr(row, name) for name in names} for row in rows], "next_cursor": None}


@router.get("/experiments/{uuid:code}/scores", response=Listing[ScoreOut], operation_id="list_scores")
def list_scores(request: HttpRequest, code: UUID) -> dict[str, Any]:
    """AP, AP50 and AP75 of every run at every test angle that is done."""
    rows = AngleScore.objects.filter(experiment=_detection(request, code)).select_related("run")
    items = [
        {
            "run": row.run.index,
            **{name: getattr(row.run, name) for name in ("label", "architecture", "rule", "delta", "seed")},
            **{name: getattr(row, name) for name in ("angle", "ap", "ap50", "ap75")},
        }
        for row in rows.defer("details").order_by("run__index", "angle")
    ]
    return {"items": items, "next_cursor": None}


@router.get("/experiments/{uuid:code}/runs/{int:run}/score", response=ScoreDetailsOut, operation_id="get_score_details")
def get_score_details(request: HttpRequest, code: UUID, run: int, angle: Angle = 0.0) -> dict[str, Any]:
    """One run at one angle: by class and size, precision-recall curves, confusion."""
    experiment = _detection(request, code)
    found = score_details(experiment, run, angle) if run < 2**31 else None
    if found is None:
        raise Http404("no such score")
    return {"run": run, "angle": angle, **found}


@router.get(
    "/experiments/{uuid:code}/label-quality", response=Listing[LabelQualityOut], operation_id="list_label_quality"
)
def list_label_quality(request: HttpRequest, code: UUID) -> dict[str, Any]:
    """How good each rule's labels are on the masks of the training images, before any training."""
    rows = LabelQuality.objects.filter(experiment=_detection(request, code)).order_by("pk")
    names = ("rule", "angle", "share50", "share75", "mean_iou")
    items = [{name: getattr(row, name) for name in names} | {"objects": row.objects_count} for row in rows]
    return {"items": items, "next_cursor": None}


@router.get("/experiments/{uuid:code}/pictures", response=Listing[TriedOut], operation_id="list_tried_pictures")
def list_tried_pictures(request: HttpRequest, code: UUID) -> dict[str, Any]:
    """The pictures that were tried, with what every run found in them at every angle."""
    rows = TriedImage.objects.filter(experiment=_detection(request, code)).select_related("experiment")
    return {"items": [tried_state(row) for row in rows.order_by("index")], "next_cursor": None}


@router.post("/experiments/{uuid:code}/pictures", response={201: TriedOut}, operation_id="try_picture")
def try_picture(
    request: HttpRequest,
    code: UUID,
    file: Annotated[UploadedFile, File(description="JPEG, PNG, WebP, BMP or TIFF, at most 20 MB.")],
) -> Status[dict[str, Any]]:
    """Run every trained detector on a picture of your own, turned from 0 to 90 degrees."""
    experiment = _detection(request, code, write=True)
    count_submit(request)
    return Status(201, tried_state(try_image(experiment=experiment, by=actor_of(request), file=file)))
