from __future__ import annotations

import math

import pytest
import torch

from engine.scenes.cameras import Cameras, intrinsics_of
from engine.scenes.layout import Layout, fit_layout, looked_at


def ring(radius: float = 4.0, inward: bool = True, count: int = 12) -> Cameras:
    """Cameras on a circle about (1, 2, 3), upright, looking to its middle or away from it."""
    poses = []
    for n in range(count):
        angle = 2 * math.pi * n / count
        out = torch.tensor([math.cos(angle), math.sin(angle), 0.0]).double()
        forward = -out if inward else out
        down = torch.tensor([0.0, 0, -1]).double()
        pose = torch.eye(4, dtype=torch.float64)
        pose[:3, :3] = torch.stack([torch.linalg.cross(down, forward), down, forward], 1)
        pose[:3, 3] = torch.tensor([1.0, 2, 3]).double() + radius * out
        poses.append(pose)
    return Cameras(intrinsics_of(50, 50, 32, 32).expand(count, 3, 3), torch.stack(poses), 64, 64)


def test_world_and_voxels() -> None:
    layout = Layout((100, 200, -50), 8, (32, 128, 64))
    assert layout.size == (512, 1024, 256) and layout.voxels == 32 * 128 * 64
    point = torch.tensor([[104.0, 212, -50 + 255.9]]).double()
    assert layout.to_voxels(point).floor().tolist() == [[0, 1, 31]]
    points = torch.randn(10, 3, dtype=torch.float64) * 100
    assert torch.allclose(layout.to_world(layout.to_voxels(points)), points)


def test_a_ray_in_voxels_reaches_the_same_points() -> None:
    layout, cameras = Layout((-10, -10, 0), 0.5, (16, 40, 40)), ring()
    depth = torch.rand(12, 8, 8, dtype=torch.float64) * 3
    origins, directions = layout.rays(cameras, 8, 8)
    reached = origins + (depth / layout.voxel)[..., None] * directions
    assert torch.allclose(reached, layout.to_voxels(cameras.unproject(depth)))


def test_it_finds_what_the_cameras_look_at() -> None:
    assert torch.allclose(looked_at(ring()), torch.tensor([1.0, 2, 3]).double())
    layout = fit_layout(ring(), (16, 16, 16))
    assert torch.allclose(layout.to_world(torch.tensor([8.0, 8, 8]).double()), torch.tensor([1.0, 2, 3]).double())
    assert layout.size[0] == pytest.approx(12)


def test_cameras_that_look_outward_are_inside() -> None:
    layout = fit_layout(ring(inward=False), (16, 32, 32))
    assert ((layout.to_voxels(ring().centres) > 0) & (layout.to_voxels(ring().centres) < 32)).all()


def test_points_decide_where_there_are_some() -> None:
    points = torch.rand(5000, 3, dtype=torch.float64) * torch.tensor([40.0, 20, 8])
    points[0] = 1e6  # a stray one
    layout = fit_layout(ring(), (32, 64, 64), points)
    assert 42 < layout.size[0] < 44  # with the cameras, which reach to -3
    assert (layout.to_voxels(ring().centres) >= 0).all()


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one voxel"):
        Layout((0, 0, 0), 1, (0, 4, 4))
    with pytest.raises(ValueError, match="finite"):
        Layout((0, 0, 0), float("nan"), (4, 4, 4))
