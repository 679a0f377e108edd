"""From click to curve: a person submits the form, watches the curve grow, cancels and shares; a stranger looks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenContext, violations
from tests.stack import Stack
from tests.tiny_model import build_tiny_model
from webapp.accounts.models import Team, User

# Counts the curve's points after each drawing of the live page.
WATCH_CURVE = """
window.points = [];
document.addEventListener("DOMContentLoaded", () => document.getElementById("live")?.addEventListener("drawn", () =>
  window.points.push(document.querySelectorAll("#coverage .scatterlayer .points path").length)));
"""


@pytest.fixture
def models(stack: Stack, tmp_path: Path) -> Path:
    """Where the workers look for models; holds one called "tiny"."""
    build_tiny_model(tmp_path / "models" / "tiny")
    stack.environment["CANOPY_MODEL_DIRS"] = str(tmp_path / "models")
    return tmp_path / "models"


def submit(page: Page, team: Team, name: str, **fields: int) -> None:
    """Fill the form for the tiny model, whose context is too short for examples, and send it."""
    page.goto(f"/teams/{team.code}/new/sampling/")
    for button in page.get_by_role("button", name=re.compile("remove", re.I)).all()[::-1]:
        button.click()
    for field, value in {"name": name, "model": "tiny", "temperature": 1, **fields}.items():
        page.locator(f'main [name="{field}"]').fill(str(value))
    page.get_by_role("button", name="Start experiment").click()
    page.wait_for_url(re.compile(r"/experiments/[0-9a-f-]{36}/$"))


@pytest.mark.timeout(240)
def test_from_the_form_to_a_shared_curve(
    models: Path, stack: Stack, team: Team, bob: User, new_context: OpenContext
) -> None:
    stack.start("gpu", "cpu", "reconciler")
    context = new_context(bob)
    context.add_init_script(WATCH_CURVE)
    page = context.new_page()

    submit(page, team, "Tiny but real", limit=8, samples=24, max_tokens=48)
    expect(page.locator('[data-bind="sign"] b')).to_have_text(re.compile("Live|Finished"))
    expect(page.locator('.status[data-bind="status"]')).to_have_text("Finished", timeout=120_000)
    expect(page.locator("#coverage")).to_contain_text("8 problems, 24 samples each")
    expect(page.locator('[data-kpi="drawn"] .kpi-value')).to_have_text("192of 192")
    points = page.evaluate("window.points")
    assert points == sorted(points), "the curve only grows"
    assert len(set(points)) >= 2, "it grew while the page was watching"
    assert violations(page) == []

    page.get_by_role("link", name=re.compile("^Samples")).click()
    expect(page.locator(".browser .answer")).not_to_be_empty()
    first = page.locator("[data-sample]").get_attribute("data-sample")
    page.keyboard.press("j")
    expect(page.locator("[data-sample]")).not_to_have_attribute("data-sample", first or "")
    assert violations(page) == []

    page.get_by_role("button", name="Share").click()
    page.get_by_role("button", name="Make a link").click()
    expect(page.locator("#share-url")).to_contain_text("/s/")
    link = page.locator("#share-url").inner_text()

    stranger = new_context().new_page()
    stranger.goto(link)
    expect(stranger.locator("#coverage")).to_contain_text("8 problems, 24 samples each")
    expect(stranger.locator("#coverage .scatterlayer .points path").first).to_be_visible()
    expect(stranger.get_by_role("button", name="Cancel")).to_have_count(0)
    assert not [href for href in hrefs(stranger) if not href.startswith(("/s/", "#", "/static/"))]
    assert violations(stranger) == []


def hrefs(page: Page) -> list[str]:
    found: list[str] = page.evaluate("[...document.querySelectorAll('a[href]')].map((a) => a.getAttribute('href'))")
    return found


@pytest.mark.timeout(240)
def test_cancelling_shows_at_once(models: Path, stack: Stack, team: Team, bob: User, new_context: OpenContext) -> None:
    stack.start("gpu", "cpu", "reconciler")
    page = new_context(bob).new_page()
    submit(page, team, "Too long", samples=5000, max_tokens=200)
    status = page.locator('.status[data-bind="status"]')
    expect(status).to_have_text("Running", timeout=90_000)
    page.get_by_role("button", name="Cancel").click()
    expect(status).to_have_text("Cancelled")
    expect(page.get_by_role("button", name="Retry")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    assert violations(page) == []
