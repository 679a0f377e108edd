from __future__ import annotations

import numpy as np
import pytest

from engine.doom.calibration import camera_to_world, depth_offset, depth_units, intrinsics


@pytest.mark.parametrize(
    ("width", "height", "share"), [(640, 480, 1.0), (320, 200, 0.84), (640, 360, 0.75), (320, 240, 1.0)]
)
def test_focal_lengths_are_the_measured_ones(width: int, height: int, share: float) -> None:
    k = intrinsics(width, height)
    assert k[0, 0] / (width / 2) == pytest.approx(share, abs=0.01)
    assert k[1, 1] == pytest.approx(1.2 * k[0, 0])
    assert (k[0, 2], k[1, 2]) == (width / 2, height / 2)


def test_pitch_moves_the_horizon_and_nothing_else() -> None:
    level, up = intrinsics(640, 480), intrinsics(640, 480, pitch=-10)
    assert up[1, 2] > level[1, 2]  # looking up, the horizon sinks
    assert up[1, 2] - 240 == pytest.approx(384 * np.tan(np.radians(10)))
    assert np.array_equal(np.delete(up, 1, 0), np.delete(level, 1, 0))


def test_the_depth_of_known_counts() -> None:
    assert depth_units(np.array([0, 14, 255], np.uint8), 320).tolist() == pytest.approx([8.99, 108.99, 1830.4], abs=0.1)
    assert depth_offset(480) == pytest.approx(3.57 + 0.0169 * 480)
    assert depth_offset(320) == pytest.approx(3.57 + 0.0169 * 320, abs=0.1)


@pytest.mark.parametrize(("angle", "forward"), [(0, (1, 0, 0)), (90, (0, 1, 0)), (225, (-(0.5**0.5), -(0.5**0.5), 0))])
def test_angles_run_counter_clockwise_from_east(angle: float, forward: tuple[float, ...]) -> None:
    pose = camera_to_world(1, 2, 3, angle)
    assert np.allclose(pose[:3, 2], forward) and np.allclose(pose[:3, 1], (0, 0, -1))
    assert np.allclose(pose[:3, 3], (1, 2, 3)) and np.linalg.det(pose[:3, :3]) == pytest.approx(1)
