"""Template tags about experiments: status, trend and time in words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from jobs.models import Status
from webapp.templatetags.canopy import icon

register = template.Library()

STATUS_ICONS = {
    Status.QUEUED: "clock",
    Status.RUNNING: "ring",
    Status.FINISHED: "check",
    Status.FAILED: "warn",
    Status.CANCELLED: "slash",
}
SPARK_WIDTH, SPARK_HEIGHT, SPARK_MARGIN = 64.0, 24.0, 2.0


@register.simple_tag
def status_chip(status: str, percent: int | None = None) -> SafeString:
    """An icon and a word; never colour alone."""
    state = Status(status)
    text = state.label if percent is None else f"{state.label} {percent}%"
    return format_html('<span class="status" data-state="{}">{}{}</span>', status, icon(STATUS_ICONS[state]), text)


@register.simple_tag
def sparkline(values: Sequence[float] | None, slot: int) -> SafeString:
    """A small line of the values, left to right, in the colour of the run; nothing for fewer than two values."""
    if not values or len(values) < 2:
        return SafeString("")
    line = _path([float(value) for value in values])
    area = f"{line}L{SPARK_WIDTH:g} {SPARK_HEIGHT:g}L0 {SPARK_HEIGHT:g}Z"
    return format_html(
        '<svg class="spark cell c{}" viewBox="0 0 64 24" aria-hidden="true" preserveAspectRatio="none">'
        '<path class="area" d="{}"/><path class="line" d="{}"/></svg>',
        slot,
        area,
        line,
    )


def _path(values: list[float]) -> str:
    low, high = min(values), max(values)
    scale = (SPARK_HEIGHT - 2 * SPARK_MARGIN) / (high - low) if high > low else 0.0
    step = SPARK_WIDTH / (len(values) - 1)
    points = [(i * step, SPARK_HEIGHT - SPARK_MARGIN - (value - low) * scale) for i, value in enumerate(values)]
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


UNITS = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)]


@register.filter
def duration(value: timedelta | float | None) -> str:
    """The two largest units that matter: ``9 h 12 min``, ``6 min``, ``48 s``. Empty for None."""
    if value is None:
        return ""
    seconds = round(value.total_seconds() if isinstance(value, timedelta) else value)
    for (unit, size), (smaller_unit, smaller) in pairwise(UNITS):
        if seconds >= size:
            rest = seconds % size // smaller
            return f"{seconds // size} {unit}" + (f" {rest} {smaller_unit}" if rest and size > 60 else "")
    return f"{max(0, seconds)} s"


@register.filter
def size(n_bytes: int) -> str:
    """Bytes as ``46 kB``, ``270 MB`` or ``1.4 GB`` (decimal units)."""
    if n_bytes < 1e6:
        return f"{max(1, round(n_bytes / 1e3))} kB"
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{round(n_bytes / 1e6)} MB"


@register.filter
def ago(value: datetime | None) -> str:
    """How long ago: ``12 s ago``; a clock that runs ahead by a little counts as now."""
    return "" if value is None else f"{duration(timezone.now() - value)} ago"


@register.filter
def when(value: datetime | None) -> str:
    """A time of today as ``14:19``, of this year as ``21 Nov``, else with the year."""
    if value is None:
        return ""
    then, now = timezone.localtime(value), timezone.localtime()
    if then.date() == now.date():
        return then.strftime("%H:%M")
    return f"{then.day} {then:%b}" if then.year == now.year else f"{then.day} {then:%b %Y}"
