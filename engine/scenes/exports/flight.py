"""A film of a flight through a scene: H.264 in an MP4 that browsers play while it loads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.nn import functional as F

from engine.scenes.autoencoder import SceneAutoencoder
from engine.scenes.rig import Rig
from engine.scenes.volume import as_pixels, render_views

FRAMES_PER_SECOND = 24
_SIDE, _MOST_TIMES = 512, 4  # pixels: smaller pictures are enlarged by a whole number, as a player would do it worse


def write_flight(
    path: Path,
    autoencoder: SceneAutoencoder,
    field: Tensor,
    rig: Rig,
    *,
    cells: int,
    seconds: float = 8.0,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Fly past the cameras of the rig in a natural order. Returns the number of frames; `progress` gets those done."""
    flight = rig.toured().flown(max(2, round(seconds * FRAMES_PER_SECOND)))

    def frames() -> Iterable[npt.NDArray[np.uint8]]:
        done = 0
        for part, seen in render_views(autoencoder, field, flight, cells=cells):
            side = seen.image.shape[-1]
            times = max(1, min(_MOST_TIMES, _SIDE // side))
            larger = F.interpolate(seen.image, scale_factor=float(times), mode="bicubic")
            yield from as_pixels(larger)
            done += len(part)
            if progress is not None:
                progress(done)

    return write_film(path, frames())


def write_film(path: Path, frames: Iterable[npt.NDArray[np.uint8]], *, rate: int = FRAMES_PER_SECOND) -> int:
    """Frames [h, w, 3] of one even size; returns how many.

    Raises:
        ValueError: no frames, or an odd size, which the video format cannot have.
    """
    count = 0
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as film:
        stream = film.add_stream("libx264", rate=rate, options={"crf": "18", "preset": "veryfast"})
        stream.pix_fmt = "yuv420p"  # what every browser plays
        stream.codec_context.thread_count = 1
        for pixels in frames:
            height, width = pixels.shape[:2]
            if count == 0:
                if height % 2 or width % 2:
                    raise ValueError(f"a film needs an even width and height, not {width} x {height}")
                stream.width, stream.height = width, height
            film.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            count += 1
        if not count:
            raise ValueError("a film needs at least one frame")
        film.mux(stream.encode())
    return count
