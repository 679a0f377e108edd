"""A scene experiment in a browser: from the form through training to a scene in the viewer, and its pages' rules."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import OpenContext, violations
from tests.stack import Stack
from webapp.accounts.models import Team, User

STATUS = '.status[data-bind="status"]'
SMALL = {
    "rooms": 3, "channels": 4, "bins": 8, "samples": 16, "width": 8, "latent_width": 8, "g": 4, "codebook": 16,
    "denoiser_width": 8, "cameras": 2, "autoencoder_steps": 6, "latent_steps": 4, "diffusion_steps": 4, "views_given": 2,
    "views_asked": 1, "diffusion_batch": 2, "scenes": 1, "steps_g": 4, "steps_c": 4, "steps_f": 4, "image_size": 32,
    "name": "Small",
}  # fmt: skip


def submit(page: Page, team: Team) -> None:
    """The small preset, as small as it can be."""
    page.goto(f"/teams/{team.code}/new/scenes/?preset=small")
    page.locator('main [name="grid"]').select_option("4x16x16")
    for field, value in SMALL.items():
        page.locator(f'main [name="{field}"]').fill(str(value))
    page.get_by_role("button", name="Start experiment").click()
    page.wait_for_url(re.compile(r"/experiments/[0-9a-f-]{36}/$"))


@pytest.mark.timeout(240)
def test_from_the_form_to_a_scene(stack: Stack, team: Team, bob: User, new_context: OpenContext) -> None:
    stack.start("gpu", "cpu", "reconciler")
    page = new_context(bob).new_page()

    submit(page, team)
    expect(page.locator(STATUS)).to_have_text("Finished", timeout=150_000)
    expect(page.locator('[data-kpi="scenes"] .kpi-value')).to_have_text("1")
    expect(page.locator("#loss .js-line").first).to_be_visible()
    expect(page.locator("#views figure")).not_to_have_count(0)
    expect(page.locator("#scores tbody tr").filter(has_text="KID")).to_have_count(1)
    viewer = page.locator("#scene canopy-scene")
    expect(viewer).to_have_attribute("data-state", "ready")
    before = picture(viewer)
    viewer.locator(".scene-surface").press("ArrowRight", delay=200)
    expect(page).to_have_url(re.compile("view="))
    expect(viewer).to_have_attribute("still", "")
    assert picture(viewer) != before, "another picture from another side"
    assert violations(page) == []

    page.get_by_role("link", name="Make", exact=True).click()
    page.locator('[name="steps_c"]').fill("6")
    page.get_by_role("button", name="Draw", exact=True).click()
    expect(page.locator("[data-note]")).to_contain_text("Scene 2: drawn", timeout=60_000)
    expect(page.locator("#scene h2")).to_have_text("Scene 2")
    page.get_by_role("link", name="Settings and downloads").click()
    expect(page.locator("#shown .dl")).to_contain_text("6 steps, guidance 1")
    with page.expect_download() as got:
        page.locator(".made-side").get_by_role("link", name=re.compile("glb")).click()
    assert got.value.path().read_bytes()[:4] == b"glTF"
    assert violations(page) == []


def picture(viewer: Locator) -> bytes:
    """What is drawn, without the controls over it."""
    return viewer.locator("canvas").screenshot()
