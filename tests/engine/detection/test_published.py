"""The paper's numbers in the code are those of its tables, as docs/detection.md has them."""

from __future__ import annotations

import re
from pathlib import Path

from engine.detection import LabelRule
from engine.detection.published import PUBLISHED

DOCS = Path(__file__).parents[3] / "docs" / "detection.md"
NAMES = {
    "Largest box": ("largest", None),
    "Random box": ("random", None),
    "RotIoU": ("rotiou", None),
    "Ellipse": ("ellipse", None),
    "No rotation": ("none", None),
    "Perfect labels": ("perfect", None),
    "Ellipse + RU": ("ellipse", 10.0),
}


def rows(heading: str) -> list[list[str]]:
    """Cells of the table after the line with ``heading``."""
    after = DOCS.read_text().split(heading, 1)[1]
    table = after[after.index("|") :].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()][2:]


def method(name: str) -> tuple[str, float | None]:
    if found := re.fullmatch(r"Ellipse \+ RU, delta (\d+)", name):
        return "ellipse", float(found[1])
    if found := re.fullmatch(r"Octagon s=(\.\d)", name):
        return f"octagon:0{found[1]}", None
    return NAMES[name]


def test_table_2_is_the_papers() -> None:
    ours = {(each.rule, each.delta): list(each.ap) for each in PUBLISHED}
    table = {method(name): [float(value) for value in values] for name, *values in rows("(table 2):")}
    assert len(table) == 11
    assert {key: ours[key] for key in table} == table


def test_figure_9_is_the_papers() -> None:
    ours = {(each.rule, each.delta): [each.ap, each.ap50, each.ap75] for each in PUBLISHED}
    found = rows("(fig. 9)")
    assert len(found) == 4
    for name, *cells in found:
        assert ours[method(name)] == [tuple(float(value) for value in cell.split()) for cell in cells]


def test_rules_are_ours() -> None:
    assert all(str(LabelRule.parse(each.rule)) == each.rule for each in PUBLISHED)
