"""Costs as pages write them. The figures' script writes the same in static/webapp/js/costs.js."""

from __future__ import annotations

PREFIXES = ((1e24, "Y"), (1e21, "Z"), (1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def write_flops(value: float) -> str:
    """3.1e15 -> ``3.1 P``."""
    for size, letter in PREFIXES:
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:.3g}"


def write_seconds(value: float) -> str:
    """``12 ms``, ``3.4 s``, ``25.6 min``, ``1.2 h``."""
    if value < 0.1:
        return f"{1000 * value:.3g} ms"
    if value < 100:
        return f"{value:.3g} s"
    return f"{value / 60:.3g} min" if value < 6_000 else f"{value / 3600:,.4g} h"


def write_dollars(value: float) -> str:
    """Three significant digits and never an exponent: ``$0.0000123``, ``$1,240``."""
    if value >= 1000:
        return f"${value:,.0f}"
    if value == 0:
        return "$0"
    text = f"{value:.3g}"
    if "e" in text:
        text = f"{value:.12f}".rstrip("0")
        digits = len(text.removeprefix("0.")) - len(text.removeprefix("0.").lstrip("0"))
        text = f"{value:.{digits + 3}f}".rstrip("0")
    return f"${text}"
