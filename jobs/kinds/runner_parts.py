"""What the runner sides of several kinds share. No Django, no torch."""

from __future__ import annotations

import base64
import io
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from jobs.kinds.base import Context

_BEAT_SECONDS = 2.0


class Hopeless(Exception):
    """A failure that stays: bad data, a loss that is not a number. The sentence says what to do."""

    is_final = True  # see jobs.runner


@contextmanager
def beating(context: Context) -> Iterator[None]:
    """Prove the runner alive during long calls that report nothing."""
    over = Event()

    def beat() -> None:
        while not over.wait(_BEAT_SECONDS):
            context.alive()

    thread = Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def made_once(final: Path, make: Callable[[Path], object]) -> Path:
    """The folder ``final``, made in a draft beside it first. Two shards may make it at once: the first to be done
    wins."""
    if final.is_dir():
        return final
    draft = final.with_name(f"draft-{uuid.uuid4().hex}")
    draft.parent.mkdir(parents=True, exist_ok=True)
    make(draft)
    try:
        draft.rename(final)
    except OSError:
        shutil.rmtree(draft)
        if not final.is_dir():
            raise
    return final


def jpeg_text(pixels: np.ndarray[Any, np.dtype[np.uint8]], longest: int) -> str:
    """An image (H, W, 3) or grey (H, W), its longer side at most ``longest``, as JPEG in base64: rows travel as
    JSON."""
    image = Image.fromarray(pixels)
    image.thumbnail((longest, longest))
    packed = io.BytesIO()
    image.save(packed, "JPEG", quality=80)
    return base64.b64encode(packed.getvalue()).decode()
