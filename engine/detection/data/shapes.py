"""A built-in data set that needs no download: upright ellipses, rectangles and corners on noise, with exact masks.

Rectangles are the case where the ellipse label is too small, ellipses the one where the largest box is too big,
corners the one where neither is right. Objects stand upright but for a few degrees, so that a detector has to learn
rotation from augmentation.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from engine.detection.data.masks import Mask
from engine.detection.data.types import Dataset, Instance, Record

CLASSES = ("ellipse", "rectangle", "corner")
_FINE = 4  # drawn at this many times the size, then averaged
_TILT = 4.0  # degrees, standard deviation
_TRIES = 20


def render_shapes(folder: Path, count: int, *, size: int = 128, objects: int = 4, seed: int = 0) -> Dataset:
    """Draw `count` images of `size` x `size` pixels with up to `objects` objects each into `folder`/images.

    The same arguments give the same files. Objects do not touch.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    records = []
    for index in range(count):
        pixels, instances = _scene(np.random.default_rng((seed, index)), size, objects)
        file = f"images/{index:05d}.png"
        Image.fromarray(pixels).save(folder / file)
        records.append(Record(file, size, size, tuple(instances)))
    return Dataset(folder, CLASSES, tuple(records))


def _scene(random: np.random.Generator, size: int, objects: int) -> tuple[npt.NDArray[np.uint8], list[Instance]]:
    base = random.integers(40, 215, 3)
    pixels = np.clip(base + random.normal(0, 12, (size, size, 1)), 0, 255)
    pixels = np.asarray(Image.fromarray(pixels.astype(np.uint8)).filter(ImageFilter.BoxBlur(1)), np.float64)
    taken: list[tuple[float, float, float]] = []
    instances: list[Instance] = []
    for _ in range(int(random.integers(1, objects + 1))):
        long = random.uniform(0.16, 0.34) * size
        short = long * random.uniform(0.35, 0.9)
        reach = np.hypot(long, short) / 2
        place = _place(random, size, reach, taken)
        if place is None:
            continue
        taken.append((*place, reach))
        label = int(random.integers(1, len(CLASSES) + 1))
        width, height = (long, short) if random.random() < 0.5 else (short, long)
        cover = _cover(label, place, (width, height), random.normal(0, _TILT), size)
        colour = (base + random.choice((-1, 1), 3) * random.integers(50, 110, 3)) % 256
        pixels = pixels * (1 - cover[..., None]) + colour * cover[..., None]
        mask = Mask.of_array(cover >= 0.5)
        box = mask.box(size, size)
        assert box is not None, "objects are several pixels wide and lie on the canvas"
        instances.append(Instance(box, label, mask))
    return np.clip(pixels + random.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8), instances


def _place(
    random: np.random.Generator, size: int, reach: float, taken: list[tuple[float, float, float]]
) -> tuple[float, float] | None:
    for _ in range(_TRIES):
        x, y = random.uniform(reach + 1, size - reach - 1, 2)
        if all(np.hypot(x - ox, y - oy) > reach + other for ox, oy, other in taken):
            return float(x), float(y)
    return None


def _cover(
    label: int, centre: tuple[float, float], sides: tuple[float, float], degrees: float, size: int
) -> npt.NDArray[np.float64]:
    """How much of each pixel the shape covers, (size, size) in 0..1."""
    w, h = sides
    if label == 1:
        turn = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        corners = np.stack((np.cos(turn) * w / 2, np.sin(turn) * h / 2), -1)
    elif label == 2:
        corners = np.array([(-w, -h), (w, -h), (w, h), (-w, h)]) / 2
    else:
        bar = 0.4
        corners = np.array([(0, 0), (bar, 0), (bar, 1 - bar), (1, 1 - bar), (1, 1), (0, 1)]) * (w, h) - (w / 2, h / 2)
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turned = corners @ np.array([[cos, -sin], [sin, cos]]) + centre
    canvas = Image.new("L", (size * _FINE, size * _FINE))
    ImageDraw.Draw(canvas).polygon([(float(x), float(y)) for x, y in turned * _FINE - 0.5], fill=255)
    fine: npt.NDArray[np.float64] = np.asarray(canvas, np.float64).reshape(size, _FINE, size, _FINE)
    cover: npt.NDArray[np.float64] = fine.mean((1, 3)) / 255
    return cover
