"""Opening images that somebody uploaded: sizes are looked at before anything is decoded."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from engine.detection.data.types import ProblemKind

MAX_PIXELS = 64_000_000  # 8,000 x 8,000; three bytes each once decoded
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}
_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")  # the formats whose decoders are let near an upload

# The limit above is checked on the header, in place of Pillow's own warning at 89 million pixels and error at 179.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class ImageError(ValueError):
    """An image that cannot be used: which kind of problem, and a sentence."""

    def __init__(self, kind: ProblemKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def check_image(path: Path, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """(width, height) of an image after decoding all of it. Raises ImageError."""
    with _opened(path, max_pixels) as image:
        _decode(image)
        return image.size


def read_image(path: Path, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """An image as (H, W, 3) RGB, grey and transparent ones converted. Raises ImageError."""
    return np.array(open_image(path, max_pixels))


def open_image(path: Path, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """An image decoded and in RGB. Raises ImageError."""
    with _opened(path, max_pixels) as image:
        _decode(image)
        return image.convert("RGB")


def _opened(path: Path, max_pixels: int) -> Image.Image:
    try:
        there = path.is_file()
    except OSError:  # a name longer than the file system takes
        there = False
    if not there:
        raise ImageError("missing_image", "there is no such file")
    if path.stat().st_size == 0:
        raise ImageError("empty_image", "the file has 0 bytes")
    try:
        image = Image.open(path, formats=_FORMATS)
    except Image.DecompressionBombError as error:
        pixels = int(next(iter(re.findall(r"\d+", str(error))), 0))
        raise ImageError("huge_image", f"{pixels:,} pixels are more than the {max_pixels:,} that are read") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise ImageError("broken_image", f"not an image of a known format ({type(error).__name__})") from None
    width, height = image.size
    if width * height > max_pixels:
        image.close()
        raise ImageError("huge_image", f"{width:,} x {height:,} pixels are more than the {max_pixels:,} that are read")
    return image


def _decode(image: Image.Image) -> None:
    try:
        image.load()
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, zlib.error and others
        raise ImageError("broken_image", f"the file is cut short or damaged ({error})") from None
