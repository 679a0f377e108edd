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


def scene_of(data_set: SceneSet, asked: int | None) -> SetScene | None:
    """The scene of this number, else the first."""
    found = SetScene.objects.filter(data_set=data_set).order_by("index")
    return (found.filter(index=asked).first() if asked is not None else None) or found.first()


def rig(data_set: SceneSet, query: QueryDict, cameras_url: Callable[[str], str]) -> dict[str, Any]:
    """One scene's cameras as the page's script lists them, and the scenes to choose from."""
    scene = scene_of(data_set, whole(query.get("scene", "")))
    if scene is None:
        return {"rig": None, "scenes": []}
    values = scene.values
    z, y, x = values["grid"]
    cameras = values["cameras"]
    return {
        "scenes": list(SetScene.objects.filter(data_set=data_set).order_by("index").values_list("index", "name")),
        "scene": scene,
        "manifest_url": cameras_url(str(scene.index)),
        "selected": whole(query.get("camera", "")) or 0,
        "view": query.get("view", "")[:200],
        "rig": {
            "cameras": [{"origin": each["origin"], "forward": each["forward"]} for each in cameras],
            "held": values.get("held_out", []),
        },
        "views": len(cameras),
        "held_out": len(values.get("held_out", [])),
        "has_depth": bool(values.get("depth")),
        "split": values.get("split", ""),
        "grid": (x, y, z),
    }


def cameras(data_set: SceneSet, key: str, picture_url: Callable[[str], str]) -> dict[str, Any] | None:
    """What <canopy-cameras> reads of scene ``key``, in voxels; None where there is no such scene."""
    index = whole(key)
    scene = SetScene.objects.filter(data_set=data_set, index=index).first() if index is not None else None
    if scene is None:
        return None
    z, y, x = scene.values["grid"]
    held = set(scene.values.get("held_out", []))
    kept = set(SetPicture.objects.filter(scene=scene).values_list("view", flat=True))
    return {
        "box": {"min": [0, 0, 0], "max": [x, y, z]},
        "cameras": [
            {
                **camera,
                "image": picture_url(f"{scene.index}-{view}") if view in kept else None,
                "held_out": view in held,
                "label": f"View {view}",
            }
            for view, camera in enumerate(scene.values["cameras"])
        ],
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
