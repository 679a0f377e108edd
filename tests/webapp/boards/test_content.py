"""The grid, differences in words, and Markdown: what needs no database."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from webapp.boards.content import COLUMNS, Content, fresh_id, settled
from webapp.boards.differences import differences
from webapp.boards.markdown import rendered

CODE = "5f0c2b5e-8f5b-4c0e-9a53-0d1f7f0f6c11"


def text(id: str, x: int = 0, y: int = 0, w: int = 6, h: int = 4, **more: Any) -> dict[str, Any]:
    return {"type": "text", "id": id, "x": x, "y": y, "w": w, "h": h, "text": f"about {id}", **more}


def chart(id: str, **more: Any) -> dict[str, Any]:
    return text(id) | {"type": "experiment", "experiment": CODE, "name": "coverage"} | more


def board(*tiles: dict[str, Any], title: str = "Autumn") -> Content:
    for tile in tiles:
        if tile["type"] != "text":
            tile.pop("text", None)
    return Content.model_validate({"title": title, "tiles": list(tiles)})


def places(content: Content) -> dict[str, tuple[int, int]]:
    return {tile.id: (tile.x, tile.y) for tile in content.tiles}


def test_tiles_move_up_and_never_overlap() -> None:
    made = board(text("a", 0, 7), text("b", 6, 9, h=2), text("c", 3, 20), text("d", 11, 30, w=4))
    assert places(made) == {"a": (0, 0), "b": (6, 0), "c": (3, 4), "d": (8, 8)}


TILES = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 60), st.integers(2, 12), st.integers(2, 40)), max_size=12)


@given(TILES)
def test_settled_tiles_rest_on_each_other(rects: list[tuple[int, int, int, int]]) -> None:
    """No overlap, inside the grid, nothing hangs in the air; settling again changes nothing."""
    tiles = board(*(text(f"t{i}", x, y, w, h) for i, (x, y, w, h) in enumerate(rects))).tiles
    cells: set[tuple[int, int]] = set()
    for tile in tiles:
        mine = {(x, y) for x in range(tile.x, tile.x + tile.w) for y in range(tile.y, tile.y + tile.h)}
        assert tile.x + tile.w <= COLUMNS
        assert not mine & cells
        if tile.y:
            assert any((x, tile.y - 1) in cells for x in range(tile.x, tile.x + tile.w))
        cells |= mine
    assert settled(tiles) == tiles


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"title": "  "}, "title"),
        ({"tiles": [text("a"), text("a")]}, "same id"),
        ({"tiles": [text("a", w=13)]}, "w"),
        ({"tiles": [text("A b")]}, "id"),
        ({"tiles": [text("a") | {"colour": 3}]}, "colour"),
        ({"tiles": [text("a", text="x" * 10_001)]}, "text"),
        ({"tiles": [text(f"t{i}") for i in range(41)]}, "tiles"),
        ({"tiles": [text("a") | {"type": "script"}]}, "type"),
    ],
)
def test_nonsense_is_refused(wrong: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError, match=where):
        Content.model_validate({"title": "Autumn", "tiles": []} | wrong)


def test_fresh_ids() -> None:
    assert fresh_id("kpi-coverage", []) == "kpi-coverage"
    assert fresh_id("Über all", ["ber-all", "ber-all-2"]) == "ber-all-3"


def test_differences_in_words() -> None:
    old = board(text("intro", 0, 0, 12, 3), chart("cov", y=3), chart("second", x=6, y=3, name="cost"))
    assert differences(old, old) == "no change"
    assert differences(old, board(*map(_json, old.tiles), title="Winter")) == "renamed the board from “Autumn”"
    changed = board(
        text("intro", 0, 0, 12, 3, text="something else"),
        chart("second", x=0, y=3, name="cost"),
        chart("cov", x=6, y=3, w=5, title="Main curve"),
        text("new", 0, 30, text="# A finding\nand more"),
    )
    assert differences(old, changed) == (
        "added the text “A finding”, rewrote the text “about intro”, called coverage “Main curve”, "
        "resized coverage from 6 × 4 to 5 × 4, moved cost, moved “Main curve”"
    )
    assert differences(changed, old).startswith("removed the text “A finding”")


def test_a_tile_pushed_aside_did_not_move() -> None:
    old = board(chart("cov", w=12), chart("cost", y=4, w=12, name="cost"))
    assert differences(old, board(chart("cov", w=12, h=9), chart("cost", y=9, w=12, name="cost"))) == (
        "resized coverage from 12 × 4 to 12 × 9"
    )


def test_many_changes_are_counted() -> None:
    many = board(*(text(f"t{i}", y=4 * i, w=12) for i in range(9)))
    assert differences(board(), many).endswith("4 changes more")


def _json(tile: Any) -> dict[str, Any]:
    value: dict[str, Any] = tile.model_dump(mode="json")
    return value


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "![x](https://evil.example/pixel.png)",
    '<https://example.org/" onclick=alert(1)>',
    '[x](https://example.org "a\\" onmouseover=alert(1)")',
    "| a |\n|:-:|\n| <b style='x'>b</b> |",
    "`<svg onload=alert(1)>`",
    "<details open ontoggle=alert(1)>",
    "[x][y]\n\n[y]: vbscript:alert(1)",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_markdown_lets_no_markup_through(hostile: str) -> None:
    html = rendered(hostile)
    tags = re.findall(r"<[^>]*>", html)
    assert not [tag for tag in tags if re.search(r"<(script|img|svg|details|b\b|iframe|style)", tag)], html
    assert not [
        tag
        for tag in tags
        if re.search(r"\son\w+\s*=\s*[^\"&]|style=|javascript:|vbscript:|data:", tag.split('title="')[0], re.I)
    ], html


def test_markdown_as_it_is_meant() -> None:
    html = rendered("# Head\n\n**b** [l](https://example.org)\n\n| a | b |\n|---|--:|\n| 1 | 2 |")
    assert "<h2>Head</h2>" in html
    assert '<a href="https://example.org" rel="noopener noreferrer nofollow">l</a>' in html
    assert '<table class="table compact">' in html
    assert '<td class="num">2</td>' in html
