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
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.scenes.cameras import Cameras
from engine.scenes.data.types import MASK_SKY, MASK_THING, MASK_VALID, Scene, SceneDataError
from engine.scenes.data.views import layout_of, read_views

_ARRAYS = {"images": np.uint8, "depths": np.float16, "masks": np.uint8, "intrinsics": np.float64, "poses": np.float64}
_THREADS = 4  # decoding lets go of the interpreter


class Batch(NamedTuple):
    """N views of each of B scenes, on the device and in the units of the model."""

    images: Tensor  # (B, N, 3, S, S) fp32 in [0, 1]
    depths: Tensor  # (B, N, s, s) fp32, planar, in voxels; 0 where unknown
    valid: Tensor  # (B, N, s, s) bool
    sky: Tensor  # (B, N, s, s) bool
    things: Tensor  # (B, N, s, s) bool
    origins: Tensor  # (B, N, s, s, 3) fp32 (x, y, z), in voxels
    directions: Tensor  # (B, N, s, s, 3) fp32, in voxels, for depth 1


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
    arrays: dict[str, npt.NDArray[Any]]

    def __len__(self) -> int:
        return len(self.names)

    def views(self, scene: int) -> tuple[list[int], list[int]]:
        """(for training, held out): numbers of the scene's views."""
        aside = set(self.held_out[scene])
        count = self.starts[scene + 1] - self.starts[scene]
        return [each for each in range(count) if each not in aside], sorted(aside)

    def draw(self, generator: np.random.Generator, scenes: int, views: int) -> tuple[list[int], list[list[int]]]:
        """Random scenes, and for each so many of its training views, without repetition as far as there are enough."""
        chosen = generator.choice(len(self), scenes, replace=scenes > len(self)).tolist()
        lists = []
        for scene in chosen:
            train, _ = self.views(scene)
            lists.append(generator.choice(train, views, replace=views > len(train)).tolist())
        return chosen, lists

    def batch(self, scenes: Sequence[int], views: Sequence[Sequence[int]], device: str | torch.device = "cpu") -> Batch:
        """The views `views[b]` of scene `scenes[b]`; each scene the same number."""
        rows = [self.starts[scene] + view for scene, each in zip(scenes, views, strict=True) for view in each]
        per_scene = len(rows) // max(1, len(scenes))

        def grouped(part: Tensor) -> Tensor:
            return part.reshape(len(scenes), per_scene, *part.shape[1:])

        part = {name: torch.from_numpy(array[rows]).to(device) for name, array in self.arrays.items()}
        size, cells = self.settings.size, self.settings.cells
        origins, directions = Cameras(part["intrinsics"], part["poses"], size, size).rays(cells, cells)
        masks = grouped(part["masks"])
        return Batch(
            images=grouped(part["images"]).float() / 255,
            depths=grouped(part["depths"]).float(),
            valid=masks & MASK_VALID > 0,
            sky=masks & MASK_SKY > 0,
            things=masks & MASK_THING > 0,
            origins=grouped(origins).float(),
            directions=grouped(directions).float(),
        )

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
        for name, dtype in _ARRAYS.items()
    }

    def write(number: int) -> float:
        return _write(scenes[number], settings, arrays, slice(starts[number], starts[number + 1]))

    with ThreadPoolExecutor(_THREADS) as pool:
        voxels = []
        for done, voxel in enumerate(pool.map(write, range(len(scenes))), 1):
            voxels.append(voxel)
            if progress is not None:
                progress(done)
    for array in arrays.values():
        array.flush()
    index = {
        "settings": asdict(settings),
        "names": [scene.name for scene in scenes],
        "groups": [scene.group for scene in scenes],
        "voxels": voxels,
        "held_out": [scene.held_out for scene in scenes],
        "starts": starts,
    }
    (partial / "index.json").write_text(json.dumps(index))
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return PackedScenes.open(folder)


def _write(scene: Scene, settings: PackSettings, arrays: Mapping[str, npt.NDArray[Any]], rows: slice) -> float:
    layout = layout_of(scene, settings.grid)
    views = read_views(scene, layout, range(len(scene)), size=settings.size, stride=settings.stride)
    masks = views.valid * MASK_VALID + views.sky * MASK_SKY + views.things * MASK_THING
    squared = scene.cameras.squared(settings.size)
    poses = squared.camera_to_world.clone()
    poses[:, :3, 3] = layout.to_voxels(squared.centres)
    arrays["images"][rows] = views.images.numpy()
    arrays["depths"][rows] = views.depths.clamp(max=6e4).numpy()  # fp16 ends at 65,504
    arrays["masks"][rows] = masks.numpy()
    arrays["intrinsics"][rows] = squared.intrinsics.numpy()
    arrays["poses"][rows] = poses.numpy()
    return layout.voxel
