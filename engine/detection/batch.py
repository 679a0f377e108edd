"""A batch as a few flat tensors, so that augmentation is a handful of operations on whatever device it is on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.detection.geometry import Outlines


@dataclass(frozen=True, slots=True)
class Batch:
    """B images of one size with T objects in all.

    Attributes:
        images: (B, 3, H, W) float32 in 0..1.
        boxes: (T, 4) float32 in pixels.
        labels: (T,) int64, 1 to the number of classes; 0 is the background.
        owner: (T,) int64, the image an object is in, ascending.
        outlines: of the T masks, or None where the data set has none.
        angles: (B,) radians by which each image has been turned.
        names: B file names, for messages.
    """

    images: Tensor
    boxes: Tensor
    labels: Tensor
    owner: Tensor
    outlines: Outlines | None
    angles: Tensor
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def canvas(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.images.shape[-2], self.images.shape[-1]

    @property
    def centre(self) -> Tensor:
        height, width = self.canvas
        return self.boxes.new_tensor((width / 2, height / 2))

    def pin(self) -> Batch:
        """In page-locked memory, so that `to` a GPU does not wait."""
        outlines = self.outlines and Outlines(
            self.outlines.points.pin_memory(), self.outlines.owner.pin_memory(), self.outlines.count
        )
        return Batch(
            self.images.pin_memory(),
            self.boxes.pin_memory(),
            self.labels.pin_memory(),
            self.owner.pin_memory(),
            outlines,
            self.angles.pin_memory(),
            self.names,
        )

    def to(self, device: torch.device | str) -> Batch:
        return Batch(
            self.images.to(device, non_blocking=True),
            self.boxes.to(device, non_blocking=True),
            self.labels.to(device, non_blocking=True),
            self.owner.to(device, non_blocking=True),
            self.outlines and self.outlines.to(device),
            self.angles.to(device, non_blocking=True),
            self.names,
        )

    def targets(self) -> list[dict[str, Tensor]]:
        """What torchvision's detectors take: boxes, labels and the angle of each image."""
        counts = torch.bincount(self.owner, minlength=len(self)).tolist()
        parts = zip(torch.split(self.boxes, counts), torch.split(self.labels, counts), self.angles, strict=True)
        return [{"boxes": boxes, "labels": labels, "angle": angle} for boxes, labels, angle in parts]
