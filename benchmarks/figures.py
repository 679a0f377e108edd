"""Makes the figures of docs/engine.md from docs/benchmarks/*.json: python -m benchmarks.figures"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from benchmarks._report import RESULTS, ROOT

FOLDER = ROOT / "docs" / "img"
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 380, 70, 190, 46, 48
# Told apart without colour vision too (Okabe and Ito 2008).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999", "#f0e442", "#000000")
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#222}.axis{stroke:#999;stroke-width:1}.grid{stroke:#ddd}"
    ".title{font-weight:600;font-size:15px}@media(prefers-color-scheme:dark){text{fill:#ddd}.grid{stroke:#444}}"
)


def main() -> None:
    decode, profile, tree = (_read(name) for name in ("decode", "step-profile", "tree"))
    _write("engine-throughput", throughput(decode))
    _write("engine-floor", floors(decode, tree))
    _write("engine-step", steps(profile))


def throughput(rows: Sequence[dict[str, Any]]) -> str:
    """Tokens/s against the batch, one line a prefix, both axes logarithmic."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        found = re.fullmatch(r"CodeLlama-13B, (\d+) samples, prefix (\d+), picture", row["case"])
        if found and row["metric"] == "decode":
            samples, prefix = map(int, found.groups())
            lines.setdefault(f"prefix {prefix:,}", []).append((samples, row["value"]))
            lines.setdefault(f"floor, {prefix:,}", []).append((samples, row["floor"]))
    xs, ys = ([point[axis] for line in lines.values() for point in line] for axis in (0, 1))
    x = _log_scale(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    y = _log_scale(2000, max(ys), HEIGHT - BOTTOM, TOP)
    parts = [_title("CodeLlama-13B shape on one H200: decode tokens/s against samples at once")]
    parts += [_grid(y(value), f"{value:,}") for value in (2000, 4000, 8000, 16000)]
    parts += [_text(x(value), HEIGHT - 22, f"{value:.0f}", "middle") for value in sorted(set(xs))]
    for number, (name, line) in enumerate(sorted(lines.items(), key=lambda each: each[0].startswith("floor"))):
        colour = COLOURS[number % (len(lines) // 2)]
        dash = ' stroke-dasharray="5 4"' if name.startswith("floor") else ""
        points = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in sorted(line))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        parts.append(_key(number, name, colour))
    return _svg(parts)


def floors(decode: Sequence[dict[str, Any]], tree: Sequence[dict[str, Any]]) -> str:
    """Measured over floor, a bar a case."""
    cases = [
        (row["case"], row["value"] / row["floor"])
        for row in [*decode, *tree]
        if "floor" in row and row["unit"] == "tokens/s" and not row["case"].endswith("picture")
    ]
    height = TOP + 26 * len(cases) + 20
    parts = [_title("Tokens/s as a share of the floor (copy bandwidth and matrix rate of the same run)")]
    for number, (case, share) in enumerate(cases):
        y = TOP + 26 * number
        parts.append(_text(300, y + 14, case, "end"))
        parts.append(f'<rect x="310" y="{y}" width="{380 * share:.1f}" height="18" fill="{COLOURS[0]}"/>')
        parts.append(_text(316 + 380 * share, y + 14, f"{100 * share:.0f}%"))
    return _svg(parts, height=height)


def steps(rows: Sequence[dict[str, Any]]) -> str:
    """The kernels' time by part, a bar a model; kernels run side by side, so a bar is longer than its step."""
    cases: dict[str, dict[str, float]] = {}
    for row in rows:
        cases.setdefault(row["case"], {})[row["metric"]] = row["value"]
    parts_of_step = [name for name in next(iter(cases.values())) if name not in ("step", "gaps")]
    parts = [_title("One decode step by part: each kernel's share of the sum of all")]
    for number, (case, spent) in enumerate(cases.items()):
        y, x = TOP + 70 * number, float(LEFT - 50)
        total = sum(spent[name] for name in parts_of_step)
        parts.append(_text(x, y + 12, f"{case}: step {spent['step'] / 1000:.2f} ms, kernels {total / 1000:.2f} ms"))
        for which, name in enumerate(parts_of_step):
            width = (WIDTH - 40) * spent[name] / total
            parts.append(f'<rect x="{x:.1f}" y="{y + 20}" width="{width:.1f}" height="26" fill="{COLOURS[which]}"/>')
            if width > 46:
                white = f'<text x="{x + 4:.1f}" y="{y + 38}" style="fill:#fff">{100 * spent[name] / total:.0f}%</text>'
                parts.append(white)
            x += width
    legend = TOP + 70 * len(cases) + 6
    for which, name in enumerate(parts_of_step):
        column, line = which % 2, which // 2
        parts.append(
            f'<rect x="{20 + 370 * column}" y="{legend + 22 * line}" width="12" height="12" fill="{COLOURS[which]}"/>'
        )
        parts.append(_text(38 + 370 * column, legend + 11 + 22 * line, name))
    return _svg(parts, height=legend + 22 * math.ceil(len(parts_of_step) / 2) + 12)


def _read(name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((RESULTS / f"{name}.json").read_text())["rows"]
    return rows


def _log_scale(low: float, high: float, start: float, end: float) -> Any:
    return lambda value: start + (end - start) * math.log(value / low) / math.log(high / low)


def _title(text: str) -> str:
    return f'<text class="title" x="20" y="24">{escape(text)}</text>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _grid(y: float, label: str) -> str:
    line = f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return line + _text(LEFT - 8, y + 4, label, "end")


def _key(number: int, name: str, colour: str) -> str:
    y = TOP + 12 + 22 * number
    dash = ' stroke-dasharray="5 4"' if name.startswith("floor") else ""
    line = f'<line x1="{WIDTH - RIGHT + 16}" x2="{WIDTH - RIGHT + 44}" y1="{y}" y2="{y}" stroke="{colour}"'
    return f'{line} stroke-width="2"{dash}/>' + _text(WIDTH - RIGHT + 52, y + 4, name)


def _svg(parts: Sequence[str], *, height: int = HEIGHT) -> str:
    box = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box}><style>{STYLE}</style>\n' + "\n".join(parts) + "\n</svg>\n"


def _write(name: str, svg: str) -> None:
    path: Path = FOLDER / f"{name}.svg"
    path.write_text(svg)
    print(f"{path.relative_to(ROOT)} made")


if __name__ == "__main__":
    main()
