"""Pinhole cameras and the conventions of the programs that write them.

Here a camera is OpenCV's: x right, y down, z forward, pixel centres at + 0.5, poses as camera-to-world matrices in
float64. Depth is planar, along z. Other conventions are turned into this one where files are read:

    OpenGL, Blender, nerfstudio   camera-to-world, x right, y UP, z BACKWARD
    COLMAP                        world-to-camera as a quaternion (w, x, y, z) and a translation, OpenCV's axes
    GSN (cameras.json)            world-to-camera matrices
    ViZDoom                       fy = 1.2 fx; looking up or down moves the principal point (engine.doom.calibration)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

_FLIP = torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64)
_ORTHONORMAL = 1e-3  # largest error of R R^T against the identity in a pose that somebody wrote with few digits


@dataclass(frozen=True, slots=True)
class Cameras:
    """N cameras of one picture size."""

    intrinsics: Tensor  # (N, 3, 3), pixels
    camera_to_world: Tensor  # (N, 4, 4), world units
    width: int
    height: int

    def __len__(self) -> int:
        return len(self.intrinsics)

    def __getitem__(self, which: slice | list[int] | Tensor) -> Cameras:
        return replace(self, intrinsics=self.intrinsics[which], camera_to_world=self.camera_to_world[which])

    @property
    def centres(self) -> Tensor:
        """(N, 3) in the world."""
        return self.camera_to_world[:, :3, 3]

    @property
    def forward(self) -> Tensor:
        """(N, 3), unit vectors."""
        return self.camera_to_world[:, :3, 2]

    @property
    def focal(self) -> Tensor:
        """(N, 2): fx, fy."""
        return torch.stack([self.intrinsics[:, 0, 0], self.intrinsics[:, 1, 1]], dim=1)

    def rays(self, width: int | None = None, height: int | None = None) -> tuple[Tensor, Tensor]:
        """Origins and directions (N, height, width, 3) through the middles of a grid of cells laid over the picture, by
        default its pixels. A direction has planar depth 1: the point at depth d is origin + d * direction."""
        width, height = width or self.width, height or self.height
        like = self.intrinsics
        u = (torch.arange(width, dtype=like.dtype, device=like.device) + 0.5) * (self.width / width)
        v = (torch.arange(height, dtype=like.dtype, device=like.device) + 0.5) * (self.height / height)
        pixels = torch.stack(
            [u.expand(height, width), v[:, None].expand(height, width), torch.ones_like(u * v[:, None])]
        )
        local = torch.linalg.solve(like, pixels.reshape(3, -1).expand(len(self), -1, -1))
        world = (self.camera_to_world[:, :3, :3] @ local).mT.reshape(-1, height, width, 3)
        return self.centres[:, None, None].expand_as(world), world

    def unproject(self, depth: Tensor) -> Tensor:
        """World points (N, h, w, 3) of planar depths (N, h, w) at the middles of the cells."""
        origins, directions = self.rays(depth.shape[2], depth.shape[1])
        return origins + depth[..., None] * directions

    def project(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (N, P, 2) and planar depths (N, P) of world points (P, 3) or (N, P, 3). Depth is negative behind a
        camera, where pixels mean nothing."""
        rotation, centre = self.camera_to_world[:, :3, :3], self.centres[:, None]
        local = (points - centre) @ rotation  # the inverse of a rotation is its transpose
        image = local @ self.intrinsics.mT
        return image[..., :2] / image[..., 2:], local[..., 2]

    def resized(self, width: int, height: int) -> Cameras:
        """For the pictures stretched to this size."""
        scale = torch.tensor([width / self.width, height / self.height, 1.0]).to(self.intrinsics)
        return Cameras(self.intrinsics * scale[:, None], self.camera_to_world, width, height)

    def cropped(self, left: float, top: float, width: int, height: int) -> Cameras:
        """For a part of the pictures."""
        moved = self.intrinsics.clone()
        moved[:, 0, 2] -= left
        moved[:, 1, 2] -= top
        return Cameras(moved, self.camera_to_world, width, height)

    def moved(self, rotation: Tensor, translation: Tensor, scale: float = 1.0) -> Cameras:
        """In a world whose points are scale * (rotation @ point) + translation."""
        poses = self.camera_to_world.clone()
        poses[:, :3, :3] = rotation @ poses[:, :3, :3]
        poses[:, :3, 3] = scale * (self.centres @ rotation.mT) + translation
        return replace(self, camera_to_world=poses)

    def square_box(self) -> tuple[float, float, float, float]:
        """The largest middle part (left, top, right, bottom; pixels) that covers the same angle both ways, by the first
        camera: stretched to a square, its pixels are square. 200 x 240 of ViZDoom's 320 x 240."""
        fx, fy = self.focal[0].tolist()
        reach = min(self.width / fx, self.height / fy)
        width, height = reach * fx, reach * fy
        left, top = (self.width - width) / 2, (self.height - height) / 2
        return left, top, left + width, top + height

    def squared(self, size: int) -> Cameras:
        """For the pictures' `square_box` stretched to size x size."""
        left, top, right, bottom = self.square_box()
        scale = torch.tensor([size / (right - left), size / (bottom - top), 1.0]).to(self.intrinsics)
        cropped = self.cropped(left, top, size, size)
        return replace(cropped, intrinsics=cropped.intrinsics * scale[:, None])


