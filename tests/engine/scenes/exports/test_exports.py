"""Files of a scene, read back by other programs: trimesh, PyAV, Pillow, numpy, and our own reader of data."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from engine.scenes.data import Report
from engine.scenes.data.gsn import read as read_scene
from engine.scenes.exports import (
    EmptySceneError,
    Mesh,
    panorama,
    surface,
    write_cameras,
    write_downloads,
    write_film,
    write_glb,
    write_npz,
    write_panorama,
    write_ply,
)
from engine.scenes.exports.mesh import linear_of_srgb
from engine.scenes.exports.panorama import directions
from engine.scenes.rig import Rig
from engine.scenes.volume import scene_volume
from tests.engine.scenes.test_volume import COLOURS, GRID, room, showing

RADIUS = 5.0


def ball() -> torch.Tensor:
    """Green, of radius 5 about (10, 9, 8) in a grid of (16, 18, 20); half opaque at its rim."""
    z, y, x = torch.meshgrid(*(torch.arange(n) + 0.5 for n in (16, 18, 20)), indexing="ij")
    distance = ((x - 10) ** 2 + (y - 9) ** 2 + (z - 8) ** 2).sqrt()
    opacity = (0.5 + (RADIUS - distance) / 4).clamp(0, 0.99)
    colour = torch.tensor([0.2, 0.7, 0.3, 0.0]).expand(16, 18, 20, 4)
    return torch.cat([-torch.log1p(-opacity)[..., None], colour], dim=-1)


def outside() -> Rig:
    places = torch.tensor([[1.0, 9, 8], [19, 9, 8], [10, 1, 8], [10, 17, 8]])
    return Rig.looking(places, torch.tensor([10.0, 9, 8]) - places)


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    return surface(showing(), ball(), outside(), cells=16)


def test_the_surface_of_a_ball(mesh: Mesh) -> None:
    out = np.linalg.norm(mesh.vertices - np.array([10, 9, 8]), axis=1)
    np.testing.assert_allclose(out, RADIUS, atol=0.1)
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces)
    assert solid.is_watertight and solid.volume == pytest.approx(4 / 3 * math.pi * RADIUS**3, rel=0.03)  # not negative


def test_glb_is_in_metres_with_y_up(mesh: Mesh, tmp_path: Path) -> None:
    path = tmp_path / "scene.glb"
    write_glb(path, mesh, voxel_metres=0.5, name="Scene 3")
    (read,) = trimesh.load_scene(path).geometry.values()
    assert len(read.faces) == len(mesh.faces) and read.is_watertight
    np.testing.assert_allclose(read.bounds.mean(0), [5, 4, -4.5], atol=0.05)
    assert read.volume == pytest.approx(4 / 3 * math.pi * (RADIUS / 2) ** 3, rel=0.03)
    raw = path.read_bytes()
    magic, version, length, head, kind = struct.unpack("<IIIII", raw[:20])
    assert (magic, version, length, kind) == (0x46546C67, 2, len(raw), 0x4E4F534A)
    asset = json.loads(raw[20 : 20 + head])
    assert asset["nodes"][0]["name"] == "Scene 3" and asset["materials"][0]["extensions"] == {"KHR_materials_unlit": {}}
    view = asset["bufferViews"][1]
    start = 28 + head + view["byteOffset"]
    colours = np.frombuffer(raw[start : start + view["byteLength"]], "<u2").reshape(-1, 4) / 65535
    np.testing.assert_allclose(colours[:, :3], linear_of_srgb(mesh.colours / 255), atol=1e-4)
    assert (colours[:, 3] == 1).all()


def test_linear_colours() -> None:
    """The standard's own points: its two branches meet, and 21.4 % of the light looks half as bright."""
    np.testing.assert_allclose(linear_of_srgb(np.array([0.0, 0.5, 1.0])), [0, 0.2140, 1], atol=1e-4)
    assert linear_of_srgb(np.array(0.04045)) == pytest.approx(((0.04045 + 0.055) / 1.055) ** 2.4, rel=1e-3)


def test_ply_of_a_mesh_and_of_points(mesh: Mesh, tmp_path: Path) -> None:
    write_ply(tmp_path / "scene.ply", mesh, voxel_metres=0.5)
    read = trimesh.load_mesh(tmp_path / "scene.ply", process=False)
    np.testing.assert_allclose(read.vertices, mesh.vertices * 0.5)
    assert np.array_equal(read.faces, mesh.faces) and np.array_equal(read.visual.vertex_colors[:, :3], mesh.colours)
    np.testing.assert_allclose(np.median(mesh.colours, 0) / 255, [0.2, 0.7, 0.3], atol=0.1)
    write_ply(tmp_path / "points.ply", Mesh(mesh.vertices, mesh.faces[:0], mesh.colours))
    cloud = trimesh.load(tmp_path / "points.ply")
    assert isinstance(cloud, trimesh.PointCloud)
    np.testing.assert_allclose(cloud.vertices, mesh.vertices)


def test_an_empty_scene_has_no_surface(tmp_path: Path) -> None:
    with pytest.raises(EmptySceneError, match="no surface"):
        surface(showing(), torch.zeros(*GRID, 5))
    made = write_downloads(
        tmp_path, showing(), torch.zeros(*GRID, 5), outside()[:1], cells=4, seconds=0.1, panorama_height=32
    )
    assert [each.path.name for each in made] == ["cameras.json", "scene.npz", "panorama.jpg", "flight.mp4"]


