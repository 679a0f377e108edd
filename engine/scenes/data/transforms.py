"""transforms.json of nerfstudio, instant-ngp and Blender's synthetic scenes; COLMAP's results come in it too, through
nerfstudio's ns-process-data and instant-ngp's colmap2nerf.

One file is one scene. Poses are camera-to-world in OpenGL's axes. Intrinsics stand on top or with each frame. What a
mask (mask_path) shows in black is left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.detection.data.images import SUFFIXES, ImageError, check_image
from engine.scenes.cameras import intrinsics_of, opencv_of_opengl
from engine.scenes.data.build import FoundView, build, count_unposed, inside, upright
from engine.scenes.data.types import Picture, Report, Scene

FILE = "transforms.json"
SPLIT_FILES = {"train": "transforms_train.json", "val": "transforms_val.json", "test": "transforms_test.json"}
_MOST_JSON = 64 << 20  # bytes
_DEPTH_SCALE = 0.001  # nerfstudio keeps depth in millimetres
_DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")


def find(root: Path) -> list[Path]:
    """All transforms.json below a root, in order of their paths. A scene in three files, for train, val and test, is
    named by the first; the views of the others are held out."""
    return sorted([*root.rglob(FILE), *root.rglob(SPLIT_FILES["train"])])


def read(path: Path, report: Report, name: str) -> Scene | None:
    """One scene; None, and a line in the report, where it cannot be used."""
    folder = path.parent
    try:
        files = [path]
        if path.name == SPLIT_FILES["train"]:
            files += [other for split in ("val", "test") if (other := folder / SPLIT_FILES[split]).exists()]
        found: list[FoundView] = []
        held_out: list[int] = []
        parts: list[dict[str, Any]] = []
        for file in files:
            stored, frames = _stored(file)
            parts += [stored, *frames]
            held_out += range(len(found), len(found) + len(frames)) if file != path else ()
            found += [_view(folder, stored, frame, number) for number, frame in enumerate(frames)]
        scale = float(parts[0].get("depth_unit_scale_factor", _DEPTH_SCALE))
        if not 0 < scale < math.inf:
            raise ValueError(f"a depth_unit_scale_factor of {scale} is none")
        lens = " ".join(str(part.get("camera_model", "")) for part in parts).lower()
        distorted = any(abs(float(part.get(key) or 0)) > 1e-9 for part in parts for key in _DISTORTION)
    except (ValueError, TypeError, KeyError, OSError, AttributeError, RuntimeError, OverflowError) as error:
        missing = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        report.add("bad_cameras", name, f"{path.name} cannot be used: {missing}")
        return None
    if "fisheye" in lens:
        report.add("lens_distortion", name, "a fisheye lens; undistort the pictures first (colmap image_undistorter)")
        return None
    if distorted:
        report.add(
            "lens_distortion",
            name,
            "the lens is distorted (k1 ... p2) and the pictures are read as if it were not; undistort them first",
        )
    count_unposed(folder, found, name, report)
    scene = build(name, folder, found, report, depth_scale=scale, group=name, held_out=held_out)
    return upright(scene)[0] if scene else None


def _stored(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What a file says of all frames, and the frames."""
    if path.stat().st_size > _MOST_JSON:
        raise ValueError(f"larger than {_MOST_JSON >> 20} MB")
    stored = json.loads(path.read_text(encoding="utf-8"))
    frames = stored["frames"] if isinstance(stored, dict) else None
    if not isinstance(frames, list) or not frames:
        raise ValueError("it has no list of frames")
    return stored, frames


def _view(folder: Path, stored: Mapping[str, Any], frame: Mapping[str, Any], number: int) -> FoundView:
    pose = torch.tensor(frame["transform_matrix"], dtype=torch.float64)
    if pose.shape != (4, 4):
        raise ValueError(f"frame {number} needs a transform_matrix of 4 x 4")
    image = _with_suffix(folder, str(frame["file_path"]))
    depth, mask = frame.get("depth_file_path"), frame.get("mask_path")
    size = _number(stored, frame, "w"), _number(stored, frame, "h")
    stated = (round(size[0]), round(size[1])) if size[0] and size[1] else None
    return FoundView(
        Picture(image, str(depth) if depth else None, ignored=str(mask) if mask else None),
        opencv_of_opengl(pose),
        _intrinsics(folder, image, stored, frame, stated),
        stated,
        given=pose,
    )


def _intrinsics(
    folder: Path, image: str, stored: Mapping[str, Any], frame: Mapping[str, Any], size: tuple[int, int] | None
) -> Tensor | None:
    """From fl_x, or from the angle of view, which needs the picture's width."""
    fx, angle = _number(stored, frame, "fl_x"), _number(stored, frame, "camera_angle_x")
    if fx is None and angle is None:
        return None
    if size is None:
        try:
            size = check_image(inside(folder, image))
        except ImageError:
            size = (1, 1)  # the picture itself is refused later
    if fx is None:
        fx = size[0] / 2 / math.tan((angle or math.nan) / 2)
    fy, cx, cy = (_number(stored, frame, key) for key in ("fl_y", "cx", "cy"))
    return intrinsics_of(
        fx, fx if fy is None else fy, size[0] / 2 if cx is None else cx, size[1] / 2 if cy is None else cy
    )


def _number(stored: Mapping[str, Any], frame: Mapping[str, Any], key: str) -> float | None:
    value = frame.get(key, stored.get(key))
    return None if value is None else float(value)


def _with_suffix(folder: Path, file: str) -> str:
    """Blender's files leave the suffix out."""
    if Path(file).suffix.lower() in SUFFIXES:
        return file
    return next((file + suffix for suffix in sorted(SUFFIXES) if (folder / (file + suffix)).is_file()), file)
