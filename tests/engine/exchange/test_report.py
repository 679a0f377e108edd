from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from engine.exchange.figure import HEIGHT, WIDTH, Line, coverage_svg
from engine.exchange.report import ProblemRow, Report, html_report

EVIL = "<script>alert(1)</script>\"'&"
CURVE = Line([1, 2, 4], [0.25, 0.5, 0.75], [0.1, 0.3, 0.5], [0.4, 0.7, 0.9])


def report(**more: object) -> str:
    values = {
        "title": EVIL,
        "made": "1 January 2026",
        "facts": [(EVIL, EVIL)],
        "curve": CURVE,
        "verdicts": [("Correct", 3), ("Wrong", 1)],
        "problems": [ProblemRow(EVIL, EVIL, 4, 3, 0), ProblemRow("q", "x" * 500, 0, 0, 0)],
        "settings": [(EVIL, [("Template", f"{EVIL}\nsecond line")])],
        **more,
    }
    return "".join(html_report(Report(**values)))  # type: ignore[arg-type]


class Parser(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.data: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.data.append(data)


def test_what_people_and_models_wrote_stays_text() -> None:
    page = Parser(report())
    assert "script" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in {"src", "href", "style"}]
    assert "".join(page.data).count(EVIL) >= 6


def test_it_opens_offline() -> None:
    text = report()
    assert not re.search(r"(?:https?:)?//(?!www\.w3\.org/2000/svg)", text.replace("/*", ""))
    assert "default-src 'none'; style-src 'unsafe-inline'" in text
    assert "url(" not in text and "@import" not in text


def test_it_tells_curve_verdicts_and_problems() -> None:
    text = report()
    assert "Coverage rises from 25.0% with one sample to 75.0% with 4 samples per problem." in text
    assert "<td>Wrong</td>" in text and "25.0%" in text
    assert '<td class="num">3</td>' in text
    assert "x" * 159 + "…" in text and "x" * 161 not in text
    assert '<td>2</td><td class="num">50.00%</td><td class="num">30.00%</td>' in text  # the curve's table twin


def test_without_graded_samples_it_says_so() -> None:
    assert "there is no curve" in report(curve=Line([], [], [], []), problems=[])


def test_the_drawing_is_well_formed_and_to_scale() -> None:
    root = ElementTree.fromstring(coverage_svg(CURVE, 'a "label" & more'))
    assert root.get("aria-label") == 'a "label" & more'
    dots = [(float(one.get("cx", "")), float(one.get("cy", ""))) for one in root.iter() if one.get("class") == "dot"]
    (x1, y1), (x2, y2), (x4, y4) = dots
    assert x2 - x1 == pytest.approx(x4 - x2, abs=0.2)  # k = 1, 2, 4 stand evenly on a log axis
    assert y1 - y2 == pytest.approx(y2 - y4, abs=0.2)  # 25%, 50%, 75% on a linear one
    assert all(0 < x < WIDTH and 0 < y < HEIGHT for x, y in dots)


@pytest.mark.parametrize("last", [1, 10_000, 1_000_000])
def test_any_largest_k_is_drawn(last: int) -> None:
    line = Line(
        [1, last] if last > 1 else [1],
        [0.0, 1.0][: 1 + (last > 1)],
        [0.0, 1.0][: 1 + (last > 1)],
        [0.0, 1.0][: 1 + (last > 1)],
    )
    ElementTree.fromstring(coverage_svg(line, "x"))


def test_a_curve_without_points_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one point"):
        coverage_svg(Line([], [], [], []), "x")
