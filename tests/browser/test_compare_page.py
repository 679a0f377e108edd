"""Compare page and Analysis tab in a browser: choosing, figures and their twins, the address, accessibility."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from jobs.models import Experiment, Status
from tests.browser.conftest import OpenContext
from tests.browser.test_live_page import check
from tests.webapp.test_compare import set_counts
from tests.webapp.test_samples import draw
from webapp.accounts.models import User

Make = Callable[..., Experiment]


@pytest.fixture
def three(make_experiment: Make) -> list[Experiment]:
    """Finished experiments of the same problems; the first one's samples are there, too."""
    made = [
        make_experiment(name=name, problems=4, status=Status.FINISHED, spec={"samples": 24, "seed": seed}, last_seq=1)
        for seed, name in enumerate(("First run", "Second run", "Third & <b>last</b> run"))
    ]
    draw(made[0], 24)
    set_counts(made[0], [(24, 6)] * 4)
    set_counts(made[1], [(24, 0), (24, 2), (24, 9), (24, 24)])
    set_counts(made[2], [(24, 1), (24, 1), (24, 0), (24, 3)])
    return made


def drawn(page: Page, panel: str) -> None:
    expect(page.locator(f"#{panel} [data-plot] .main-svg").first).to_be_visible()


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_pages_are_accessible(theme: str, three: list[Experiment], alice: User, new_context: OpenContext) -> None:
    team = three[0].team.code
    all_three = f"/teams/{team}/compare/?" + "&".join(f"e={each.code}" for each in three)
    page = new_context(alice, color_scheme=theme).new_page()
    for path in (all_three, f"{all_three}&settings=all&coverage=table&difference=table", f"/teams/{team}/compare/"):
        page.goto(path, wait_until="networkidle")
        check(page)
    page.goto(all_three)
    page.get_by_role("button", name="Add experiments").click()
    check(page)
    for query in ("", "?fit=backtest&votes-sort=index", "?forecast=table&selection=table&votes=table"):
        page.goto(f"/experiments/{three[0].code}/analysis/{query}", wait_until="networkidle")
        expect(page.locator("#forecast [data-foot]")).not_to_be_empty()
        check(page)
    phone = new_context(alice, color_scheme=theme, viewport={"width": 390, "height": 844}).new_page()
    for path in (all_three, f"/experiments/{three[0].code}/analysis/", f"/teams/{team}/experiments/"):
        phone.goto(path, wait_until="networkidle")
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390, f"{path} scrolls sideways on a phone"


def test_from_the_list_to_a_comparison(three: list[Experiment], vera: User, new_context: OpenContext) -> None:
    page = new_context(vera).new_page()
    page.goto(f"/teams/{three[0].team.code}/experiments/")
    bar = page.locator("[data-compare]")
    expect(bar).to_be_hidden()
    page.get_by_role("checkbox", name="Compare First run").check()
    page.get_by_role("checkbox", name="Compare Second run").check()
    expect(bar).to_contain_text("2 selected")
    bar.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Compare 2 experiments")
    drawn(page, "coverage")

    page.get_by_role("button", name="Add experiments").click()
    page.get_by_role("searchbox", name="Search experiments by name or model").fill("last")
    page.get_by_role("checkbox", name="Third & <b>last</b> run").check()
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Compare 3 experiments")


def test_the_address_holds_the_view(three: list[Experiment], vera: User, new_context: OpenContext) -> None:
    page = new_context(vera).new_page()
    page.goto(f"/teams/{three[0].team.code}/compare/?" + "&".join(f"e={each.code}" for each in three))
    drawn(page, "coverage")
    bands = page.get_by_role("button", name="Bands")
    lines = "document.querySelector('#coverage [data-plot]').data.length"
    with_bands = page.evaluate(lines)
    bands.click()
    assert "bands=0" in page.url
    assert page.evaluate(lines) == with_bands - 6  # two edges for each of three bands
    page.locator("#coverage").get_by_role("button", name="View as table").click()
    expect(page.locator("#coverage tbody th").first).to_have_text("First run")

    page.get_by_role("link", name="Remove Second run").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Compare 2 experiments")
    assert "bands=0" in page.url and "coverage=table" in page.url
    expect(bands).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#coverage tbody th").last).to_have_text("Third & <b>last</b> run")

    page.get_by_label("First experiment").select_option(label="Third & <b>last</b> run")
    page.wait_for_url("**a=*")
    assert "bands=0" in page.url
    expect(page.locator("#difference")).to_contain_text("4 problems in both")


def test_analysis_follows_when_asked(three: list[Experiment], vera: User, new_context: OpenContext) -> None:
    experiment = three[0]
    page = new_context(vera).new_page()
    page.goto(f"/experiments/{experiment.code}/analysis/")
    drawn(page, "forecast")
    expect(page.locator("#votes")).to_contain_text("right on 4 of 4 problems")
    page.get_by_role("button", name="Backtest").click()
    assert "fit=backtest" in page.url
    expect(page.locator("#forecast [data-foot]")).to_contain_text("Fitted on a random tenth (2 samples")
    page.locator("#votes [data-bars] svg").click(position={"x": 80, "y": 100})
    page.wait_for_url("**/samples/?problem=*")


def test_what_has_no_answers_is_not_called_a_vote(
    three: list[Experiment], vera: User, new_context: OpenContext
) -> None:
    three[0].samples.update(canonical="", answer="")  # as of proofs and programs; log-probabilities are known
    page = new_context(vera).new_page()
    page.goto(f"/teams/{three[0].team.code}/compare/?e={three[0].code}&e={three[1].code}&pick=all")
    panel = page.locator("#selection")
    panel.scroll_into_view_if_needed()
    expect(panel.locator("[data-foot]")).to_contain_text("highest mean log-probability keeps")
    expect(panel.locator("[data-legend]")).to_contain_text("highest mean log-probability")
    expect(panel).not_to_contain_text("majority vote")
