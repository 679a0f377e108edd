"""A batch as a few flat tensors, so that augmentation is a handful of operations on whatever device it is on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from engine.detection.geometry import Outlines
from engine.detection.targets import Targets, pack


@dataclass(frozen=True, slots=True)
class Batch:
    """B images of one size with T objects in all.

    Attributes:
        images: (B, 3, H, W), uint8 as loaded or float32 in 0..1.
        boxes: (T, 4) float32 in pixels.
        labels: (T,) int64, 1 to the number of classes; 0 is the background.
        crowd: (T,) bool, groups in one box: not trained on, and neither right nor wrong when detected.
        owner: (T,) int64, the image an object is in, ascending.
        outlines: of the T masks, or None once they no longer fit.
        angles: (B,) radians by which each image has been turned.
        names: B file names, for messages.
    """

    images: Tensor
    boxes: Tensor
    labels: Tensor
    crowd: Tensor
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
        # filled where it is: copying two numbers from the host would wait for a GPU
        return torch.cat((self.boxes.new_full((1,), width / 2), self.boxes.new_full((1,), height / 2)))

    def pin(self) -> Batch:
        """In page-locked memory, so that `to` a GPU does not wait."""
        return self._each(lambda tensor: tensor.pin_memory())

    def to(self, device: torch.device | str) -> Batch:
        """On a device, images in 0..1. They travel as bytes, a quarter of the copy, and are divided there."""
        moved = self._each(lambda tensor: tensor.to(device, non_blocking=True))
        if moved.images.dtype != torch.uint8:
            return moved
        return replace(moved, images=moved.images.float() / 255)

    def most_objects(self) -> int:
        """Of one image. Counted where the batch is, so ask before it goes to a GPU."""
        return int(torch.bincount(self.owner, minlength=1).max())

    def targets(self, seen: Tensor | None = None, room: int | None = None) -> Targets:
        """What a detector is trained on: all objects but crowds, or those of them that are `seen` (T,) bool.

        room: for how many objects of an image, at least `most_objects()`; None counts them.
        """
        kept = ~self.crowd if seen is None else ~self.crowd & seen
        return pack(self.boxes, self.labels, self.owner, kept, self.angles, room)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        outlines = self.outlines and Outlines(
            change(self.outlines.points), change(self.outlines.owner), self.outlines.count
        )
        tensors = (self.images, self.boxes, self.labels, self.crowd, self.owner)
        images, boxes, labels, crowd, owner = (change(tensor) for tensor in tensors)
        return Batch(images, boxes, labels, crowd, owner, outlines, change(self.angles), self.names)
