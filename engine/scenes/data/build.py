"""From what a format's reader found to a checked scene: the one place that decides what is kept or left out."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.detection.data.images import SUFFIXES, ImageError, check_image
from engine.scenes.cameras import Cameras, pose_fault
from engine.scenes.data.types import Picture, Report, Scene

FEWEST_VIEWS = 2
_TILT = math.radians(10)  # the cameras' mean up may lean this far before the world is turned
_PARTS = {"depth": "depth", "mask": "mask", "ignored": "mask"}  # of a picture, as a person calls them
_THREADS = 4  # decoding lets go of the interpreter
_IMAGE_PROBLEMS = {"missing_image", "empty_image", "broken_image", "huge_image"}


@dataclass(frozen=True, slots=True)
class FoundView:
    """A picture and its camera as read. `intrinsics` None: the file names no focal length."""

    picture: Picture
    pose: Tensor  # (4, 4) camera-to-world
    intrinsics: Tensor | None  # (3, 3)
    stated_size: tuple[int, int] | None = None  # (width, height)
    given: Tensor | None = None  # the matrix as the file has it, where that is not `pose`

    def with_pose(self, change: Callable[[Tensor], Tensor]) -> FoundView:
        return replace(self, pose=change(self.pose))


def build(name: str, folder: Path, found: list[FoundView], report: Report, **more: Any) -> Scene | None:
    """A scene of the views that can be used; the rest goes into the report. None where too few are left."""
    with ThreadPoolExecutor(_THREADS) as pool:
        sizes = list(pool.map(lambda view: _size(folder, view.picture.image), found))
    usual = _usual([size for size in sizes if isinstance(size, tuple)])
    kept: list[int] = []
    pictures: list[Picture] = []
    for number, (view, size) in enumerate(zip(found, sizes, strict=True)):
        where = f"{name}, {view.picture.image}"
        if _is_usable(view, size, usual, where, report):
            kept.append(number)
            pictures.append(_checked_depth(folder, view.picture, usual, where, report))
    if len(kept) < FEWEST_VIEWS:
        report.add(
            "one_image",
            name,
            f"{len(kept)} usable of {len(found)} pictures; a scene needs at least {FEWEST_VIEWS} from different places",
        )
        return None
    poses = torch.stack([found[number].pose for number in kept])
    centres = poses[:, :3, 3]
    if (centres - centres[0]).norm(dim=1).max() <= 1e-6 * (1 + centres.abs().max()):
        report.add("one_place", name, "all cameras stand at the same place; nothing tells how far anything is")
    intrinsics = [found[number].intrinsics for number in kept]
    cameras = Cameras(torch.stack([each for each in intrinsics if each is not None]), poses, *usual)
    held_out = tuple(kept.index(number) for number in more.pop("held_out", ()) if number in kept)
    return Scene(name, folder, tuple(pictures), cameras, held_out=held_out, **more)


def inside(folder: Path, file: str) -> Path:
    """The path of a file that a hostile list names. Raises ImageError if it does not lie below the folder."""
    try:
        path = (folder / file).resolve()
    except (ValueError, OSError):  # a NUL in the name, or a loop of links
        raise ImageError("missing_image", "the path is not one of a file") from None
    if not path.is_relative_to(folder.resolve()):
        raise ImageError("missing_image", "the path leads out of the scene's folder")
    return path


def count_unposed(folder: Path, found: list[FoundView], name: str, report: Report) -> None:
    """Pictures beside the posed ones that no frame names: COLMAP leaves out what it could not place."""
    named = {Path(each.picture.image).as_posix().removeprefix("./") for each in found}
    for parent in {Path(each).parent for each in named}:
        place = folder / parent
        if not place.is_dir() or ".." in parent.parts:
            continue
        for each in sorted(place.iterdir()):
            file = (parent / each.name).as_posix()
            if each.suffix.lower() in SUFFIXES and file not in named and not _is_depth_or_mask(each.name):
                report.add("unposed_image", f"{name}, {file}", "no camera names this picture; it is not used")


def upright(scene: Scene) -> tuple[Scene, Tensor]:
    """The scene in a world turned so that the cameras' mean up is z, where it leans by more than 10 degrees: voxels are
    flat. And the rotation (3, 3) that did it."""
    still = torch.eye(3, dtype=torch.float64)
    up = -scene.cameras.camera_to_world[:, :3, 1].mean(0)
    if up.norm() < 1e-3:
        return scene, still
    up = up / up.norm()
    z = torch.tensor([0, 0, 1.0], dtype=torch.float64)
    angle = torch.arccos((up @ z).clamp(-1, 1))
    if angle <= _TILT:
        return scene, still
    axis = torch.linalg.cross(up, z)
    if axis.norm() < 1e-9:  # upside down
        axis = torch.tensor([1.0, 0, 0], dtype=torch.float64)
    x, y, w = (axis / axis.norm()).tolist()
    cross = torch.tensor([[0, -w, y], [w, 0, -x], [-y, x, 0]], dtype=torch.float64)
    turn = torch.linalg.matrix_exp(cross * angle)  # Rodrigues
    return replace(scene, cameras=scene.cameras.moved(turn, torch.zeros(3, dtype=torch.float64))), turn


def _size(folder: Path, file: str) -> tuple[int, int] | ImageError:
    try:
        return check_image(inside(folder, file))
    except ImageError as error:
        return error


def _usual(sizes: list[tuple[int, int]]) -> tuple[int, int]:
    return max(set(sizes), key=sizes.count) if sizes else (0, 0)


def _is_usable(
    view: FoundView, size: tuple[int, int] | ImageError, usual: tuple[int, int], where: str, report: Report
) -> bool:
    if isinstance(size, ImageError):
        report.add(size.kind if size.kind in _IMAGE_PROBLEMS else "broken_image", where, str(size))  # type: ignore[arg-type]
        return False
    if size != usual:
        report.add("wrong_size", where, f"{size[0]} x {size[1]} pixels, most of the scene have {usual[0]} x {usual[1]}")
        return False
    if view.stated_size is not None and view.stated_size != size:
        width, height = view.stated_size
        report.add(
            "wrong_size", where, f"the cameras are for {width} x {height} pixels, the file has {size[0]} x {size[1]}"
        )
        return False
    given = view.given if view.given is not None else view.pose
    if fault := pose_fault(given):
        report.add("bad_pose", where, fault)
        return False
    if view.intrinsics is None:
        report.add("missing_intrinsics", where, "no focal length: give fl_x or camera_angle_x, or a K matrix")
        return False
    if fault := _intrinsics_fault(view.intrinsics, size):
        report.add("bad_intrinsics", where, fault)
        return False
    return True


def _intrinsics_fault(k: Tensor, size: tuple[int, int]) -> str | None:
    if not k.isfinite().all():
        return "the intrinsics hold a number that is not finite"
    fx, fy, cx, cy = (k[row, column].item() for row, column in ((0, 0), (1, 1), (0, 2), (1, 2)))
    if not (fx > 0 and fy > 0):
        return f"the focal lengths {fx:g}, {fy:g} must be positive pixels"
    if not (0 <= cx <= size[0] and 0 <= cy <= size[1]):
        return (
            f"the middle ({cx:g}, {cy:g}) lies outside of the {size[0]} x {size[1]} picture; "
            "the intrinsics may be for another size"
        )
    if abs(k[0, 1].item()) > 1e-6 * fx or not torch.allclose(k[2], torch.tensor([0, 0, 1.0]).to(k)):
        return "the intrinsics are not those of a pinhole without skew"
    return None


def _checked_depth(folder: Path, picture: Picture, size: tuple[int, int], where: str, report: Report) -> Picture:
    """The picture without a depth or mask that cannot be used."""
    usable: dict[str, str | None] = {}
    for part, file in (("depth", picture.depth), ("mask", picture.mask), ("ignored", picture.ignored)):
        usable[part] = file
        if file is None:
            continue
        try:
            found = check_image(inside(folder, file))
        except ImageError as error:
            report.add("bad_depth", where, f"{_PARTS[part]}: {error}")
            usable[part] = None
            continue
        if found != size:
            sizes = f"{found[0]} x {found[1]}, the picture has {size[0]} x {size[1]}"
            report.add("bad_depth", where, f"{_PARTS[part]}: {sizes}")
            usable[part] = None
    return Picture(picture.image, **usable)


def _is_depth_or_mask(file: str) -> bool:
    return any(word in file.lower() for word in ("depth", "mask", "normal", "alpha"))
