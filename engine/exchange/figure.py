"""The coverage curve as a drawing that needs no script: SVG with classes, coloured by the page around it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 760, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 72, 16, 48
_MOST_DOTS = 60


@dataclass(frozen=True, slots=True)
class Line:
    """Coverage (fractions) at k samples with its band; all of one length, k rising from 1."""

    k: Sequence[int]
    coverage: Sequence[float]
    lo: Sequence[float]
    hi: Sequence[float]


def coverage_svg(line: Line, label: str) -> str:
    """The curve over a log axis of k. ``label`` says in words what it shows; it is escaped here.

    Classes: axis, grid, band, line, dot, end. Raises ValueError for a curve without points.
    """
    if not line.k:
        raise ValueError("a curve needs at least one point")
    most = max(line.k[-1], 2)
    x = [_x(k, most) for k in line.k]
    top, low, high = ([_y(value) for value in values] for values in (line.coverage, line.lo, line.hi))
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}" xmlns="http://www.w3.org/2000/svg">',
        *_grid(most),
        f'<path class="band" d="{_path([*zip(x, high, strict=True), *reversed([*zip(x, low, strict=True)])])}Z"/>',
        f'<path class="line" d="{_path(zip(x, top, strict=True))}"/>',
    ]
    if len(x) <= _MOST_DOTS:
        parts += [f'<circle class="dot" cx="{a:.1f}" cy="{b:.1f}" r="3"/>' for a, b in zip(x, top, strict=True)]
    parts.append(f'<text class="end" x="{x[-1] + 10:.1f}" y="{top[-1] + 4:.1f}">{line.coverage[-1]:.1%}</text>')
    return "\n".join([*parts, "</svg>"])


def _x(k: float, most: int) -> float:
    return _LEFT + math.log(k) / math.log(most) * (WIDTH - _LEFT - _RIGHT)


def _y(share: float) -> float:
    return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)


def _path(points: object) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)  # type: ignore[attr-defined]


def _grid(most: int) -> list[str]:
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    parts = []
    for tenth in range(0, 11, 2):
        y = _y(tenth / 10)
        parts.append(f'<path class="{"grid" if tenth else "axis"}" d="M{_LEFT} {y:.1f}H{right}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tenth * 10}%</text>')
    step = 4 if most > 512 else 2
    k = 1
    while k <= most:
        x = _x(k, most)
        parts.append(f'<path class="axis" d="M{x:.1f} {bottom}v4"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{k:,}</text>')
        k *= step
    middle = (_LEFT + right) / 2
    parts.append(
        f'<text class="tick" x="{middle:.0f}" y="{HEIGHT - 8}" text-anchor="middle">samples per problem, k (log)</text>'
    )
    return parts
