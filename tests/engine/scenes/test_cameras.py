from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engine.doom import calibration
from engine.scenes.cameras import (
    Cameras,
    colmap_of_pose,
    intrinsics_of,
    opencv_of_opengl,
    opengl_of_opencv,
    pose_fault,
    pose_of_colmap,
    pose_of_world_to_camera,
)

angles = st.floats(-math.pi, math.pi)
numbers = st.floats(-1e4, 1e4)


def turned(yaw: float, pitch: float, roll: float) -> Tensor:
    def about(axis: int, angle: float) -> Tensor:
        matrix = torch.eye(3, dtype=torch.float64)
        a, b = [each for each in range(3) if each != axis]
        matrix[a, a] = matrix[b, b] = math.cos(angle)
        matrix[a, b], matrix[b, a] = -math.sin(angle), math.sin(angle)
        return matrix

    return about(2, yaw) @ about(1, pitch) @ about(0, roll)


def pose(yaw: float = 0.3, pitch: float = -0.2, roll: float = 0.1, at: tuple[float, ...] = (1, 2, 3)) -> Tensor:
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3], matrix[:3, 3] = turned(yaw, pitch, roll), torch.tensor(at, dtype=torch.float64)
    return matrix


def some() -> Cameras:
    return Cameras(
        torch.stack([intrinsics_of(160, 192, 160, 120), intrinsics_of(150, 150, 170, 100)]),
        torch.stack([pose(), pose(2.0, 0.4, -1.0, (-5, 0, 2))]),
        320,
        240,
    )


def test_points_of_rays_project_to_the_pixels_they_came_from() -> None:
    cameras = some()
    depth = 1 + 50 * torch.rand(2, 240, 320, dtype=torch.float64)
    points = cameras.unproject(depth)
    pixels, found = cameras.project(points.reshape(2, -1, 3))
    v, u = torch.meshgrid(torch.arange(240) + 0.5, torch.arange(320) + 0.5, indexing="ij")
    assert torch.allclose(found.reshape(2, 240, 320), depth)
    assert torch.allclose(pixels.reshape(2, 240, 320, 2), torch.stack([u, v], -1).double().expand(2, -1, -1, -1))


def test_a_coarse_grid_of_rays_goes_through_the_middles_of_its_cells() -> None:
    cameras = some()
    _, fine = cameras.rays()
    _, coarse = cameras.rays(80, 60)
    blocks = fine.reshape(2, 60, 4, 80, 4, 3).mean((2, 4))  # pixels are a plane: the mean of rays is the middle's ray
    assert torch.allclose(coarse, blocks)


def test_a_known_point() -> None:
    camera = Cameras(intrinsics_of(100, 120, 50, 40)[None], torch.eye(4, dtype=torch.float64)[None], 100, 80)
    pixels, depth = camera.project(torch.tensor([[1.0, -2.0, 4.0]], dtype=torch.float64))
    assert pixels[0, 0].tolist() == [50 + 100 / 4, 40 - 120 * 2 / 4] and depth[0, 0] == 4
    assert camera.project(torch.tensor([[0.0, 0, -1]]).double())[1] < 0


@pytest.mark.parametrize("change", ["resized", "cropped", "squared"])
def test_pictures_may_be_resized_and_cropped(change: str) -> None:
    """The same world point falls on the same spot of the changed picture."""
    cameras = some()[:1]
    point = torch.tensor([[6.0, 3.0, 2.0]]).double()
    (u, v), _ = cameras.project(point)[0][0, 0].tolist(), None
    after = {
        "resized": (cameras.resized(160, 60), (u / 2, v / 4)),
        "cropped": (cameras.cropped(30, 20, 100, 100), (u - 30, v - 20)),
        "squared": (cameras.squared(128), ((u - 60) * 128 / 200, v * 128 / 240)),
    }[change]
    assert after[0].project(point)[0][0, 0].tolist() == pytest.approx(after[1])


def test_squared_pixels_are_square() -> None:
    cameras = some()[:1]
    assert cameras.square_box() == (60, 0, 260, 240)
    fx, fy = cameras.squared(64).focal[0].tolist()
    assert fx == pytest.approx(fy) and 2 * math.atan(32 / fx) == pytest.approx(math.radians(64), abs=0.001)


def test_a_moved_world_looks_the_same() -> None:
    cameras, points = some(), torch.randn(20, 3, dtype=torch.float64)
    rotation, shift = turned(1, 2, 3), torch.tensor([5.0, -6, 7]).double()
    moved = cameras.moved(rotation, shift, 2.5)
    before, after = cameras.project(points), moved.project(2.5 * points @ rotation.mT + shift)
    assert torch.allclose(before[0], after[0]) and torch.allclose(before[1] * 2.5, after[1])


