from __future__ import annotations

import numpy as np
import pytest

from engine.detection.models import ModelConfig, build_model
from engine.detection.predict import detect


def test_an_image_of_any_size_is_placed_turned_and_looked_at() -> None:
    model = build_model(ModelConfig("fcos", 2, 64, backbone="tiny", score_threshold=0.0, detections_per_image=5))
    pixels = np.zeros((50, 100, 3), np.uint8)
    pixels[20:30, 70:90] = (255, 0, 0)
    canvas, found = detect(model, pixels)
    ys, xs = np.nonzero(canvas[..., 0] > 128)
    assert canvas.shape == (64, 64, 3)
    assert xs.mean() == pytest.approx(80 * 0.64 - 0.5, abs=1) and ys.mean() == pytest.approx(
        16 + 25 * 0.64 - 0.5, abs=1
    )
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    turned, _ = detect(model, pixels, 90)
    ys, xs = np.nonzero(turned[..., 0] > 128)
    assert ys.mean() < 20 and xs.mean() == pytest.approx(32, abs=2), "right of the middle goes up: counter-clockwise"
