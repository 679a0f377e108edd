"""A curve in the terminal, in Braille dots: two columns and four rows of dots in each character."""

from __future__ import annotations

import math
from collections.abc import Sequence

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # bit by row and column within a character


def draw(xs: Sequence[float], ys: Sequence[float], *, width: int = 60, height: int = 10) -> list[str]:
    """Lines of text: ``ys`` (fractions, 0 to 1) over ``xs`` (positive, rising) on a logarithmic axis.

    Empty for no points. The axis at the left shows fractions as percent, the last line the first and last x.
    """
    if not xs:
        return []
    cells = [[0] * width for _ in range(height)]
    columns, rows = 2 * width, 4 * height
    low, high = math.log(xs[0]), math.log(xs[-1])
    points = [
        (
            round((math.log(x) - low) / (high - low) * (columns - 1)) if high > low else 0,
            round((1 - min(1.0, max(0.0, y))) * (rows - 1)),
        )
        for x, y in zip(xs, ys, strict=True)
    ]
    for (x0, y0), (x1, y1) in zip(points, points[1:] or points, strict=False):
        for step in range(steps := max(1, x1 - x0, abs(y1 - y0))):
            _set(cells, x0 + round((x1 - x0) * step / steps), y0 + round((y1 - y0) * step / steps))
    _set(cells, *points[-1])
    labels = {0: "100% ", height // 2: " 50% ", height - 1: "  0% "}
    lines = [labels.get(i, "     ") + "".join(chr(0x2800 + cell) for cell in row) for i, row in enumerate(cells)]
    first, last = f"{xs[0]:g}", f"{xs[-1]:g}"
    return [*lines, "     " + first + last.rjust(width - len(first))]


def _set(cells: list[list[int]], x: int, y: int) -> None:
    cells[y // 4][x // 2] |= _DOTS[y % 4][x % 2]