def intrinsics_of(fx: float, fy: float, cx: float, cy: float) -> Tensor:
    """(3, 3)."""
    return torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=torch.float64)


def opencv_of_opengl(camera_to_world: Tensor) -> Tensor:
    """(..., 4, 4) of OpenGL, Blender or nerfstudio; its own inverse."""
    return camera_to_world * _FLIP.to(camera_to_world)


opengl_of_opencv = opencv_of_opengl


def pose_of_world_to_camera(world_to_camera: Tensor) -> Tensor:
    """Camera-to-world (..., 4, 4) of a rigid motion; its own inverse."""
    rotation, translation = world_to_camera[..., :3, :3].mT, world_to_camera[..., :3, 3:]
    pose = torch.zeros_like(world_to_camera)
    pose[..., :3, :3], pose[..., :3, 3:], pose[..., 3, 3] = rotation, -rotation @ translation, 1
    return pose


def pose_of_colmap(quaternion: Tensor, translation: Tensor) -> Tensor:
    """Camera-to-world (..., 4, 4) of COLMAP's images: qw, qx, qy, qz of any length but 0, and tx, ty, tz."""
    w, x, y, z = (quaternion / quaternion.norm(dim=-1, keepdim=True)).unbind(-1)
    rotation = torch.stack(
        [
            torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], -1),
            torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], -1),
            torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1),
        ],
        -2,
    )
    matrix = torch.zeros(*translation.shape[:-1], 4, 4, dtype=translation.dtype)
    matrix[..., :3, :3], matrix[..., :3, 3], matrix[..., 3, 3] = rotation, translation, 1
    return pose_of_world_to_camera(matrix)


def colmap_of_pose(camera_to_world: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of `pose_of_colmap`; the quaternion's w is not negative."""
    matrix = pose_of_world_to_camera(camera_to_world)
    m = matrix[..., :3, :3]
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    # Squares of the four numbers, times four; the largest is a safe divisor.
    squares = torch.stack([1 + xx + yy + zz, 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz], -1)
    wx, wy, wz = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    rows = torch.stack(
        [
            torch.stack([squares[..., 0], wx, wy, wz], -1),
            torch.stack([wx, squares[..., 1], xy, xz], -1),
            torch.stack([wy, xy, squares[..., 2], yz], -1),
            torch.stack([wz, xz, yz, squares[..., 3]], -1),
        ],
        -2,
    )
    best = squares.argmax(-1)[..., None, None].expand(*squares.shape[:-1], 1, 4)
    quaternion = rows.gather(-2, best).squeeze(-2)
    quaternion = quaternion / quaternion.norm(dim=-1, keepdim=True)
    sign = torch.where(quaternion[..., :1] < 0, -1.0, 1.0).to(quaternion)
    return quaternion * sign, matrix[..., :3, 3]


def pose_fault(pose: Tensor) -> str | None:
    """Why a matrix (4, 4) is not a rigid camera-to-world (or world-to-camera) pose, or None."""
    if not pose.isfinite().all():
        return "the pose holds a number that is not finite"
    if not torch.allclose(pose[3], torch.tensor([0, 0, 0, 1.0]).to(pose), atol=_ORTHONORMAL):
        return "the last row of the pose is not 0 0 0 1; it may be stored column by column"
    rotation = pose[:3, :3]
    if (rotation @ rotation.mT - torch.eye(3).to(pose)).abs().max() > _ORTHONORMAL:
        return "the pose's rotation is not orthonormal; the world may be scaled or sheared"
    if torch.linalg.det(rotation) < 0:
        return "the pose mirrors; one axis has the wrong sign"
    return None
