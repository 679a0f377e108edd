"""Small batches with known masks for the tests."""

from __future__ import annotations

import numpy as np
import torch

from engine.detection.batch import Batch
from engine.detection.geometry import Outlines

Masks = list[np.ndarray]


def blocks(size: int = 64) -> Masks:
    """An L and a bar, well inside the canvas."""
    bent = np.zeros((size, size), bool)
    bent[14:40, 12:20] = True
    bent[32:40, 12:34] = True
    bar = np.zeros((size, size), bool)
    bar[24:30, 36:54] = True
    return [bent, bar]


def batch_of(images: list[Masks], size: int = 64) -> Batch:
    """White masks on black; the k-th mask of an image has class k + 1."""
    masks = [mask for each in images for mask in each]
    outlines = Outlines.of_masks(masks)
    pixels = torch.zeros(len(images), 3, size, size)
    for image, each in zip(pixels, images, strict=True):
        for mask in each:
            image[:, torch.from_numpy(mask)] = 1
    return Batch(
        images=pixels,
        boxes=outlines.boxes(torch.zeros(len(masks)), torch.zeros(2))[0],
        labels=torch.tensor([k + 1 for each in images for k in range(len(each))], dtype=torch.int64),
        crowd=torch.zeros(len(masks), dtype=torch.bool),
        owner=torch.tensor([i for i, each in enumerate(images) for _ in each], dtype=torch.int64),
        outlines=outlines,
        angles=torch.zeros(len(images)),
        names=tuple(f"image-{index}" for index in range(len(images))),
    )
