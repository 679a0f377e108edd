"""Teams' sets of posed pictures as the pages show them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import QueryDict

from jobs.kinds.scenes.models import SceneSet, SetPicture, SetScene
from jobs.models import Experiment
from webapp.experiments.detection.gallery import whole

KINDS = {
    "bad_cameras": ("File of cameras that cannot be read", "scene left out"),
    "missing_image": ("Missing picture", "left out"),
    "empty_image": ("Picture of 0 bytes", "left out"),
    "broken_image": ("Broken picture", "left out"),
    "huge_image": ("Picture too large", "left out"),
    "unposed_image": ("Picture that no camera names", "left out"),
    "pose_count": ("Not as many poses as pictures", "scene left out"),
    "bad_pose": ("Pose that is none", "view left out"),
    "missing_intrinsics": ("No focal length", "view left out"),
    "bad_intrinsics": ("Focal length or centre that cannot be", "view left out"),
    "lens_distortion": ("Lens distortion", "scene left out"),
    "wrong_size": ("Picture of another size", "left out"),
    "bad_depth": ("Depth that cannot be used", "picture kept"),
    "one_image": ("Too few pictures", "scene left out"),
    "one_place": ("All cameras at one place", "scene left out"),
}


def set_of(experiment: Experiment) -> SceneSet | None:
    """The team's set that the experiment trains on; None for data that is built in or deleted."""
    code = str(experiment.spec.get("data", ""))
    if not code.startswith("set/"):
        return None
    return SceneSet.objects.filter(team=experiment.team_id, code=code.removeprefix("set/")).first()


def rig(data_set: SceneSet, query: QueryDict, picture_url: Callable[[str], str]) -> dict[str, Any]:
    """One scene's cameras and pictures for camera_rig.js, and the scenes to choose from."""
    names = list(SetScene.objects.filter(data_set=data_set).order_by("index").values_list("index", "name"))
    asked = whole(query.get("scene", ""))
    scene = SetScene.objects.filter(data_set=data_set, index=asked).first() if asked is not None else None
    scene = scene or SetScene.objects.filter(data_set=data_set).order_by("index").first()
    if scene is None:
        return {"rig": None, "scenes": []}
    values = scene.values
    z, y, x = values["grid"]
    kept = SetPicture.objects.filter(scene=scene).order_by("view").values_list("view", flat=True)
    return {
        "scenes": names,
        "scene": scene,
        "rig": {
            "size": [x, y, z],
            "cameras": values["cameras"],
            "held": values.get("held_out", []),
            "pictures": {str(view): picture_url(f"{scene.index}-{view}") for view in kept},
        },
        "views": len(values["cameras"]),
        "held_out": len(values.get("held_out", [])),
        "has_depth": bool(values.get("depth")),
        "split": values.get("split", ""),
        "voxel": values.get("voxel"),
        "grid": (x, y, z),
    }


def problems(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Each kind of fault with its count and examples."""
    examples: dict[str, list[dict[str, str]]] = {}
    for each in report.get("problems", []):
        examples.setdefault(each["kind"], []).append(each)
    return [
        {
            "title": KINDS.get(kind, (kind.replace("_", " "), ""))[0],
            "done": KINDS.get(kind, ("", ""))[1],
            "count": report["counts"][kind],
            "examples": shown,
        }
        for kind, shown in examples.items()
    ]
