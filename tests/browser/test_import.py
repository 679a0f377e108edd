"""A file of results in the browser: refused with a sentence, then imported, and its figures and report saved."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenContext, violations
from tests.engine.exchange import samples
from tests.stack import Stack
from webapp.accounts.models import Team, User


@pytest.mark.timeout(240)
def test_from_a_file_to_figures_and_a_report(
    stack: Stack, team: Team, bob: User, new_context: OpenContext, tmp_path: Path
) -> None:
    stack.start("cpu", "reconciler")
    page = new_context(bob).new_page()
    page.goto(f"/teams/{team.code}/import/")
    send(page, write(tmp_path / "notes.txt", b"nothing to see"))
    expect(page.locator("#id_file_error")).to_contain_text("notes.txt is in none of the formats")

    send(page, write(tmp_path / "results.jsonl", samples.lm_eval()))
    page.wait_for_url(re.compile(r"/experiments/[0-9a-f-]{36}/$"))
    expect(page.locator('.status[data-bind="status"]')).to_have_text("Finished", timeout=120_000)
    expect(page.locator("#coverage")).to_contain_text("2 problems, 4 samples each")
    expect(page.locator('[data-kpi="solved"] .kpi-value')).to_have_text("1of 2")
    expect(page.get_by_role("button", name="Draw more")).to_have_count(0)

    for panel in ("coverage", "problems"):
        drawing = save(page, f"#{panel} [data-svg]", tmp_path / f"{panel}.svg")
        assert ElementTree.fromstring(drawing).tag.endswith("svg")
        assert save(page, f"#{panel} [data-png]", tmp_path / f"{panel}.png").startswith(b"\x89PNG")
    assert violations(page) == []

    page.get_by_role("link", name=re.compile("^Files")).click()
    report = save(page, 'a[href$="report.html"]', tmp_path / "report.html")
    assert report.endswith(b"</html>\n")
    assert violations(page) == []
    offline = new_context(offline=True).new_page()
    offline.goto((tmp_path / "report.html").as_uri())
    expect(offline.locator("svg .line")).to_be_visible()
    expect(offline.locator("tbody")).to_contain_text(["What is a?"])


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def send(page: Page, file: Path) -> None:
    page.locator("#id_file").set_input_files(file)
    page.get_by_role("button", name="Import", exact=True).click()


def save(page: Page, button: str, path: Path) -> bytes:
    with page.expect_download() as download:
        page.locator(button).click()
    download.value.save_as(path)
    return path.read_bytes()
