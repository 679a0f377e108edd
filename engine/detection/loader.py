"""Batches from a data set: decoded ahead of time by threads, kept in memory while they fit.

Images are scaled to fit a square canvas and put in its middle, so that the canvas and the image turn about the same
point. Decoding lets go of the interpreter, so threads are enough, and a worker process that may not have children can
use them too.
"""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from engine.detection.batch import Batch
from engine.detection.data.images import open_image
from engine.detection.data.types import Dataset
from engine.detection.geometry import Outlines

CACHE_BYTES = 2 << 30
_AHEAD = 4  # batches decoded before they are asked for


@dataclass(frozen=True, slots=True)
class _Sample:
    image: Tensor  # (3, S, S) uint8, the colours of a pixel side by side
    boxes: npt.NDArray[np.float32]
    labels: list[int]
    crowd: list[bool]
    outlines: list[npt.NDArray[np.float32]]

    @property
    def bytes(self) -> int:
        return self.image.numel() + self.boxes.nbytes + sum(each.nbytes for each in self.outlines)


class Loader:
    """Batches of a data set on square canvases of `size` pixels.

    Args:
        dataset: where images and objects come from.
        size: pixels of both sides.
        threads: that decode; None for one a processor, up to 16.
        cache_bytes: decoded images are kept up to this much; the least recently used one goes first.
        pin: in page-locked memory, for a GPU.
        outlines: with the outlines of masks, which take longer than the pixels; without, masks count as missing.
    """

    def __init__(
        self,
        dataset: Dataset,
        size: int,
        *,
        threads: int | None = None,
        cache_bytes: int = CACHE_BYTES,
        pin: bool = False,
        outlines: bool = True,
    ) -> None:
        self._dataset, self._size, self._pin, self._outlines = dataset, size, pin, outlines
        self._threads = threads or min(16, os.cpu_count() or 1)
        self._cache: OrderedDict[str, _Sample] = OrderedDict()  # by file
        self._room, self._lock = cache_bytes, Lock()

    def fill(self) -> None:
        """Decode every image ahead of time, as far as the cache has room: several trainings may share it."""
        first = {record.file: index for index, record in enumerate(self._dataset.records)}
        with ThreadPoolExecutor(self._threads) as pool:
            for each in [pool.submit(self._sample, index) for index in first.values()]:
                each.result()

    def batches(self, indices: Sequence[Sequence[int]]) -> Iterator[Batch]:
        """One batch for each list of record indices, in order.

        Raises:
            ImageError: an image that was read before cannot be read any more; the message names it.
        """
        # batches are put together, and pinned, in a thread of their own: whoever trains only takes them
        with ThreadPoolExecutor(self._threads) as pool, ThreadPoolExecutor(1) as collator:
            waiting: deque[Future[Batch]] = deque()
            coming = iter(indices)
            try:
                while True:
                    while len(waiting) < _AHEAD and (chosen := next(coming, None)) is not None:
                        samples = [pool.submit(self._sample, index) for index in chosen]
                        waiting.append(collator.submit(self._batch, chosen, samples))
                    if not waiting:
                        return
                    yield waiting.popleft().result()
            finally:
                for each in (collator, pool):
                    each.shutdown(wait=False, cancel_futures=True)

    def _batch(self, indices: Sequence[int], decoded: list[Future[_Sample]]) -> Batch:
        samples = [each.result() for each in decoded]
        batch = Batch(
            images=self._stack([each.image for each in samples]),
            boxes=torch.from_numpy(np.concatenate([each.boxes for each in samples])),
            labels=torch.tensor([label for each in samples for label in each.labels], dtype=torch.int64),
            crowd=torch.tensor([crowd for each in samples for crowd in each.crowd], dtype=torch.bool),
            owner=torch.tensor([n for n, each in enumerate(samples) for _ in each.labels], dtype=torch.int64),
            outlines=Outlines.of_points([points for each in samples for points in each.outlines]),
            angles=torch.zeros(len(samples)),
            names=tuple(self._dataset.records[index].file for index in indices),
        )
        return batch.pin() if self._pin else batch

    def _stack(self, images: list[Tensor]) -> Tensor:
        """(B, 3, S, S), still with the colours of a pixel side by side, and where `pin` will leave it."""
        stacked = torch.empty(len(images), self._size, self._size, 3, dtype=torch.uint8, pin_memory=self._pin)
        return torch.stack([each.permute(1, 2, 0) for each in images], out=stacked).permute(0, 3, 1, 2)

    def _sample(self, index: int) -> _Sample:
        file = self._dataset.records[index].file
        with self._lock:
            if file in self._cache:
                self._cache.move_to_end(file)
                return self._cache[file]
        sample = load_sample(self._dataset, index, self._size, outlines=self._outlines)
        with self._lock:
            if file not in self._cache:
                self._cache[file] = sample
                self._room -= sample.bytes
                while self._room < 0 and self._cache:
                    self._room += self._cache.popitem(last=False)[1].bytes
        return sample


def load_sample(dataset: Dataset, index: int, size: int, *, outlines: bool = True) -> _Sample:
    """One image with its objects on a canvas of `size` x `size` pixels. Raises ImageError."""
    record = dataset.records[index]
    scale, left, top = placement(record.width, record.height, size)
    canvas = _place(open_image(dataset.path(record)), size)
    shift = np.array((left, top), np.float32)
    boxes = np.array([each.box for each in record.instances], np.float32).reshape(-1, 4) * np.float32(scale)
    points = [
        each.mask.outline(record.width, record.height) * np.float32(scale) + shift
        if each.mask is not None and outlines
        else np.zeros((0, 2), np.float32)
        for each in record.instances
    ]
    return _Sample(
        torch.from_numpy(np.array(canvas)).permute(2, 0, 1),
        boxes + np.tile(shift, 2),
        [each.label for each in record.instances],
        [each.crowd for each in record.instances],
        points,
    )


def placement(width: int, height: int, size: int) -> tuple[float, int, int]:
    """(scale, left, top): where an image of `width` x `height` goes on a square canvas."""
    scale = size / max(width, height)
    return scale, (size - round(width * scale)) // 2, (size - round(height * scale)) // 2


def place_image(pixels: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """An image (H, W, 3) scaled to fit into the middle of a black canvas (size, size, 3)."""
    return np.array(_place(Image.fromarray(pixels), size))


def _place(image: Image.Image, size: int) -> Image.Image:
    """As Pillow's until the end: each change to an array and back holds the interpreter, which decoding does not."""
    scale, left, top = placement(image.width, image.height, size)
    fitted = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    if fitted != image.size:
        image = image.resize(fitted, Image.Resampling.BILINEAR)
    if fitted == (size, size):
        return image
    canvas = Image.new("RGB", (size, size))
    canvas.paste(image, (left, top))
    return canvas
