"""COLMAP's own files: cameras, images and points3D, as .bin or as .txt, beside the pictures.

    scene/images/0001.jpg ...   scene/sparse/0/cameras.bin, images.bin, points3D.bin   scene/masks/0001.jpg.png ...

A model is one scene; its folder may also hold the pictures itself. Points say where the scene's box lies. What a mask
shows in black is left out. A lens that is nearly a pinhole's is read as one and named; others are refused by name.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from engine.scenes.cameras import intrinsics_of, pose_of_colmap
from engine.scenes.data.build import FoundView, build, count_unposed, upright
from engine.scenes.data.types import Picture, Report, Scene
from engine.scenes.layout import extent

_MOST_BYTES = 1 << 30
_FEWEST_POINTS = 50  # that say where a scene lies
_MOST_POINTS = 500_000


class _Model(NamedTuple):
    """A lens that is a pinhole without its distortion. Its parameters are one or two focal lengths, cx, cy, and what
    bends the picture."""

    name: str
    focal: int
    parameters: int


# By their numbers in .bin files.
_MODELS = {
    0: _Model("SIMPLE_PINHOLE", 1, 3),
    1: _Model("PINHOLE", 2, 4),
    2: _Model("SIMPLE_RADIAL", 1, 4),
    3: _Model("RADIAL", 1, 5),
    4: _Model("OPENCV", 2, 8),
    6: _Model("FULL_OPENCV", 2, 12),
}
_NO_PINHOLES = {
    5: "OPENCV_FISHEYE",
    7: "FOV",
    8: "SIMPLE_RADIAL_FISHEYE",
    9: "RADIAL_FISHEYE",
    10: "THIN_PRISM_FISHEYE",
    11: "RAD_TAN_THIN_PRISM_FISHEYE",
    12: "SIMPLE_DIVISION",
    13: "DIVISION",
    14: "SIMPLE_FISHEYE",
    15: "FISHEYE",
    16: "EUCM",
    17: "EQUIRECTANGULAR",
}
_BY_NAME = {model.name: model for model in _MODELS.values()}


@dataclass(frozen=True, slots=True)
class Found:
    """Where a model is, and the folder below which its pictures are: `place`, from the root of the set."""

    folder: Path
    base: Path
    place: str


class _Camera(NamedTuple):
    model: _Model
    size: tuple[int, int]  # width, height
    parameters: tuple[float, ...]

    @property
    def intrinsics(self) -> Tensor:
        focal = self.model.focal
        cx, cy = self.parameters[focal : focal + 2]
        return intrinsics_of(self.parameters[0], self.parameters[focal - 1], cx, cy)

    @property
    def is_distorted(self) -> bool:
        return any(abs(each) > 1e-9 for each in self.parameters[self.model.focal + 2 :])


class _Image(NamedTuple):
    camera: int
    pose: Tensor  # (4, 4), camera-to-world
    name: str


class _LensError(ValueError):
    """A lens that no pinhole stands for."""


def find(root: Path) -> list[Found]:
    """The models below a root, in order of their paths. COLMAP writes one for each part that it could not connect."""
    folders = {
        path.parent
        for suffix in ("bin", "txt")
        for path in root.rglob(f"cameras.{suffix}")
        if (path.parent / f"images.{suffix}").is_file()
    }
    bases = [(folder, _base(folder, root)) for folder in sorted(folders)]
    return [Found(folder, base, base.relative_to(root).as_posix()) for folder, base in bases]


def read(model: Found, report: Report, name: str) -> Scene | None:
    """One scene; None, and a line in the report, where it cannot be used."""
    suffix = "bin" if (model.folder / "images.bin").is_file() else "txt"
    try:
        cameras = dict((_cameras_bin if suffix == "bin" else _cameras_txt)(_bytes(model.folder / f"cameras.{suffix}")))
        images = sorted(
            (_images_bin if suffix == "bin" else _images_txt)(_bytes(model.folder / f"images.{suffix}")),
            key=lambda image: image.name,
        )
        if not images:
            raise ValueError("it has no images")
        if unknown := next((image for image in images if image.camera not in cameras), None):
            raise ValueError(f"{unknown.name} is of camera {unknown.camera}, which is not there")
        points = _points(model.folder, suffix)
    except _LensError as error:
        report.add("lens_distortion", name, str(error))
        return None
    except (ValueError, struct.error, OSError, OverflowError, IndexError) as error:
        report.add("bad_cameras", name, f"COLMAP's cameras, images or points3D (.{suffix}) cannot be used: {error}")
        return None
    if bent := next((camera for camera in cameras.values() if camera.is_distorted), None):
        report.add(
            "lens_distortion",
            name,
            f"the lens ({bent.model.name}) is distorted and the pictures are read as if it were not; undistort them "
            "first (colmap image_undistorter)",
        )
    below = "images/" if (model.base / "images").is_dir() else ""
    found = [_view(model.base, below, image, cameras[image.camera]) for image in images]
    count_unposed(model.base, found, name, report)
    scene = build(name, model.base, found, report, group=model.place)
    if scene is None:
        return None
    scene, turn = upright(scene)
    if len(points) < _FEWEST_POINTS:
        return scene
    low, high = extent(scene.cameras, points @ turn.mT)
    (x, y, z), (width, length, height) = low.tolist(), (high - low).clamp(min=1e-6).tolist()
    return replace(scene, box=((x, y, z), (width, length, height)))


def _base(folder: Path, root: Path) -> Path:
    for each in (folder, folder.parent, folder.parent.parent):
        if each.is_relative_to(root) and (each / "images").is_dir():
            return each
    return folder


def _view(base: Path, below: str, image: _Image, camera: _Camera) -> FoundView:
    mask = f"masks/{image.name}.png"
    has_mask = ".." not in Path(mask).parts and "\0" not in mask and (base / mask).is_file()
    picture = Picture(below + image.name, ignored=mask if has_mask else None)
    return FoundView(picture, image.pose, camera.intrinsics, camera.size)


def _camera(model: _Model | None, said: str, width: int, height: int, parameters: Sequence[float]) -> _Camera:
    if model is None:
        raise _LensError(f"a lens of the model {said}, no pinhole; undistort the pictures (colmap image_undistorter)")
    if len(parameters) != model.parameters:
        raise ValueError(f"a camera {model.name} has {model.parameters} parameters, not {len(parameters)}")
    return _Camera(model, (width, height), tuple(parameters))


def _pose(numbers: Sequence[float]) -> Tensor:
    values = torch.tensor(numbers, dtype=torch.float64)
    return pose_of_colmap(values[:4], values[4:])


def _cameras_txt(raw: bytes) -> Iterator[tuple[int, _Camera]]:
    for line in _lines(raw):
        if not line.strip():
            continue
        number, name, width, height, *rest = line.split()
        yield int(number), _camera(_BY_NAME.get(name), name, int(width), int(height), [float(each) for each in rest])


def _images_txt(raw: bytes) -> Iterator[_Image]:
    """Two lines an image; the second, of its points, may be empty."""
    lines = _lines(raw)
    for line in lines:
        if not line.strip():
            continue
        _, *pose, camera, name = line.strip().split(maxsplit=9)
        yield _Image(int(camera), _pose([float(each) for each in pose]), name)
        next(lines, None)


def _lines(raw: bytes) -> Iterator[str]:
    return (line for line in raw.decode("utf-8").splitlines() if not line.startswith("#"))


class _Reader:
    """Numbers one after the other, little-endian. Raises struct.error past the end."""

    def __init__(self, raw: bytes) -> None:
        self._raw, self._at = raw, 0

    def take(self, form: str) -> tuple[int | float, ...]:
        found = struct.unpack_from(f"<{form}", self._raw, self._at)
        self._at += struct.calcsize(f"<{form}")
        return found

    def skip(self, count: int) -> None:
        if count < 0 or self._at + count > len(self._raw):
            raise ValueError("the file ends too early")
        self._at += count

    def text(self) -> str:
        end = self._raw.index(b"\0", self._at)
        found, self._at = self._raw[self._at : end], end + 1
        return found.decode("utf-8")


def _cameras_bin(raw: bytes) -> Iterator[tuple[int, _Camera]]:
    reader = _Reader(raw)
    for _ in range(int(reader.take("Q")[0])):
        number, kind, width, height = (int(each) for each in reader.take("IiQQ"))
        model = _MODELS.get(kind)
        parameters = reader.take(f"{model.parameters}d") if model else ()
        said = _NO_PINHOLES.get(kind, f"number {kind}")
        yield number, _camera(model, said, width, height, parameters)


def _images_bin(raw: bytes) -> Iterator[_Image]:
    reader = _Reader(raw)
    for _ in range(int(reader.take("Q")[0])):
        _, *pose, camera = reader.take("I7dI")
        name = reader.text()
        reader.skip(24 * int(reader.take("Q")[0]))  # x, y and the number of the point, of each
        yield _Image(int(camera), _pose(pose), name)


def _points(folder: Path, suffix: str) -> Tensor:
    """(P, 3) in the world; none where there is no file of them."""
    path = folder / f"points3D.{suffix}"
    if not path.is_file():
        return torch.zeros(0, 3, dtype=torch.float64)
    raw = _bytes(path)
    found: list[list[float]] = []
    if suffix == "txt":
        found = [[float(each) for each in line.split()[1:4]] for line in _lines(raw) if line.strip()]
    else:
        reader = _Reader(raw)
        count = int(reader.take("Q")[0])
        for _ in range(count):
            _, x, y, z, *_ = reader.take("Q3d3Bd")
            reader.skip(8 * int(reader.take("Q")[0]))  # the pictures that show it
            found.append([x, y, z])
            if len(found) >= _MOST_POINTS:
                break
    points = torch.tensor(found, dtype=torch.float64).reshape(-1, 3)
    return points[points.isfinite().all(1)]


def _bytes(path: Path) -> bytes:
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{path.name} is larger than {_MOST_BYTES >> 20} MB")
    return path.read_bytes()
