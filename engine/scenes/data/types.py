"""What a set of scenes is, whatever format it came in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from engine.data_report import DataReport
from engine.detection.data.types import DatasetError
from engine.scenes.cameras import Cameras

ProblemKind = Literal[
    "bad_cameras",  # the file of cameras cannot be read: the scene is left out
    "missing_image",  # named by a camera, not there
    "empty_image",  # 0 bytes
    "broken_image",  # not an image, or cut short
    "huge_image",  # more pixels than the limit
    "unposed_image",  # a picture that no camera names
    "pose_count",  # not as many poses as pictures: the scene is left out
    "bad_pose",  # not finite, scaled, mirrored, or stored column by column
    "missing_intrinsics",  # no focal length
    "bad_intrinsics",  # not finite, not positive, or for another picture size
    "lens_distortion",  # a model of the lens that a pinhole camera has not
    "wrong_size",  # a picture that is not as large as the scene's others, or as its camera says
    "bad_depth",  # missing, of another size, or without any usable value: the picture is kept
    "one_image",  # too few pictures: the scene is left out
    "one_place",  # all cameras stand at one place: nothing tells how far anything is
]


class SceneDataError(DatasetError):
    """Scenes that cannot be used; the message says why and what to do."""

    is_final = True  # for jobs.runner: trying again does not help


class Report(DataReport[ProblemKind]):
    """What was wrong with a set of scenes."""

    error = SceneDataError


@dataclass(frozen=True, slots=True)
class Picture:
    """One view's files, below the scene's folder; None where there is none."""

    image: str
    depth: str | None = None
    mask: str | None = None  # 8 bits: see MASK_VALID and the others
    ignored: str | None = None  # black where nothing counts, as nerfstudio and COLMAP have it


# Depth is known; sky; a thing that turns to the camera; nothing counts, not even the picture.
MASK_VALID, MASK_SKY, MASK_THING, MASK_IGNORED = 1, 2, 4, 8


@dataclass(frozen=True, slots=True)
class Scene:
    """Pictures with cameras. `box`: origin and size (x, y, z) in world units, None where the data names none."""

    name: str
    folder: Path
    pictures: tuple[Picture, ...]
    cameras: Cameras  # as many as pictures
    depth_scale: float = 1.0  # world units = stored value * scale + offset
    depth_offset: float = 0.0
    box: tuple[tuple[float, float, float], tuple[float, float, float]] | None = None
    held_out: tuple[int, ...] = ()  # views to be rendered and compared, never encoded
    plan: str | None = None  # file of the map from above
    group: str = ""  # what may not be torn apart by a split: the map it was taken from

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def has_depth(self) -> bool:
        return any(each.depth for each in self.pictures)


@dataclass(frozen=True, slots=True)
class Plan:
    """A scene from above; rows are y from south, columns x from west. Arrays of one shape.

    floor, ceiling: height in world units, NaN outside; wall: cannot be passed; things: 0 or 1 + index in `categories`.
    """

    floor: npt.NDArray[np.float32]
    ceiling: npt.NDArray[np.float32]
    wall: npt.NDArray[np.bool_]
    things: npt.NDArray[np.uint8]
    categories: tuple[str, ...]
