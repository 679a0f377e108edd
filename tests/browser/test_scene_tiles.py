"""Scenes on a board and behind a link of their own, in a browser."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect

from tests.browser.conftest import OpenContext, violations
from tests.browser.test_live_page import check
from tests.webapp.boards.test_content import board as content
from tests.webapp.scenes import make_scenes
from webapp.accounts.models import Team, User
from webapp.boards import freezing, services
from webapp.sharing.services import Options, make_link


def test_scenes_on_a_board_and_behind_a_link(team: Team, bob: User, new_context: OpenContext) -> None:
    experiment = make_scenes(team, bob, drawn=2)

    def tile(id: str, name: str, x: int, y: int, **more: Any) -> dict[str, Any]:
        sizes = {"w": 6, "h": 11, **more}
        return {
            "type": "experiment",
            "id": id,
            "name": name,
            "experiment": str(experiment.code),
            "x": x,
            "y": y,
            **sizes,
        }

    author = services.Author.of(bob)
    tiles = [
        tile("newest", "scene", 0, 0),
        tile("first", "scene", 6, 0, view="scene=1"),
        tile("loss", "loss", 0, 11),
        tile("scores", "scores", 6, 11),
        tile("views", "views", 0, 22),
        tile("kpi", "kpi-scenes", 6, 22, w=3, h=3),
    ]
    board = services.create(team, content(*tiles), author)
    page = new_context(bob, viewport={"width": 1300, "height": 1000}).new_page()
    page.goto(f"/boards/{board.code}/")
    newest, first = (page.locator(f'[data-tile="{name}"] canopy-scene') for name in ("newest", "first"))
    expect(first).to_have_attribute("src", f"/experiments/{experiment.code}/data/scene/1.json")
    expect(newest.get_by_role("button", name="Open in 3D")).to_be_visible()
    assert page.locator("canvas").count() == 0, "a board of posters holds no WebGL context"
    newest.get_by_role("button", name="Open in 3D").click()
    expect(newest).to_have_attribute("data-state", "ready")
    expect(first).to_have_attribute("data-state", "poster")
    page.locator('[data-tile="newest"] select').select_option("Scene 1")
    expect(newest).to_have_attribute("label", "Scene 1")
    expect(newest).to_have_attribute("data-state", "ready")
    expect(page.locator('[data-tile="loss"] [data-plot] .main-svg').first).to_be_visible()
    expect(page.locator('[data-tile="scores"] table')).to_contain_text("KID")
    expect(page.locator('[data-tile="views"] .view-row').first).to_be_visible()
    expect(page.locator('[data-tile="kpi"] [data-kpi="scenes"] .kpi-value')).to_contain_text("2of 3")
    check(page)

    page.goto(f"/boards/frozen/{freezing.freeze(board, author).code}/")
    expect(newest.get_by_role("button", name="Open in 3D")).to_be_visible()
    expect(page.locator('[data-tile="views"] table')).to_contain_text("dB")
    _, token = make_link(team, Options("board", {"board": str(board.code)}), by=bob)
    stranger = new_context(viewport={"width": 390, "height": 844}).new_page()
    stranger.goto(f"/s/{token}/")
    expect(stranger.locator('[data-tile="newest"]')).to_contain_text("A scene has a link of its own")

    page.goto(f"/experiments/{experiment.code}/scenes/?at=2")
    page.get_by_role("button", name="Share scene").click()
    expect(page.locator("[data-share-words]")).to_contain_text("Scene 2 of Rooms")
    page.get_by_role("button", name="Make a link").click()
    expect(page.locator("#share-url")).to_contain_text("/s/")
    address = page.locator("#share-url").inner_text()
    stranger.goto(address[address.index("/s/") :])
    expect(stranger.locator("canopy-scene")).to_have_attribute("data-state", "ready")
    check(stranger)
    assert stranger.evaluate("document.documentElement.scrollWidth") <= 390 and violations(stranger) == []
