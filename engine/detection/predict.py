"""One image through a detector, turned by hand: what a page shows while somebody moves a slider."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from engine.detection.loader import place_image
from engine.detection.models import Detector
from engine.detection.rotation import rotate_images


@dataclass(frozen=True, slots=True)
class Detection:
    """One object on the canvas: box (x1, y1, x2, y2) in its pixels, label from 1, score in 0..1."""

    box: tuple[float, float, float, float]
    label: int
    score: float


@torch.no_grad()
def detect(
    model: Detector, pixels: npt.NDArray[np.uint8], degrees: float = 0.0
) -> tuple[npt.NDArray[np.uint8], list[Detection]]:
    """The image as the detector sees it and what it finds, best first.

    Args:
        model: put into evaluation mode here; the image goes to its device.
        pixels: (H, W, 3) RGB of any size.
        degrees: counter-clockwise turn.

    Returns:
        The canvas (S, S, 3) with S the model's image size, and detections in its pixels.
    """
    model.eval()
    device = next(model.parameters()).device
    placed = torch.from_numpy(place_image(pixels, model.config.image_size)).to(device)
    images = placed.permute(2, 0, 1)[None].float() / 255
    if degrees:
        images = rotate_images(images, torch.tensor([math.radians(degrees)], device=device))
    found = model(images)[0]
    canvas: npt.NDArray[np.uint8] = (images[0] * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    rows = zip(found["boxes"].tolist(), found["labels"].tolist(), found["scores"].tolist(), strict=True)
    return canvas, [Detection((b[0], b[1], b[2], b[3]), label, score) for b, label, score in rows]
