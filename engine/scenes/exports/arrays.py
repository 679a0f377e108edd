"""A scene as numbers: its field and cameras for those who go on working with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from engine.scenes.rig import Rig


def write_npz(
    path: Path,
    field: Tensor,
    volume: npt.NDArray[np.uint8],
    rig: Rig,
    *,
    voxel_metres: float | None = None,
) -> None:
    """Arrays `field` (Z, Y, X, 1 + C) fp16, density per voxel length first; `volume` (Z, Y, X, 4) RGBA; `poses`
    (K, 4, 4) fp32, camera-to-voxels with OpenCV's axes; `tangent`, of half the angle of view; `grid` (Z, Y, X);
    `voxel_metres`, NaN where it is not known."""
    np.savez_compressed(
        path,
        field=field.cpu().numpy().astype(np.float16),
        volume=volume,
        poses=rig.camera_to_voxels.cpu().numpy().astype(np.float32),
        tangent=np.float32(rig.tangent),
        grid=np.array(field.shape[:3]),
        voxel_metres=np.float32(np.nan if voxel_metres is None else voxel_metres),
    )


def write_cameras(path: Path, rig: Rig, *, size: int, voxel_metres: float | None = None) -> None:
    """cameras.json as GSN has it: a list of {"Rt": world-to-camera 4 x 4, "K": 3 x 3}, for square pictures of `size`
    pixels. OpenCV's axes, pixel centres at + 0.5, the world in metres (voxels where they are not known) with z up and
    its origin in the grid's lower corner. Beside pictures it is a scene that engine.scenes.data reads."""
    poses = rig.camera_to_voxels.double().cpu()
    poses[:, :3, 3] *= voxel_metres or 1.0
    focal = size / 2 / rig.tangent
    intrinsics = [[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]]
    path.write_text(json.dumps([{"Rt": rt, "K": intrinsics} for rt in poses.inverse().tolist()], indent=1))
