"""The label rules by name. No torch here: a web process reads this.

    rule          the box of
    none          the image is not rotated at all: the paper's "no rotation" baseline
    largest       the rotated box (eqs 1-5), what nearly every library does
    ellipse       the rotated inscribed ellipse (eqs 15-16), in closed form
    octagon:s     the box with its corners cut by a share s of each side; 0 is the box, 0.5 the diamond
    random        a random shape that touches each side of the box once (one draw of the paper's P)
    rotiou        the upright box that overlaps the rotated box most; our reading, the paper's text does not define it
    perfect       the rotated mask

Kalra et al. 2021, arXiv 2109.13488; `engine.detection.labels` computes the boxes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["none", "largest", "ellipse", "octagon", "random", "rotiou", "perfect"]


@dataclass(frozen=True, slots=True)
class LabelRule:
    """How boxes of rotated images are made. `cut` is the octagon's s and 0 for every other rule."""

    kind: Kind
    cut: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"unknown label rule {self.kind!r}: choose one of {', '.join(get_args(Kind))}")
        if self.kind == "octagon" and not 0.0 <= self.cut <= 0.5:
            raise ValueError(f"octagon cuts a share between 0 and 0.5 of each side, got {self.cut}")
        if self.kind != "octagon" and self.cut:
            raise ValueError(f"only octagon takes a cut, not {self.kind}")

    @classmethod
    def parse(cls, text: str) -> LabelRule:
        """From `ellipse`, `octagon:0.2` and so on, as `str()` writes them. Raises ValueError for anything else."""
        kind, colon, cut = text.partition(":")
        if (kind == "octagon") != bool(colon):
            raise ValueError(
                f"write octagon with its cut, as in octagon:0.2, and other rules without one; got {text!r}"
            )
        try:
            return cls(kind, float(cut or 0))  # type: ignore[arg-type]
        except ValueError as error:
            raise ValueError(f"not a label rule: {text!r} ({error})") from None

    def __str__(self) -> str:
        return f"{self.kind}:{self.cut:g}" if self.kind == "octagon" else self.kind

    @property
    def rotates(self) -> bool:
        return self.kind != "none"

    @property
    def needs_masks(self) -> bool:
        return self.kind == "perfect"
