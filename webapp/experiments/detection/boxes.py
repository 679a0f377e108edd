"""Boxes as an SVG draws them: scaled to a view of 200 units, with a class for the colour and a label in words.

Class names and file names come from people's data sets: templates escape them, and nothing here is markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jobs.kinds.detection.models import Prediction

VIEW = 200.0  # units of the longer side: texts and strokes are sized for it
CLOSE, MATCHED = 0.75, 0.5  # IoU
MOST_TAGS = 12  # the best ones have their names beside them; more would cover the image
LINE = 9.0  # units: height of a tag
LETTER = 3.7  # units: a letter of 7 units on average, with some room


@dataclass(frozen=True, slots=True)
class Drawn:
    """One box. ``look``: "close", "loose" or "wrong" for what was found, "truth", "missed" or "ignored" for what is
    there. ``score``: of a detection its own, of an object that of the detection that found it, 0 where none did."""

    x: float
    y: float
    width: float
    height: float
    look: str
    text: str
    name: str = ""  # of its class
    score: float | None = None
    iou: float | None = None
    tag: bool = False

    @property
    def tag_y(self) -> float:
        """Above the box, inside the picture where there is no room above."""
        return round(self.y - LINE if self.y >= LINE else self.y, 2)

    @property
    def text_y(self) -> float:
        return round(self.tag_y + LINE - 2.2, 2)

    @property
    def tag_x(self) -> float:
        return round(max(0.0, min(self.x, VIEW - self.tag_width)), 2)

    @property
    def tag_width(self) -> float:
        return round(LETTER * len(self.text) + 4, 2)


@dataclass(frozen=True, slots=True)
class Tile:
    """One image with its boxes; ``width`` and ``height`` of the view."""

    url: str
    width: float
    height: float
    truth: list[Drawn]
    found: list[Drawn]
    label: str  # for screen readers


def prediction_tile(prediction: Prediction, classes: Sequence[str], url: str, *, score: float) -> Tile:
    """What a run found in an image beside what is there. ``score``: what lies below counts as not found in words."""
    values = prediction.values
    scale = VIEW / max(1.0, float(values.get("size") or 1))
    rows = values.get("found", [])
    shown = [row for row in rows if row[1] >= score]
    found = [_found(row, classes, scale, tag=place < MOST_TAGS) for place, row in enumerate(rows)]
    truth = [_truth(row, rows, classes, scale, score) for row in values.get("truth", [])]
    counted = [each for each in truth if each.look != "ignored"]
    label = (
        f"{prediction.file} turned by {prediction.angle:g} degrees: {len(shown)} found with a score of {score:.2f} or "
        f"more, {len(counted)} there, {sum(each.look == 'missed' for each in counted)} missed"
    )
    return Tile(url, VIEW, VIEW, truth, found, label)


def labels_tile(
    labels: Sequence[Sequence[float]], classes: Sequence[str], url: str, size: tuple[float, float], name: str
) -> Tile:
    """An image with the labels it has: rows [class from 0, x1, y1, x2, y2] in pixels of ``size`` (width, height)."""
    scale = VIEW / max(1.0, *size)
    truth = [_box(row[1:5], scale, "label", _name(row[0], classes), tag=len(labels) <= MOST_TAGS) for row in labels]
    return Tile(url, round(size[0] * scale, 2), round(size[1] * scale, 2), truth, [], f"{name}: {len(labels)} objects")


def _found(row: Sequence[float], classes: Sequence[str], scale: float, *, tag: bool) -> Drawn:
    overlap = float(row[6]) if len(row) > 6 else 0.0
    look = "close" if overlap >= CLOSE else "loose" if overlap >= MATCHED else "wrong"
    return _box(
        row[2:6],
        scale,
        look,
        f"{_name(row[0], classes)} {row[1]:.2f}",
        name=_name(row[0], classes),
        score=float(row[1]),
        iou=overlap,
        tag=tag,
    )


def _truth(
    row: Sequence[float], found: Sequence[Sequence[float]], classes: Sequence[str], scale: float, score: float
) -> Drawn:
    """Its finder is the detection of its class with the same overlap: that is how the two were matched."""
    overlap = float(row[5]) if len(row) > 5 else 0.0
    by = max((each[1] for each in found if overlap > 0 and each[0] == row[0] and each[6] == overlap), default=0.0)
    look = "ignored" if len(row) > 6 and row[6] else "truth" if by > 0 and by >= score else "missed"
    name = _name(row[0], classes)
    return _box(row[1:5], scale, look, name, name=name, score=float(by), iou=overlap)


def _box(corners: Sequence[float], scale: float, look: str, text: str, **more: Any) -> Drawn:
    x1, y1, x2, y2 = (float(each) * scale for each in corners)
    return Drawn(
        round(x1, 2), round(y1, 2), round(max(0.0, x2 - x1), 2), round(max(0.0, y2 - y1), 2), look, text, **more
    )


def _name(label: float, classes: Sequence[str]) -> str:
    index = int(label)
    return classes[index] if 0 <= index < len(classes) else f"class {index + 1}"
