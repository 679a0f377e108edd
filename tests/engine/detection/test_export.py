from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from engine.detection import export
from engine.detection.data.shapes import render_shapes
from engine.detection.export import ExportError, export_onnx
from engine.detection.loader import Loader
from engine.detection.models import Architecture, Detector, ModelConfig, build_model


def fitted(architecture: Architecture, folder: Path) -> tuple[Detector, torch.Tensor]:
    """A detector after a few steps on two images, so that its outputs are not all near zero."""
    dataset = render_shapes(folder, 2, size=64, seed=5)
    config = ModelConfig(
        architecture, 3, 64, backbone="tiny", finest_stride=4, score_threshold=0.03, detections_per_image=20
    )
    model = build_model(config)
    batch = next(iter(Loader(dataset, 64).batches([range(2)]))).to("cpu")
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
    torch.manual_seed(0)
    for _ in range(35):
        optimiser.zero_grad()
        sum(model(batch.images, batch.targets()).values()).backward()
        optimiser.step()
    return model, batch.images


@pytest.mark.parametrize("architecture", ["retinanet", "fcos", "faster_rcnn"])
def test_onnxruntime_finds_what_torch_finds(architecture: Architecture, tmp_path: Path) -> None:
    model, images = fitted(architecture, tmp_path)
    check = export_onnx(model, tmp_path / "model.onnx", images)
    assert check.images == 2 and check.detections > 0
    assert check.box_difference < 0.01 and check.score_difference < 1e-4
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    blank = session.run(None, {"images": np.zeros((1, 3, 64, 64), np.float32)})
    assert blank[0].shape[1:] == (4,), "an image with another number of objects goes through too"


def test_a_file_that_differs_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, images = fitted("fcos", tmp_path)
    monkeypatch.setattr(export, "BOX_TOLERANCE", -1.0)
    with pytest.raises(ExportError, match="not kept"):
        export_onnx(model, tmp_path / "model.onnx", images)
    assert not (tmp_path / "model.onnx").exists()
