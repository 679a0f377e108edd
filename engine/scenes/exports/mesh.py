"""The surface of a scene as a coloured mesh, and its files: glTF 2.0 (.glb) and Stanford's .ply.

glTF is in metres with y up (its specification, section 3.4), so (x, y, z) of the voxels becomes (x, z, -y); its vertex
colours are linear, not sRGB (section 3.7.2.1), and its material is unlit, since the colours hold the light already. A
.ply has no such rules: metres, z up, sRGB in bytes, as the programs that read it expect.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from skimage.measure import marching_cubes
from torch import Tensor

from engine.scenes.autoencoder import SceneAutoencoder
from engine.scenes.rig import Rig
from engine.scenes.volume import colours_at

Floats = npt.NDArray[np.float32]

_LEVEL = 0.5  # of the light that a voxel stops, at its surface
_FAINTEST = 1 / 128
# Numbers of the glTF specification.
_MAGIC, _VERSION, _JSON, _BIN = 0x46546C67, 2, 0x4E4F534A, 0x004E4942
_FLOAT, _UINT16, _UINT32 = 5126, 5123, 5125
_VERTICES, _INDICES = 34962, 34963


class EmptySceneError(ValueError):
    """A scene with no surface to export."""


@dataclass(frozen=True, slots=True)
class Mesh:
    """In voxels, (x, y, z) with z up."""

    vertices: Floats  # [V, 3]
    faces: npt.NDArray[np.uint32]  # [F, 3], counter-clockwise seen from outside
    colours: npt.NDArray[np.uint8]  # [V, 3], sRGB


def surface(autoencoder: SceneAutoencoder, field: Tensor, rig: Rig | None = None, *, cells: int = 32) -> Mesh:
    """Where a voxel of the field [Z, Y, X, 1 + C] stops half of the light, or half of what the densest one does in a
    scene of mist (marching cubes, Lewiner et al. 2003). Open where the scene ends. Colours as in `scene_volume`.

    Raises:
        EmptySceneError: nothing in the scene stops light.
    """
    opacity = -torch.expm1(-field[..., 0].float().clamp(min=0))
    level = min(_LEVEL, float(opacity.max()) / 2)
    if level < _FAINTEST or float(opacity.min()) >= level:
        raise EmptySceneError("The scene has no surface: nothing in it stops light. Train longer or draw another one.")
    zyx, faces, _, _ = marching_cubes(opacity.cpu().numpy(), level)  # type: ignore[no-untyped-call]
    vertices = np.ascontiguousarray(zyx[:, ::-1], np.float32) + np.float32(0.5)
    colours = colours_at(autoencoder, field, torch.from_numpy(vertices).to(field.device), rig, cells=cells)
    # The library's faces turn the other way round in (z, y, x), so they are right in (x, y, z).
    return Mesh(vertices, faces.astype(np.uint32), (colours * 255).round().to(torch.uint8).cpu().numpy())


def write_glb(path: Path, mesh: Mesh, *, voxel_metres: float | None = None, name: str = "scene") -> None:
    """One file with everything in it; without `voxel_metres` a voxel is one metre."""
    scale = np.float32(voxel_metres or 1.0)
    x, y, z = (mesh.vertices * scale).T
    places = np.stack([x, z, -y], axis=1).astype("<f4")
    colours = np.full((len(places), 4), 65535, "<u2")
    colours[:, :3] = (linear_of_srgb(mesh.colours / 255) * 65535).round()
    parts = (places.tobytes(), colours.tobytes(), mesh.faces.astype("<u4").tobytes())
    starts = np.cumsum([0, *map(len, parts)]).tolist()
    asset: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "Canopy"},
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": name}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "COLOR_0": 1}, "indices": 2, "material": 0}]}],
        "materials": [
            {
                "pbrMetallicRoughness": {"metallicFactor": 0, "roughnessFactor": 1},
                "doubleSided": True,
                "extensions": {"KHR_materials_unlit": {}},
            }
        ],
        "buffers": [{"byteLength": starts[-1]}],
        "bufferViews": [
            {"buffer": 0, "byteOffset": start, "byteLength": len(part), "target": target}
            for start, part, target in zip(starts, parts, (_VERTICES, _VERTICES, _INDICES), strict=False)
        ],
        "accessors": [
            {
                "bufferView": 0,
                "componentType": _FLOAT,
                "count": len(places),
                "type": "VEC3",
                "min": places.min(0).tolist(),
                "max": places.max(0).tolist(),
            },
            {"bufferView": 1, "componentType": _UINT16, "normalized": True, "count": len(places), "type": "VEC4"},
            {"bufferView": 2, "componentType": _UINT32, "count": mesh.faces.size, "type": "SCALAR"},
        ],
    }
    head = json.dumps(asset, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 4)
    body = b"".join(parts)  # each part is a whole number of 4 bytes
    path.write_bytes(
        struct.pack("<III", _MAGIC, _VERSION, 12 + 8 + len(head) + 8 + len(body))
        + struct.pack("<II", len(head), _JSON)
        + head
        + struct.pack("<II", len(body), _BIN)
        + body
    )


def write_ply(path: Path, mesh: Mesh, *, voxel_metres: float | None = None) -> None:
    """Binary, with faces; of a `Mesh` without faces a cloud of points."""
    vertices = np.empty(len(mesh.vertices), [("place", "<f4", 3), ("colour", "u1", 3)])
    vertices["place"], vertices["colour"] = mesh.vertices * np.float32(voxel_metres or 1.0), mesh.colours
    faces = np.empty(len(mesh.faces), [("count", "u1"), ("corners", "<u4", 3)])
    faces["count"], faces["corners"] = 3, mesh.faces
    header = [
        "ply",
        "format binary_little_endian 1.0",
        "comment metres, z up" if voxel_metres else "comment voxels, z up",
        f"element vertex {len(vertices)}",
        *(f"property float {axis}" for axis in "xyz"),
        *(f"property uchar {colour}" for colour in ("red", "green", "blue")),
    ]
    if len(faces):
        header += [f"element face {len(faces)}", "property list uchar uint vertex_indices"]
    path.write_bytes(("\n".join([*header, "end_header", ""])).encode("ascii") + vertices.tobytes() + faces.tobytes())


def linear_of_srgb(srgb: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """IEC 61966-2-1, of values in [0, 1]."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