def test_cameras_are_read_as_a_scene(tmp_path: Path) -> None:
    rig = outside()
    write_cameras(tmp_path / "cameras.json", rig, size=16, voxel_metres=0.25)
    for number in range(len(rig)):
        Image.new("RGB", (16, 16)).save(tmp_path / f"{number:03}_rgb.png")
    report = Report()
    scene = read_scene(tmp_path, report, "scene")
    assert scene is not None and not report.sentences()
    torch.testing.assert_close(scene.cameras.centres.float(), rig.origins * 0.25)
    torch.testing.assert_close(scene.cameras.forward.float(), rig.forward)
    pixels, depth = scene.cameras.project(torch.tensor([[2.5, 2.25, 2.0]]).double())
    torch.testing.assert_close(pixels, torch.full_like(pixels, 8.0), atol=1e-4, rtol=0)  # all look at the ball's middle
    torch.testing.assert_close(depth[:, 0].float(), torch.tensor([9.0, 9, 8, 8]) * 0.25)


def test_npz(tmp_path: Path) -> None:
    field, rig = room(), outside()
    volume = scene_volume(showing(), field, rig)
    write_npz(tmp_path / "scene.npz", field, volume, rig, voxel_metres=0.2)
    with np.load(tmp_path / "scene.npz", allow_pickle=False) as read:
        np.testing.assert_allclose(read["field"], field.numpy(), rtol=1e-3)
        assert np.array_equal(read["volume"], volume) and read["grid"].tolist() == list(GRID)
        np.testing.assert_allclose(read["poses"][:, :3, 3], rig.origins)
        assert read["tangent"] == 1 and read["voxel_metres"] == np.float32(0.2)


def test_a_film_is_played_back(tmp_path: Path) -> None:
    frames = [np.full((32, 48, 3), (40 * n, 200 - 40 * n, 90), np.uint8) for n in range(5)]
    assert write_film(tmp_path / "film.mp4", frames, rate=24) == 5
    with av.open(str(tmp_path / "film.mp4")) as film:
        (stream,) = film.streams.video
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 48, 32)
        assert stream.average_rate == 24 and stream.codec_context.pix_fmt == "yuv420p"
        seen = [frame.to_ndarray(format="rgb24") for frame in film.decode(stream)]
    np.testing.assert_allclose(np.stack(seen).mean((1, 2)), np.stack(frames).mean((1, 2)), atol=6)
    raw = (tmp_path / "film.mp4").read_bytes()
    assert raw.index(b"moov") < raw.index(b"mdat")  # plays while it loads
    with pytest.raises(ValueError, match="even"):
        write_film(tmp_path / "odd.mp4", [np.zeros((32, 31, 3), np.uint8)])
    with pytest.raises(ValueError, match="at least one frame"):
        write_film(tmp_path / "none.mp4", [])


def test_directions_of_a_panorama() -> None:
    seen = directions(64, start=0.3)
    torch.testing.assert_close(seen.norm(dim=-1), torch.ones(64, 128))
    middle = seen[31:33, 63:65].mean((0, 1))
    torch.testing.assert_close(middle, torch.tensor([math.cos(0.3), math.sin(0.3), 0]), atol=2e-3, rtol=0)
    right = seen[31:33, 95:97].mean((0, 1))
    torch.testing.assert_close(right, torch.tensor([math.sin(0.3), -math.cos(0.3), 0]), atol=2e-3, rtol=0)
    assert (seen[0, :, 2] > 0.99).all() and (seen[-1, :, 2] < -0.99).all()


def test_a_panorama_shows_each_wall_where_it_is(tmp_path: Path) -> None:
    camera = Rig.looking(torch.tensor([[8.0, 8, 3]]), torch.tensor([[1.0, 0, 0.4]]))
    pixels = panorama(showing(), room(), camera, cells=16, height=32)
    assert pixels.shape == (32, 64, 3)
    # From left to right: behind, left, ahead, right, behind; walls are east, north, west, south.
    seen = pixels[16, [0, 16, 32, 48, 63]] / 255
    np.testing.assert_allclose(seen, COLOURS[[2, 1, 0, 3, 2]], atol=0.12)
    np.testing.assert_allclose(pixels[0] / 255, 0.25, atol=0.02)  # the sky above
    write_panorama(tmp_path / "panorama.jpg", pixels)
    with Image.open(tmp_path / "panorama.jpg") as image:
        assert image.size == (64, 32) and b"equirectangular" in image.info["xmp"]


def test_all_downloads(tmp_path: Path) -> None:
    rig = Rig.around(GRID)[::10]
    made = list(
        write_downloads(tmp_path, showing(), room(), rig, cells=8, voxel_metres=0.2, seconds=0.5, panorama_height=64)
    )
    names = ["cameras.json", "scene.npz", "scene.glb", "scene.ply", "panorama.jpg", "flight.mp4"]
    assert [each.path.name for each in made] == names and all(each.path.stat().st_size for each in made)
    with av.open(str(tmp_path / "flight.mp4")) as film:
        assert film.streams.video[0].width == 64  # of pictures of 16
        assert sum(1 for _ in film.decode(video=0)) == 12
