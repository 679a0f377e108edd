"""What a scene can be taken away as.

for made in write_downloads(folder, autoencoder, field, rig, voxel_metres=0.19):
    print(made.label, made.path)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from engine.scenes.autoencoder import SceneAutoencoder
from engine.scenes.exports.arrays import write_cameras, write_npz
from engine.scenes.exports.flight import write_film, write_flight
from engine.scenes.exports.mesh import EmptySceneError, Mesh, surface, write_glb, write_ply
from engine.scenes.exports.panorama import panorama, write_panorama
from engine.scenes.rig import Rig
from engine.scenes.volume import scene_volume

__all__ = [
    "EmptySceneError",
    "Made",
    "Mesh",
    "panorama",
    "surface",
    "write_cameras",
    "write_downloads",
    "write_film",
    "write_flight",
    "write_glb",
    "write_npz",
    "write_panorama",
    "write_ply",
]


class Made(NamedTuple):
    label: str
    path: Path


def write_downloads(
    folder: Path,
    autoencoder: SceneAutoencoder,
    field: Tensor,
    rig: Rig,
    *,
    cells: int,
    voxel_metres: float | None = None,
    seconds: float = 8.0,
    panorama_height: int = 512,
) -> Iterator[Made]:
    """Every file of a scene, one after the other, quick ones first. A scene without a surface has no mesh files.

    Args:
        field: [Z, Y, X, 1 + C], density first.
        cells: of a feature map's side in rendered pictures; those are `stride` times larger.
    """
    cameras = Made("Cameras (.json)", folder / "cameras.json")
    write_cameras(cameras.path, rig, size=cells * autoencoder.config.stride, voxel_metres=voxel_metres)
    yield cameras
    arrays = Made("Field and poses (.npz)", folder / "scene.npz")
    write_npz(arrays.path, field, scene_volume(autoencoder, field, rig, cells=cells), rig, voxel_metres=voxel_metres)
    yield arrays
    try:
        mesh = surface(autoencoder, field, rig, cells=cells)
    except EmptySceneError:
        pass
    else:
        for made in (Made("Mesh (.glb)", folder / "scene.glb"), Made("Mesh (.ply)", folder / "scene.ply")):
            writer = write_glb if made.path.suffix == ".glb" else write_ply
            writer(made.path, mesh, voxel_metres=voxel_metres)
            yield made
    around = Made("360° panorama (.jpg)", folder / "panorama.jpg")
    write_panorama(around.path, panorama(autoencoder, field, rig, cells=cells, height=panorama_height))
    yield around
    film = Made("Flight (.mp4)", folder / "flight.mp4")
    write_flight(film.path, autoencoder, field, rig, cells=cells, seconds=seconds)
    yield film
