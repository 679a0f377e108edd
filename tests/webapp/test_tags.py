"""Time, trend and status in words."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from jobs.models import Status
from webapp.templatetags.experiments import STATUS_ICONS, ago, duration, sparkline, status_chip, when


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (-3, "0 s"),
        (0.4, "0 s"),
        (48, "48 s"),
        (60, "1 min"),
        (119, "1 min"),
        (360, "6 min"),
        (3_600, "1 h"),
        (33_120, "9 h 12 min"),
        (86_400, "1 d"),
        (190_800, "2 d 5 h"),
        (timedelta(minutes=5), "5 min"),
    ],
)
def test_duration(seconds: Any, text: str) -> None:
    assert duration(seconds) == text


def test_a_clock_that_runs_ahead_is_now() -> None:
    assert ago(timezone.now() + timedelta(seconds=2)) == "0 s ago"
    assert ago(None) == ""


@pytest.mark.parametrize(
    ("day", "text"), [((2026, 3, 4), "09:05"), ((2026, 1, 2), "2 Jan"), ((2025, 12, 31), "31 Dec 2025")]
)
def test_when_tells_as_much_as_is_needed(day: tuple[int, int, int], text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    utc = ZoneInfo("UTC")
    monkeypatch.setattr(timezone, "now", lambda: datetime(2026, 3, 4, 18, 0, tzinfo=utc))
    assert when(datetime(*day, 9, 5, tzinfo=utc)) == text


@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=40))
def test_a_sparkline_stays_in_its_box(values: list[float]) -> None:
    svg = sparkline(values, 3)
    line = re.findall(r'class="line" d="([^"]+)"', svg)[0]
    points = [tuple(map(float, point.split())) for point in line.removeprefix("M").split("L")]
    assert len(points) == len(values)
    assert all(0 <= x <= 64 and 0 <= y <= 24 for x, y in points)
    assert [x for x, _ in points] == sorted(x for x, _ in points)


@pytest.mark.parametrize("values", [None, [], [0.5]])
def test_one_value_makes_no_line(values: list[float] | None) -> None:
    assert sparkline(values, 1) == ""


@pytest.mark.parametrize("status", Status.values)
def test_a_status_is_an_icon_and_a_word(status: str) -> None:
    chip = status_chip(status)
    assert f"#i-{STATUS_ICONS[Status(status)]}" in chip
    assert Status(status).label in chip


def test_a_running_status_tells_how_far() -> None:
    assert "Running 68%" in status_chip("running", 68)
