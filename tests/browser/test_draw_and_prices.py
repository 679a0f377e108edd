"""Drawing more where it helps, and the team's prices, in a browser: the way through them, figures, accessibility."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from jobs.kinds.sampling.models import Problem
from jobs.models import Experiment, Shard, Status
from tests.browser.conftest import OpenContext, violations
from tests.browser.test_live_page import check
from tests.webapp.test_compare import set_counts
from tests.webapp.test_extra import timed
from tests.webapp.test_prices import GPU, TOKENS, keep
from webapp.accounts.models import User

Make = Callable[..., Experiment]


@pytest.fixture
def finished(make_experiment: Make) -> Experiment:
    """Forty problems of rising difficulty, a third of them unsolved after 16 samples."""
    made = make_experiment(
        name="SmolLM2-135M, arithmetic", problems=40, status=Status.FINISHED, spec={"samples": 16}, last_seq=1
    )
    set_counts(made, [(16, max(0, 16 - i // 2 - i % 5)) if i < 27 else (16, 0) for i in range(40)])
    for problem in made.problems.all():
        problem.tokens, problem.drawn = 16 * (20 + problem.index), 16
        problem.save()
    timed(made)
    return made


@pytest.fixture
def uneven(finished: Experiment) -> Experiment:
    """The same after an extra draw on the unsolved problems, up to 128 samples, that solved four of them."""
    spec = finished.spec | {"extra": [{"up_to": {"128": list(range(27, 40))}}]}
    Experiment.objects.filter(pk=finished.pk).update(spec=spec, last_seq=2)
    for problem in finished.problems.filter(index__gte=27):
        right = max(0, 31 - problem.index)
        Problem.objects.filter(pk=problem.pk).update(n=128, drawn=128, c=right, extra_n=112, extra_c=right)
    return finished


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_pages_are_accessible(theme: str, uneven: Experiment, alice: User, new_context: OpenContext) -> None:
    team = uneven.team
    row = keep(team, alice, **TOKENS | {"currency": "EUR", "dollars": 1.08})
    keep(team, alice, **GPU)
    paths = [
        f"/experiments/{uneven.code}/draw/?spend=600&unit=samples",
        f"/experiments/{uneven.code}/draw/?spend=0&unit=samples",
        f"/experiments/{uneven.code}/",
        f"/experiments/{uneven.code}/analysis/",
        f"/teams/{team.code}/prices/",
        f"/teams/{team.code}/prices/{row.code}/",
        f"/teams/{team.code}/prices/new/gpu/",
    ]
    page = new_context(alice, color_scheme=theme, viewport={"width": 1440, "height": 1000}).new_page()
    phone = new_context(alice, color_scheme=theme, viewport={"width": 390, "height": 844}).new_page()
    for path in paths:
        page.goto(path, wait_until="networkidle")
        check(page)
        phone.goto(path, wait_until="networkidle")
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390, f"{path} scrolls sideways on a phone"


def test_from_the_page_to_an_extra_draw(finished: Experiment, alice: User, new_context: OpenContext) -> None:
    page = new_context(alice).new_page()
    page.goto(f"/experiments/{finished.code}/")
    page.get_by_role("button", name="Draw more").click()
    page.get_by_role("link", name="Draw where it helps").click()
    expect(page.get_by_role("heading", name="Draw where it helps")).to_be_visible()
    page.get_by_label("Spend").fill("0.1")
    page.get_by_label("Counted in").select_option("gpu-hours")
    page.wait_for_url("**/draw/?spend=0.1&unit=gpu-hours")
    expect(page.get_by_text("model-based estimate")).to_be_visible()
    expect(page.get_by_text("CPU time")).to_be_visible()
    page.get_by_role("button", name="Draw ", exact=False).last.click()
    page.wait_for_url(f"**/experiments/{finished.code}/")
    expect(page.get_by_text("What is there stays.")).to_be_visible()
    assert violations(page) == []
    finished.refresh_from_db()
    assert len(finished.spec["extra"]) == 1 and finished.status == Status.QUEUED


def test_the_curve_says_where_the_model_begins(uneven: Experiment, alice: User, new_context: OpenContext) -> None:
    page = new_context(alice).new_page()
    page.goto(f"/experiments/{uneven.code}/")
    panel = page.locator("#coverage")
    expect(panel.get_by_text("13 problems have up to 128", exact=False)).to_be_visible()
    expect(panel.locator("[data-plot]")).to_have_attribute("aria-label", re.compile("model-based estimate"))
    panel.get_by_role("button", name="View as table").click()
    expect(panel.get_by_role("rowheader", name="model-based").last).to_be_visible()
    expect(page.locator("[data-kpi=solved] .kpi-value")).to_contain_text("30")
    expect(page.locator("[data-kpi=coverage] [data-k]")).to_have_text("16")


def test_an_owner_keeps_a_price(finished: Experiment, alice: User, new_context: OpenContext) -> None:
    page = new_context(alice).new_page()
    page.goto(f"/teams/{finished.team.code}/prices/")
    page.get_by_role("link", name="GPU hours").click()
    page.get_by_label("GPU", exact=True).fill("CPU, 2 cores")
    page.get_by_label("An hour of one GPU").fill("0.9")
    page.get_by_label("As of").fill("2026-10-02")
    page.get_by_label("Source").fill("the data centre")
    page.get_by_role("button", name="Add the price").click()
    expect(page.get_by_role("rowheader", name="CPU, 2 cores")).to_be_visible()
    page.goto(f"/experiments/{finished.code}/analysis/")
    expect(page.get_by_text("from the table of Marsh lab", exact=False)).to_be_visible()
    page.goto(f"/teams/{finished.team.code}/prices/")
    page.get_by_role("button", name="Remove the price of CPU, 2 cores").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_text("the installation's table holds again", exact=False).first).to_be_visible()
    assert violations(page) == []


def test_a_failed_import_asks_for_another_file(make_experiment: Make, bob: User, new_context: OpenContext) -> None:
    imported = {"file": "a.csv", "size": 9, "sha256": "0" * 64, "format": "csv"}
    why = "a.csv, line 2: the column correct holds 'maybe'; write 0 or 1"
    made = make_experiment(
        problems=0, status=Status.FAILED, spec={"samples": 1, "imported": imported}, reason=f"import 0 failed: {why}"
    )
    Experiment.objects.filter(pk=made.pk).update(stages=[{"name": "import", "queue": "cpu", "unit": "%"}])
    Shard.objects.create(
        experiment=made, stage="import", stage_index=0, index=0, queue="cpu", status="failed", reason=why, attempt=1
    )
    page = new_context(bob).new_page()
    page.goto(f"/experiments/{made.code}/")
    trouble = page.locator("[data-bind=trouble]")
    expect(trouble).to_contain_text("upload it again")
    expect(trouble.get_by_text("the column correct holds")).to_have_count(1)
    expect(page.get_by_role("link", name="Upload again")).to_be_visible()
    expect(page.get_by_role("button", name="Retry")).to_have_count(0)


def test_comparing_nothing_says_what_to_do(finished: Experiment, vera: User, new_context: OpenContext) -> None:
    page = new_context(vera).new_page()
    page.goto(f"/teams/{finished.team.code}/compare/")
    page.locator("form.pick").get_by_role("button", name="Compare").click()
    expect(page.get_by_role("alert").filter(has_text="Tick at least one")).to_be_visible()
    assert "?" not in page.url
    page.locator("[data-choices] input").first.check()
    page.locator("form.pick").get_by_role("button", name="Compare").click()
    page.wait_for_url("**/compare/?e=*")


def test_settings_of_one_verifier_come_and_go(finished: Experiment, bob: User, new_context: OpenContext) -> None:
    page = new_context(bob).new_page()
    page.goto(f"/teams/{finished.team.code}/new/sampling/")
    repeats, target = page.get_by_label("Runs of a patch's tests"), page.get_by_label("Your own verifier")
    expect(repeats).to_be_hidden()
    expect(target).to_be_hidden()
    page.get_by_label("Verifier", exact=True).select_option("patch")
    expect(repeats).to_be_visible()
    page.get_by_label("Verifier", exact=True).select_option("function")
    expect(repeats).to_be_hidden()
    expect(target).to_be_visible()
