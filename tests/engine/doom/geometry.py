"""Points of one frame looked up in another, and distances in the plane."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.doom import Frame

Array = np.ndarray[Any, np.dtype[Any]]


def world_points(frame: Frame) -> Array:
    """(3, P) of the pixels with a depth that belong to no object."""
    k = frame.intrinsics
    rows, columns = np.nonzero(frame.valid & ~frame.things)
    z = frame.depth[rows, columns].astype(np.float64)
    x, y = (columns + 0.5 - k[0, 2]) / k[0, 0] * z, (rows + 0.5 - k[1, 2]) / k[1, 1] * z
    return (frame.camera_to_world @ np.stack([x, y, z, np.ones_like(z)]))[:3]


def depth_errors(a: Frame, b: Frame, nearest: float) -> Array:
    """For points of a in front of b by at least `nearest`: b's depth minus the point's, the best of the 3 x 3 pixels
    around it. A count of depth moves a near point by several pixels, which is why near ones are left out."""
    k = b.intrinsics
    height, width = b.counts.shape
    points = world_points(a)
    local = np.linalg.inv(b.camera_to_world) @ np.concatenate([points, np.ones((1, points.shape[1]))])
    local = local[:, local[2] > nearest]
    u, v = (k[0, 0] * local[0] / local[2] + k[0, 2]), (k[1, 1] * local[1] / local[2] + k[1, 2])
    seen = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    u, v, z = u[seen].astype(int), v[seen].astype(int), local[2][seen]
    usable = b.valid & ~b.things
    padded = np.pad(np.where(usable, b.depth, 1e9), 1, constant_values=1e9)
    around = np.stack([padded[v + j, u + i] - z for j in range(3) for i in range(3)])
    best = np.take_along_axis(around, np.abs(around).argmin(0)[None], 0)[0]
    return best[usable[v, u]]


def segment_distances(points: Array, segment: Array) -> Array:
    """(P,) from points (P, 2) to one segment (x1, y1, x2, y2)."""
    start, way = segment[:2], segment[2:] - segment[:2]
    along = np.clip((points - start) @ way / (way @ way), 0, 1)
    return np.linalg.norm(points - start - along[:, None] * way, axis=1)
