"""ViZDoom's camera and depth buffer in numbers, measured against the geometry of its maps (vizdoom 1.3.2).

World: the map's own units (128 units are 3 m by the size of its doors and people), x east, y north, z up. Camera:
OpenCV's axes, x right, y down, z forward; pixel centres at +0.5.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

UNITS_PER_METRE = 128 / 3
TALL_PIXELS = 1.2  # fy / fx: the game was drawn for 320 x 200 on a screen of 4:3
UNITS_PER_COUNT = 100 / 14  # ViZDoom issue 192
SATURATED = 255  # this far or further, about 1,830 units
SKY_COUNT = 127  # what the depth buffer holds where the sky is drawn
WRAPPED_COUNT = 193  # what surfaces nearer than the offset turn into
_OFFSETS = {160: 6.5, 320: 8.99, 640: 14.4}  # units, by the width of the picture


def depth_offset(width: int) -> float:
    """Distance in units that count 0 stands for: measured for 160, 320 and 640 columns, on their line for others."""
    return _OFFSETS.get(width, 3.57 + 0.0169 * width)


def depth_units(counts: npt.NDArray[np.uint8], width: int) -> npt.NDArray[np.float32]:
    """Planar depth (along the viewing direction, not the ray) in units, of counts of any shape.

    A count is 7.1 units wide, so the error is up to 3.6 either way. `width`: of the picture.
    """
    return (counts.astype(np.float32) * np.float32(UNITS_PER_COUNT)) + np.float32(depth_offset(width))


def intrinsics(width: int, height: int, fov: float = 90.0, pitch: float = 0.0) -> npt.NDArray[np.float64]:
    """Pinhole matrix (3, 3) in pixels. `fov`: CAMERA_FOV in degrees, horizontal at 4:3; wider pictures are not narrower
    but lower. `pitch`: CAMERA_PITCH in degrees, positive looks down; the game shears, so only the centre moves."""
    fx = width / 2 / math.tan(math.radians(fov) / 2) * min(1.0, (4 / 3) / (width / height))
    fy = TALL_PIXELS * fx
    cy = height / 2 - fy * math.tan(math.radians(pitch))
    return np.array([[fx, 0, width / 2], [0, fy, cy], [0, 0, 1]], dtype=np.float64)


def camera_to_world(x: float, y: float, z: float, angle: float) -> npt.NDArray[np.float64]:
    """Matrix (4, 4) from CAMERA_POSITION_* and CAMERA_ANGLE (degrees, counter-clockwise from east)."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    right, down, forward = (sin, -cos, 0.0), (0.0, 0.0, -1.0), (cos, sin, 0.0)
    pose = np.eye(4)
    pose[:3] = np.column_stack([right, down, forward, (x, y, z)])
    return pose
