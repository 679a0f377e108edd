"""A board in a browser: pin, drag, arrow keys, save and reload, live update, frozen copy, accessibility."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect

from jobs.live import announce
from jobs.models import Experiment, Status, next_seq
from tests.browser.conftest import OpenContext
from tests.browser.test_live_page import check
from tests.webapp.boards.test_content import board as content
from tests.webapp.boards.test_content import chart, text
from webapp.accounts.models import User
from webapp.boards import freezing, services
from webapp.boards.content import Content
from webapp.boards.models import Board
from webapp.sharing.services import Options, make_link

Make = Callable[..., Experiment]
GRID_JS = Path(__file__).parents[2] / "webapp/static/webapp/js/grid.js"


def set_correct(experiment: Experiment, c: int) -> None:
    seq = next_seq(experiment.pk)
    experiment.problems.update(n=8, c=c, drawn=8, tokens=40, seq=seq)


def box(page: Page, tile: str) -> dict[str, float]:
    found: Any = page.locator(f'[data-tile="{tile}"]').bounding_box()
    assert found is not None
    return dict(found)


def places(board: Board) -> dict[str, tuple[int, int, int, int]]:
    board.refresh_from_db()
    return {tile["id"]: (tile["x"], tile["y"], tile["w"], tile["h"]) for tile in board.content["tiles"]}


def save(page: Page) -> None:
    with page.expect_navigation():
        page.get_by_role("button", name="Save", exact=True).click()


def test_a_board_from_pin_to_frozen_copy(alice: User, make_experiment: Make, new_context: OpenContext) -> None:
    running = make_experiment(name="Goes on", problems=4, status=Status.RUNNING, spec={"samples": 8})
    set_correct(running, 2)
    team = alice.teams.get()
    author = services.Author.of(alice)
    kpi = chart("solved", x=6, w=6, h=4, experiment=str(running.code), name="kpi-solved")
    board = services.create(team, content(text("intro", w=6, h=4), kpi, title="Autumn"), author)
    page = new_context(alice, viewport={"width": 1300, "height": 1000}).new_page()

    # Pinned as it is set on the experiment's page.
    page.goto(f"/experiments/{running.code}/?x=linear")
    page.locator("#coverage [data-pin-tile]").click()
    expect(page.get_by_label("Coverage against samples", exact=True)).to_be_checked()
    page.get_by_role("button", name="Pin", exact=True).last.click()
    page.get_by_role("link", name="Autumn").click()
    curve = page.locator('[data-tile="coverage"]')
    expect(curve.locator("[data-plot] .main-svg").first).to_be_visible()
    expect(curve.get_by_role("button", name="Linear")).to_have_attribute("aria-pressed", "true")
    check(page)

    # It follows the experiment.
    solved = page.locator('[data-kpi="solved"] .kpi-value')
    expect(solved).to_contain_text("4of 4")
    running.problems.filter(index=0).update(c=0, seq=next_seq(running.pk))
    announce(running.pk)
    expect(solved).to_contain_text("3of 4", timeout=40_000)

    # By mouse: the curve above the others, and smaller. By key: the text to the right.
    page.get_by_role("button", name="Edit").click()
    check(page)
    start = curve.locator("[data-move]").bounding_box()
    assert start is not None
    page.mouse.move(start["x"] + 8, start["y"] + 8)
    page.mouse.down()
    page.mouse.move(start["x"] + 8, box(page, "intro")["y"] - 150, steps=4)
    page.mouse.up()
    assert box(page, "coverage")["y"] < box(page, "intro")["y"]
    corner = box(page, "coverage")
    page.mouse.move(corner["x"] + corner["width"] - 6, corner["y"] + corner["height"] - 6)
    page.mouse.down()
    page.mouse.move(corner["x"] + corner["width"] + 100, corner["y"] + corner["height"] - 6 - 96, steps=4)
    page.mouse.up()
    page.locator('[data-tile="intro"] [data-move]').focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#board-said")).to_contain_text("Text: column 2")
    expect(page.locator('[data-tile="intro"] [data-move]')).to_be_focused()
    page.keyboard.press("Shift+ArrowLeft")
    save(page)
    kept = places(board)
    assert kept["coverage"] == (0, 0, 7, 9)
    assert kept["intro"][0] == 1
    assert kept["intro"][2] == 5
    assert places(board) == {
        tile.id: (tile.x, tile.y, tile.w, tile.h) for tile in Content.model_validate(board.content).tiles
    }

    # What was saved is what a reload shows.
    before = box(page, "coverage")
    page.reload()
    expect(curve.locator("[data-plot] .main-svg").first).to_be_visible()
    assert box(page, "coverage") == before

    # Somebody else saves while this page is edited: told so, and nothing is lost.
    page.get_by_role("button", name="Edit").click()
    page.get_by_role("button", name="Remove Text").click()
    services.save(Board.objects.get(), content(text("theirs")), base=board.version, author=services.Author(None, "Bob"))
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Bob saved version")
    with page.expect_navigation():
        page.get_by_role("button", name="Save mine as the next version").click()
    assert set(places(board)) == {"coverage", "solved"}

    frozen = freezing.freeze(board, author)
    set_correct(running, 0)
    page.goto(f"/boards/frozen/{frozen.code}/")
    expect(page.locator('[data-kpi="solved"] .kpi-value')).to_contain_text("3of 4")
    check(page)
    page.goto(f"/boards/frozen/{frozen.code}/?report=1")
    expect(page.locator("[data-plot] .main-svg").first).to_be_visible()
    check(page)
    # A stranger with a link: no team around it, and it follows by asking.
    _, token = make_link(team, Options("board", {"board": str(board.code)}), by=alice)
    stranger = new_context().new_page()
    stranger.goto(f"/s/{token}/")
    expect(stranger.locator("[data-plot] .main-svg").first).to_be_visible()
    expect(stranger.locator('[data-kpi="solved"] .kpi-value')).to_contain_text("0of 4")
    check(stranger)
    set_correct(running, 8)
    expect(stranger.locator('[data-kpi="solved"] .kpi-value')).to_contain_text("4of 4", timeout=60_000)
    phone = new_context(alice, color_scheme="light", viewport={"width": 390, "height": 844}).new_page()
    for path in (f"/boards/{board.code}/", f"/teams/{team.code}/"):
        phone.goto(path, wait_until="networkidle")
        check(phone)
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390, path


def test_the_grid_is_the_servers(chromium: Browser) -> None:
    """While dragging, the page settles tiles as the server does when it saves."""
    page = chromium.new_page()
    source = GRID_JS.read_text(encoding="utf-8")
    page.evaluate(
        "async (source) => { window.grid = await import(`data:text/javascript,${encodeURIComponent(source)}`); }",
        source,
    )
    rects = [((7 * i) % 12, (5 * i) % 23, 2 + (3 * i) % 11, 2 + (2 * i) % 9) for i in range(12)]
    tiles = [text(f"t{i}", x, y, w, h) for i, (x, y, w, h) in enumerate(rects)]
    for moved in (None, "t0", "t5", "t11"):
        script = (
            "([tiles, moved]) => grid.reading(grid.settled(tiles, moved)).map(({id, x, y, w, h}) => ({id, x, y, w, h}))"
        )
        drawn: list[dict[str, Any]] = page.evaluate(script, [tiles, moved])
        again = content(*(text(each["id"], each["x"], each["y"], each["w"], each["h"]) for each in drawn))
        assert [json.loads(tile.model_dump_json(include={"id", "x", "y", "w", "h"})) for tile in again.tiles] == drawn
        if moved is None:
            assert [tile.model_dump(include={"id", "x", "y", "w", "h"}) for tile in content(*tiles).tiles] == drawn
    page.close()
