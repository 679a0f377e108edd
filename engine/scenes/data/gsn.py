"""The folder layout of GSN (DeVries et al. 2021): <split>/<scene>/cameras.json beside 000_rgb.png, 000_depth.png ...

cameras.json is a list of {"Rt": 4 x 4 world-to-camera, "K": 3 x 3 or 4 x 4 in pixels}. What we write has two files
more, and everything works without them: scene.json (box, how depth is stored, held-out views) and plan.npz, the scene
from above; and a mask beside each picture.
"""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from engine.scenes.cameras import Cameras, opencv_of_opengl, pose_of_world_to_camera
from engine.scenes.data.build import FoundView, build
from engine.scenes.data.types import Picture, Plan, Report, Scene, SceneDataError

CAMERAS, EXTRA, PLAN = "cameras.json", "scene.json", "plan.npz"
_MOST_JSON = 64 << 20  # bytes
# Without scene.json: the published ViZDoom set keeps the engine's counts, the Replica set kilometres.
_DEPTH_OF_SUFFIX = {".png": (100 / 14, 0.0), ".tiff": (1000.0, 0.0)}


def find(root: Path) -> list[Path]:
    """The folders of scenes below a root, in order of their names."""
    return sorted(each.parent for each in root.rglob(CAMERAS))


def read(folder: Path, report: Report, name: str, axes: str = "opencv") -> Scene | None:
    """One scene; None, and a line in the report, where it cannot be used.

    `axes`: "opencv" or "opengl", of cameras whose folder does not say which.
    """
    try:
        cameras, extra = _json(folder / CAMERAS), _json(folder / EXTRA) if (folder / EXTRA).exists() else {}
        if not isinstance(cameras, list) or not cameras or not isinstance(extra, dict):
            raise ValueError("it is not a list of cameras")
        found = [_view(folder, camera, number) for number, camera in enumerate(cameras)]
        box = _box(extra.get("box"))
        scale, offset = _depth(extra.get("depth"), found)
        held_out = tuple(int(each) for each in extra.get("held_out", ()))
    except (ValueError, TypeError, KeyError, OSError, RuntimeError, OverflowError) as error:
        report.add("bad_cameras", name, f"{CAMERAS} or {EXTRA} cannot be used: {error}")
        return None
    numbered = [each for each in folder.iterdir() if re.fullmatch(r"\d+_rgb\.png", each.name)]
    if numbered and len(numbered) != len(cameras):
        report.add(
            "pose_count",
            name,
            f"{len(cameras)} cameras for {len(numbered)} pictures; cameras.json must list them in the pictures' order",
        )
        return None
    if extra.get("axes", axes) == "opengl":
        found = [each.with_pose(opencv_of_opengl) for each in found]
    plan = PLAN if (folder / PLAN).exists() else None
    more = {"depth_scale": scale, "depth_offset": offset, "box": box, "held_out": held_out, "plan": plan}
    return build(name, folder, found, report, group=str(extra.get("group", "")), **more)


def write_cameras(folder: Path, cameras: Cameras, extra: Mapping[str, Any]) -> None:
    """cameras.json and scene.json."""
    matrices = pose_of_world_to_camera(cameras.camera_to_world).tolist()
    listed = [{"Rt": rt, "K": k} for rt, k in zip(matrices, cameras.intrinsics.tolist(), strict=True)]
    (folder / CAMERAS).write_text(json.dumps(listed))
    (folder / EXTRA).write_text(json.dumps({"axes": "opencv", **extra}, indent=1))


def write_plan(folder: Path, plan: Plan) -> None:
    np.savez_compressed(
        folder / PLAN,
        floor=plan.floor,
        ceiling=plan.ceiling,
        wall=plan.wall,
        things=plan.things,
        categories=np.array(plan.categories, dtype="U64"),
    )


def read_plan(path: Path) -> Plan:
    """Raises SceneDataError for a file that is not a plan."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            floor, ceiling = stored["floor"].astype(np.float32), stored["ceiling"].astype(np.float32)
            wall, things = stored["wall"].astype(bool), stored["things"].astype(np.uint8)
            categories = tuple(str(each) for each in stored["categories"])
    except (ValueError, KeyError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise SceneDataError(f"{path.name} is not a map from above: {error}") from None
    if floor.ndim != 2 or not floor.shape == ceiling.shape == wall.shape == things.shape:
        raise SceneDataError(f"{path.name} holds maps of different sizes.")
    return Plan(floor, ceiling, wall, things, categories)


def _json(path: Path) -> Any:
    if path.stat().st_size > _MOST_JSON:
        raise ValueError(f"{path.name} is larger than {_MOST_JSON >> 20} MB")
    return json.loads(path.read_text(encoding="utf-8"))


def _view(folder: Path, camera: Mapping[str, Any], number: int) -> FoundView:
    stem = f"{number:03}"
    depth = next((f"{stem}_depth{s}" for s in _DEPTH_OF_SUFFIX if (folder / f"{stem}_depth{s}").exists()), None)
    # The bits of a mask are ours, as scene.json is.
    mask = f"{stem}_mask.png" if (folder / EXTRA).exists() and (folder / f"{stem}_mask.png").exists() else None
    rt = torch.tensor(camera["Rt"], dtype=torch.float64)
    k = torch.tensor(camera["K"], dtype=torch.float64) if "K" in camera else None
    if rt.shape != (4, 4) or (k is not None and k.shape not in ((3, 3), (4, 4))):
        raise ValueError(f"camera {number} needs a 4 x 4 Rt and a 3 x 3 or 4 x 4 K")
    return FoundView(
        Picture(f"{stem}_rgb.png", depth, mask),
        pose_of_world_to_camera(rt),
        k[:3, :3] if k is not None else None,
        given=rt,
    )


def _box(box: Any) -> tuple[tuple[float, float, float], tuple[float, float, float]] | None:
    if box is None:
        return None
    (x, y, z), (width, length, height) = ([float(each) for each in part] for part in (box["origin"], box["size"]))
    if (
        not all(map(math.isfinite, (x, y, z)))
        or not min(width, length, height) > 0
        or math.isinf(width * length * height)
    ):
        raise ValueError("the box needs a finite origin and a positive size")
    return (x, y, z), (width, length, height)


def _depth(stored: Any, views: list[FoundView]) -> tuple[float, float]:
    if stored is not None:
        scale, offset = float(stored["scale"]), float(stored["offset"])
        if not (0 < scale < math.inf and math.isfinite(offset)):
            raise ValueError("depth needs a positive scale and a finite offset")
        return scale, offset
    first = next((each.picture.depth for each in views if each.picture.depth), None)
    return _DEPTH_OF_SUFFIX[Path(first).suffix] if first else (1.0, 0.0)


def indexed_colours(rgb: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]] | None:
    """(indices (H, W), palette (P, 3)) of a picture with at most 256 colours, or None. An old game has no more, and a
    picture of indices takes a third of the space."""
    wide = rgb.astype(np.uint32)
    codes = (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
    colours = np.sort(np.unique(codes, sorted=False))
    if len(colours) > 256:
        return None
    place = np.empty(2**24, np.uint8)  # touched at these colours only, so it costs no memory
    place[colours] = np.arange(len(colours))
    palette = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1).astype(np.uint8)
    return place[codes], palette
