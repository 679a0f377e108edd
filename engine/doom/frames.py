"""What is collected: pictures with depth, pose and masks, and the scenes they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.doom import calibration
from engine.doom.maps import GameMap
from engine.doom.world import BirdsEye, Thing


@dataclass(frozen=True, slots=True)
class Seen:
    """One visible object. mask (H, W): its visible pixels."""

    mask: npt.NDArray[np.bool_]
    name: str
    category: str
    id: int  # the same object in other frames of the map

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x1, y1, x2, y2 in pixels, of the mask: the engine's own box can be larger."""
        rows, columns = np.flatnonzero(self.mask.any(1)), np.flatnonzero(self.mask.any(0))
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@dataclass(frozen=True)
class Frame:
    """One picture. Numbers are within its map (`scene`) and its scene (`stand`, `view`)."""

    game_map: GameMap
    scene: int
    stand: int
    view: int
    rgb: npt.NDArray[np.uint8]  # (H, W, 3)
    counts: npt.NDArray[np.uint8]  # (H, W) of the depth buffer
    labels: npt.NDArray[np.uint8]  # (H, W): 0 walls and sky, 1 floors and ceilings, others: `objects`
    objects: tuple[dict[str, Any], ...]  # value in `labels`, name, category, id
    intrinsics: npt.NDArray[np.float64]  # (3, 3), pixels
    camera_to_world: npt.NDArray[np.float64]  # (4, 4), OpenCV camera, map units; see engine.doom.calibration

    @property
    def name(self) -> str:
        """Unique over all maps, in order of collection: "freedoom2-MAP01-003-07"."""
        return f"{self.game_map}-{self.scene:03}-{self.view:02}"

    @cached_property
    def depth(self) -> npt.NDArray[np.float32]:
        """(H, W) planar depth in units; 0 where `valid` is False."""
        depth = calibration.depth_units(self.counts, self.counts.shape[1])
        return np.where(self.valid, depth, np.float32(0))

    @cached_property
    def sky(self) -> npt.NDArray[np.bool_]:
        """(H, W): where the sky is drawn. Walls at a depth of exactly one count, 912 to 919 units, are taken for it."""
        sky: npt.NDArray[np.bool_] = (self.counts == calibration.SKY_COUNT) & (self.labels == 0)
        return sky

    @cached_property
    def valid(self) -> npt.NDArray[np.bool_]:
        """(H, W): where depth is known: no sky, not too near, not too far."""
        return ~self.sky & (self.counts > 1) & (self.counts < calibration.SATURATED)

    @cached_property
    def things(self) -> npt.NDArray[np.bool_]:
        """(H, W): pixels of objects. They are flat pictures that turn to the camera: no two views agree on them."""
        return np.isin(self.labels, [each["value"] for each in self.objects])

    def instances(self, min_pixels: int = 16) -> list[Seen]:
        """The objects in sight with at least so many visible pixels."""
        found = [
            Seen(self.labels == each["value"], each["name"], each["category"], each["id"]) for each in self.objects
        ]
        return [each for each in found if int(each.mask.sum()) >= min_pixels]


@dataclass(frozen=True)
class DoomScene:
    """A box of a map and its pictures, stand by stand."""

    game_map: GameMap
    number: int  # within the map
    anchor: tuple[float, float, float]  # x, y and the floor's z, units
    birds_eye: BirdsEye  # the box from above
    things: tuple[Thing, ...]  # in the box
    frames: tuple[Frame, ...]

    @property
    def name(self) -> str:
        """Unique over all maps: "freedoom2-MAP01-003"."""
        return f"{self.game_map}-{self.number:03}"


def frame_of(game_map: GameMap, fields: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Frame:
    """From a "frame" message of engine.doom.worker."""
    pose = fields["pose"]
    height, width = arrays["counts"].shape
    return Frame(
        game_map,
        fields["scene"],
        fields["stand"],
        fields["view"],
        arrays["rgb"],
        arrays["counts"],
        arrays["labels"],
        tuple(fields["objects"]),
        calibration.intrinsics(width, height, pose["fov"], pose["pitch"]),
        calibration.camera_to_world(pose["x"], pose["y"], pose["z"], pose["angle"]),
    )


def scene_of(
    game_map: GameMap, fields: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]], frames: list[Frame]
) -> DoomScene:
    """From a "scene" message and its frames."""
    x, y = fields["origin"]
    return DoomScene(
        game_map,
        fields["scene"],
        tuple(fields["anchor"]),
        BirdsEye((x, y), fields["cell"], arrays["floor"], arrays["ceiling"], arrays["wall"]),
        tuple(Thing(**each) for each in fields["things"]),
        tuple(frames),
    )
