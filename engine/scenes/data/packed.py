"""Scenes packed for training: every view at its final size in a few arrays that are mapped, not read.

Decoding pictures anew in each epoch would keep a GPU waiting; a packed set of 2,000 scenes of 40 views at 128 pixels is
4 GB and is read at the speed of memory. Scenes may have different numbers of views.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from engine.scenes.cameras import Cameras
from engine.scenes.data.types import MASK_IGNORED, MASK_SKY, MASK_THING, MASK_VALID, Scene, SceneDataError
from engine.scenes.data.views import MAP_CHANNELS, layout_of, map_of, read_views
from engine.scenes.layout import Layout
from engine.scenes.stages import SceneTensors
from engine.scenes.trajectory import trajectory_of

_OF_VIEWS = {"images": np.uint8, "depths": np.float16, "masks": np.uint8, "intrinsics": np.float64, "poses": np.float64}
_ARRAYS = {**_OF_VIEWS, "maps": np.float16}  # maps are of scenes
_THREADS = 4  # decoding lets go of the interpreter


@dataclass(frozen=True, slots=True)
class PackSettings:
    grid: tuple[int, int, int]  # Z, Y, X
    size: int  # pixels of a picture's side
    stride: int  # pixels of a feature map's cell

    def __post_init__(self) -> None:
        if self.stride < 1 or self.size < self.stride or self.size % self.stride:
            raise ValueError(f"Pictures of {self.size} pixels cannot be cut into cells of {self.stride}.")

    @property
    def cells(self) -> int:
        return self.size // self.stride


@dataclass(frozen=True)
class PackedScenes:
    """`names[k]`, `groups[k]`, `held_out[k]` (numbers of views) and `voxels[k]` (world units a voxel) of scene k, whose
    views are rows `starts[k]` to `starts[k + 1]` of the arrays."""

    settings: PackSettings
    names: tuple[str, ...]
    groups: tuple[str, ...]
    voxels: tuple[float, ...]
    held_out: tuple[tuple[int, ...], ...]
    starts: tuple[int, ...]
    has_maps: bool
    arrays: dict[str, npt.NDArray[Any]]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def tangent(self) -> float:
        """Of half the angle of view, the middle one of all pictures, which are square."""
        return float(self.settings.size / 2 / np.median(self.arrays["intrinsics"][:, 0, 0]))

    def tensors(self, cameras: int) -> SceneTensors:
        """All scenes for the training stages; trajectories are of so many cameras.

        Stages want as many views of each scene: where scenes differ, the views of all are thinned out evenly to the
        number of the poorest, apart for those held out, which come last. Things that turn to the camera count as
        pictures and not as depth.
        """
        counts = [stop - start for start, stop in pairwise(self.starts)]
        aside = min(len(each) for each in self.held_out)
        shown = min(count - len(each) for count, each in zip(counts, self.held_out, strict=True))
        rows = np.array([self._rows(number, shown, aside) for number in range(len(self))])
        part = {name: torch.from_numpy(self.arrays[name][rows]) for name in _OF_VIEWS}
        cells, size = self.settings.cells, self.settings.size
        flat = Cameras(part["intrinsics"].flatten(0, 1), part["poses"].flatten(0, 1), size, size)
        directions = torch.cat(
            [flat[slice(n, n + 256)].rays(cells, cells)[1].float() for n in range(0, len(flat), 256)]
        )
        origins, forward = (each.float().reshape(*rows.shape, 3) for each in (flat.centres, flat.forward))
        masks = part["masks"]
        ignored = masks & MASK_IGNORED > 0
        maps = torch.from_numpy(np.array(self.arrays["maps"])).float()
        return SceneTensors(
            images=part["images"],
            depths=part["depths"].float(),
            valid=(masks & MASK_VALID > 0) & (masks & MASK_THING == 0),
            sky=masks & MASK_SKY > 0,
            origins=origins,
            directions=directions.reshape(*rows.shape, cells, cells, 3),
            trajectories=trajectory_of(origins, forward, self.settings.grid, cameras),
            maps=maps if self.has_maps else None,
            ignored=ignored if ignored.any() else None,
            held_out=tuple(range(shown, shown + aside)),
        )

    def _rows(self, scene: int, shown: int, aside: int) -> list[int]:
        held = sorted(self.held_out[scene])
        views = [each for each in range(self.starts[scene + 1] - self.starts[scene]) if each not in set(held)]
        thinned = [views[n * len(views) // shown] for n in range(shown)]
        return [self.starts[scene] + each for each in (*thinned, *(held[n * len(held) // aside] for n in range(aside)))]

    @classmethod
    def open(cls, folder: Path) -> PackedScenes:
        """Raises SceneDataError for a folder that `pack_scenes` did not finish."""
        try:
            stored = json.loads((folder / "index.json").read_text())
            arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in _ARRAYS}
        except (OSError, ValueError) as error:
            raise SceneDataError(f"{folder} holds no packed scenes: {error}") from None
        settings = stored["settings"]
        return cls(
            PackSettings(tuple(settings["grid"]), settings["size"], settings["stride"]),
            tuple(stored["names"]),
            tuple(stored["groups"]),
            tuple(stored["voxels"]),
            tuple(tuple(each) for each in stored["held_out"]),
            tuple(stored["starts"]),
            stored["has_maps"],
            arrays,
        )


def pack_scenes(
    scenes: Sequence[Scene], settings: PackSettings, folder: Path, progress: Callable[[int], None] | None = None
) -> PackedScenes:
    """Write a folder for `PackedScenes`, whole or not at all; `progress` gets the number of scenes done.

    Raises:
        SceneDataError: there are no scenes, or a file went away.
    """
    if not scenes:
        raise SceneDataError("There are no scenes to pack.")
    starts = [0, *np.cumsum([len(scene) for scene in scenes]).tolist()]
    partial = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    size, cells = settings.size, settings.cells
    shapes: dict[str, tuple[int, ...]] = {
        "images": (3, size, size),
        "depths": (cells, cells),
        "masks": (cells, cells),
        "intrinsics": (3, 3),
        "poses": (4, 4),
    }
    arrays = {
        name: np.lib.format.open_memmap(partial / f"{name}.npy", "w+", dtype, (starts[-1], *shapes[name]))
        for name, dtype in _OF_VIEWS.items()
    }
    maps = np.lib.format.open_memmap(
        partial / "maps.npy", "w+", np.float16, (len(scenes), MAP_CHANNELS, *settings.grid[1:])
    )

    def write(number: int) -> float:
        scene = scenes[number]
        layout = layout_of(scene, settings.grid)
        _write(scene, layout, settings, arrays, slice(starts[number], starts[number + 1]))
        maps[number] = map_of(scene, layout)
        return layout.voxel

    with ThreadPoolExecutor(_THREADS) as pool:
        voxels = []
        for done, voxel in enumerate(pool.map(write, range(len(scenes))), 1):
            voxels.append(voxel)
            if progress is not None:
                progress(done)
    for array in (*arrays.values(), maps):
        array.flush()
    index = {
        "settings": asdict(settings),
        "names": [scene.name for scene in scenes],
        "groups": [scene.group for scene in scenes],
        "voxels": voxels,
        "held_out": [scene.held_out for scene in scenes],
        "starts": starts,
        "has_maps": all(scene.plan for scene in scenes),
    }
    (partial / "index.json").write_text(json.dumps(index))
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return PackedScenes.open(folder)


def _write(
    scene: Scene, layout: Layout, settings: PackSettings, arrays: Mapping[str, npt.NDArray[Any]], rows: slice
) -> None:
    views = read_views(scene, layout, range(len(scene)), size=settings.size, stride=settings.stride)
    masks = views.valid * MASK_VALID + views.sky * MASK_SKY + views.things * MASK_THING
    masks = masks + views.ignored * MASK_IGNORED
    squared = scene.cameras.squared(settings.size)
    poses = squared.camera_to_world.clone()
    poses[:, :3, 3] = layout.to_voxels(squared.centres)
    arrays["images"][rows] = views.images.numpy()
    arrays["depths"][rows] = views.depths.clamp(max=6e4).numpy()  # fp16 ends at 65,504
    arrays["masks"][rows] = masks.numpy()
    arrays["intrinsics"][rows] = squared.intrinsics.numpy()
    arrays["poses"][rows] = poses.numpy()