@given(angles, angles, angles, numbers, numbers, numbers)
@settings(max_examples=100, deadline=None)
def test_conversions_come_back(yaw: float, pitch: float, roll: float, x: float, y: float, z: float) -> None:
    matrix = pose(yaw, pitch, roll, (x, y, z))
    assert torch.allclose(opencv_of_opengl(opengl_of_opencv(matrix)), matrix)
    assert torch.allclose(pose_of_world_to_camera(pose_of_world_to_camera(matrix)), matrix, atol=1e-8)
    assert torch.allclose(pose_of_world_to_camera(matrix), torch.linalg.inv(matrix), atol=1e-8)
    quaternion, translation = colmap_of_pose(matrix)
    assert quaternion[0] >= 0 and quaternion.norm() == pytest.approx(1)
    assert torch.allclose(pose_of_colmap(quaternion, translation), matrix, atol=1e-7)
    assert torch.allclose(pose_of_colmap(-3 * quaternion, translation), matrix, atol=1e-7)
    assert pose_fault(matrix) is None


def test_conversions_of_known_cameras() -> None:
    """COLMAP's identity at (0, 0, -2) stands at z = 2; OpenGL looks along its own -z, up its own +y."""
    at = pose_of_colmap(torch.tensor([1.0, 0, 0, 0]).double(), torch.tensor([0, 0, -2.0]).double())
    assert at[:3, 3].tolist() == [0, 0, 2]
    half = 0.5**0.5  # a quarter turn about y: world x is the camera's -z
    quarter = pose_of_colmap(torch.tensor([half, 0, half, 0]).double(), torch.zeros(3).double())
    assert torch.allclose(quarter[:3, 2], torch.tensor([-1.0, 0, 0]).double())
    camera = opencv_of_opengl(torch.eye(4, dtype=torch.float64))
    assert camera[:3, 2].tolist() == [0, 0, -1] and camera[:3, 1].tolist() == [0, -1, 0]


def test_the_pitch_of_vizdoom_is_a_shear_and_not_a_turn() -> None:
    """Pitched, a wall across the view keeps one depth in every row, and the horizon moves by fy tan(pitch)."""
    level = calibration.camera_to_world(0, 0, 0, 0)
    k = torch.from_numpy(calibration.intrinsics(320, 240, pitch=-20))
    camera = Cameras(k[None], torch.from_numpy(level)[None], 320, 240)
    wall = torch.tensor([[100.0, y, z] for y in (-30, 0, 30) for z in (-20, 0, 20)]).double()
    pixels, depth = camera.project(wall)
    assert (depth == 100).all()
    horizon = camera.project(torch.tensor([[1e9, 0, 0]]).double())[0][0, 0, 1].item()
    assert horizon == pytest.approx(120 + 192 * math.tan(math.radians(20)), abs=1e-6)
    assert pixels[0, :3, 0].unique().numel() == 1  # upright edges stay upright


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda m: m.mul_(float("nan")), "not finite"),
        (lambda m: m.copy_(m.T.clone()), "column by column"),
        (lambda m: m[:3, :3].mul_(1.5), "not orthonormal"),
        (lambda m: m[:3, 0].mul_(-1), "mirrors"),
    ],
)
def test_faulty_poses_are_named(break_it: object, words: str) -> None:
    matrix = pose()
    break_it(matrix)  # type: ignore[operator]
    assert words in (pose_fault(matrix) or "")


def test_depth_of_one_real_view_is_found_in_another() -> None:
    """Two stands of a real map: see also tests/engine/doom/test_collect.py, which does it without this module."""
    pytest.importorskip("vizdoom")
    from engine.doom import GameMap, Recipe, collect

    frames = list(collect([GameMap("freedoom2", "MAP01")], Recipe(scenes=1, stands=2, headings=8)))
    cameras = Cameras(
        torch.from_numpy(np.stack([frame.intrinsics for frame in frames])),
        torch.from_numpy(np.stack([frame.camera_to_world for frame in frames])),
        320,
        240,
    )
    depth = torch.from_numpy(np.stack([frame.depth for frame in frames])).double()
    usable = torch.from_numpy(np.stack([frame.valid & ~frame.things for frame in frames]))
    points = cameras[:8].unproject(depth[:8])[usable[:8]]
    seen, agree = 0, 0
    for k in range(8, 16):
        pixels, z = (each[0] for each in cameras[[k]].project(points))
        inner = (z > 256) & (pixels >= 1).all(1) & (pixels[:, 0] < 319) & (pixels[:, 1] < 239)
        u, v = pixels[inner].long().unbind(1)
        around = torch.stack([depth[k, v + j, u + i] - z[inner] for j in (-1, 0, 1) for i in (-1, 0, 1)])
        best = around.gather(0, around.abs().argmin(0)[None])[0][usable[k, v, u]]
        unhidden = best > -10
        seen, agree = seen + int(unhidden.sum()), agree + int((best[unhidden] < 10).sum())
    # The rest lie on floors seen at a grazing angle, where half a count of depth is several pixels.
    assert seen > 50_000 and agree / seen > 0.93
