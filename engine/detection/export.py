"""A trained detector as one ONNX file, from image to detections, checked with onnxruntime against torch.

Input `images` (1, 3, S, S) float32 in 0..1; outputs `boxes` (n, 4), `labels` (n,) int64 and `scores` (n,), best first.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from torch import Tensor, nn

from engine.detection.models import Detector

_OPSET = 17
_OUTPUTS = ("boxes", "labels", "scores")
BOX_TOLERANCE, SCORE_TOLERANCE = 0.1, 1e-3  # pixels; the same network in another order of operations


class ExportError(RuntimeError):
    """The exported file does not do what the model does; the file is removed."""


@dataclass(frozen=True, slots=True)
class ExportCheck:
    """How far onnxruntime and torch are apart on the images compared."""

    images: int
    detections: int  # compared one by one
    box_difference: float  # pixels, the largest
    score_difference: float  # the largest


class _OneImage(nn.Module):
    """torchvision gives a list of dicts; a graph has named tensors."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = self.detector(images)[0]
        return found["boxes"], found["labels"], found["scores"]


def export_onnx(model: Detector, path: Path, images: Tensor) -> ExportCheck:
    """Write `path` and compare it with the model on `images` (N, 3, S, S), best real ones.

    The whole graph comes from torch.onnx's tracing exporter: the newer one does not export the detectors' last steps.

    Raises:
        ExportError: the outputs differ by more than BOX_TOLERANCE pixels or SCORE_TOLERANCE, or another number of
        objects
            is found.
    """
    wrapper = _OneImage(copy.deepcopy(model).cpu().float().eval())
    images = images.detach().cpu().float()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of every size it takes as fixed, which is what is wanted here
        wrapper(images[:1])  # anchors are made now and become constants
        torch.onnx.export(
            wrapper,
            (images[:1],),
            str(path),
            input_names=["images"],
            output_names=list(_OUTPUTS),
            dynamic_axes={name: {0: "detections"} for name in _OUTPUTS},
            opset_version=_OPSET,
            dynamo=False,
        )
    try:
        return _compare(wrapper, path, images)
    except Exception:
        path.unlink()
        raise


@torch.no_grad()
def _compare(wrapper: nn.Module, path: Path, images: Tensor) -> ExportCheck:
    wrapper.eval()  # the exporter leaves it in training mode
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    detections, box_difference, score_difference = 0, 0.0, 0.0
    for image in images.split(1):  # type: ignore[no-untyped-call]
        ours = [output.numpy() for output in wrapper(image)]
        theirs: list[npt.NDArray[Any]] = session.run(list(_OUTPUTS), {"images": image.numpy()})
        boxes, scores = _differences(ours, theirs)
        detections += len(ours[0])
        box_difference, score_difference = max(box_difference, boxes), max(score_difference, scores)
    if box_difference > BOX_TOLERANCE or score_difference > SCORE_TOLERANCE:
        raise ExportError(
            f"onnxruntime's boxes are up to {box_difference:.3g} pixels and its scores up to {score_difference:.3g} "
            "away from torch's: the file is not kept"
        )
    return ExportCheck(len(images), detections, box_difference, score_difference)


def _differences(ours: list[npt.NDArray[Any]], theirs: list[npt.NDArray[Any]]) -> tuple[float, float]:
    """The largest difference of boxes and scores, each detection with the closest one of its class.

    By closeness and not by rank: objects with equal scores may come in another order.
    """
    if len(ours[0]) != len(theirs[0]):
        raise ExportError(f"onnxruntime finds {len(theirs[0])} objects where torch finds {len(ours[0])}")
    boxes = scores = 0.0
    free = np.ones(len(theirs[0]), dtype=bool)
    for box, label, score in zip(*ours, strict=True):
        apart = np.abs(theirs[0] - box).max(1) + np.abs(theirs[2] - score)
        apart[~free | (theirs[1] != label)] = np.inf
        best = int(apart.argmin())
        if not np.isfinite(apart[best]):
            raise ExportError("onnxruntime gives an object another class than torch does")
        free[best] = False
        boxes = max(boxes, float(np.abs(theirs[0][best] - box).max()))
        scores = max(scores, float(abs(theirs[2][best] - score)))
    return boxes, scores
