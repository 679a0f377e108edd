"""What only a browser shows: live signs, charts and their table twins, accessibility in both themes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from jobs import metrics
from jobs.devices import Processor
from jobs.live import announce
from jobs.models import Experiment, LogLine, Shard, ShardStatus, Status, Worker, next_seq
from tests.browser.conftest import OpenContext, violations
from tests.stack import Stack
from tests.webapp.test_live_page import share
from tests.webapp.test_samples import draw
from webapp.accounts.models import User

Make = Callable[..., Experiment]
WCAG = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}
SIGN = '[data-bind="sign"] b'
STATE_JS = Path(__file__).parents[2] / "webapp/static/webapp/js/state.js"


def check(page: Page) -> None:
    """No violation of WCAG A or AA, and none of the content security policy."""
    found = Axe().run(page, options=WCAG).response["violations"]
    assert not [(each["id"], [node["html"] for node in each["nodes"]]) for each in found], page.url
    assert violations(page) == [], page.url


@pytest.fixture
def states(make_experiment: Make) -> dict[str, Experiment]:
    """An experiment in each state, with what its page then shows."""
    found = {
        status: make_experiment(
            name=f"{status} one", status=status, n=0 if status == "queued" else 12, c=3, spec={"samples": 20}
        )
        for status in Status.values
    }
    draw(found["finished"], 12)
    report = metrics.Report(
        {"tokens_per_second": 90, "batch": 8, "kv_tokens": 4, "path_tokens": 9, "kv_budget": 10}, 60, 1e9
    )
    metrics.write(found["finished"].pk, 1, [report])
    gpu = Processor("NVIDIA H200", True, 61 * 2**30, 140 * 2**30, 97, 64)
    Worker.objects.create(name="gpu@a", queue="gpu", host="h", device=gpu.name, pid=1, processors=[asdict(gpu)])
    failed = found["failed"]
    Shard.objects.create(
        experiment=failed, stage="generate", stage_index=0, index=2, queue="gpu", status=ShardStatus.FAILED, attempt=3,
        reason="out of memory", log_tail="CUDA out of memory",
    )  # fmt: skip
    for level in ("info", "warning", "error"):
        LogLine.objects.create(experiment=failed, seq=1, level=level, text=f"a line of {level}")
    return found


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_every_page_is_accessible(
    theme: str, states: dict[str, Experiment], alice: User, new_context: OpenContext
) -> None:
    team = alice.teams.get().code
    finished = f"/experiments/{states['finished'].code}/"
    paths = [f"/experiments/{experiment.code}/" for experiment in states.values()]
    paths += [finished + tab for tab in ("samples/", "samples/?verdict=correct", "config/", "files/")]
    paths += [
        f"{finished}?coverage=table&problems=table&engine=table",
        f"/experiments/{states['failed'].code}/log/",
        "/account/",
    ]
    paths += [f"/teams/{team}/{page}/" for page in ("experiments", "new/sampling", "workers", "links", "people")]
    page = new_context(alice, color_scheme=theme).new_page()
    for path in paths:
        page.goto(path, wait_until="networkidle")
        check(page)
    for dialog in ("share", "more-samples", "rename", "delete"):
        page.goto(finished)
        page.evaluate("(id) => document.getElementById(id).showModal()", dialog)
        check(page)
    outside = new_context(color_scheme=theme, viewport={"width": 390, "height": 844}).new_page()
    for path in (
        "/sign-in/",
        "/sign-up/",
        f"/s/{share(states['running'], 'open')}/",
        f"/s/{share(states['finished'])}/samples/",
    ):
        outside.goto(path, wait_until="networkidle")
        check(outside)
        assert outside.evaluate("document.documentElement.scrollWidth") <= 390, f"{path} scrolls sideways on a phone"


def test_the_page_follows_and_says_so(make_experiment: Make, bob: User, web: Stack, new_context: OpenContext) -> None:
    experiment = make_experiment(status=Status.RUNNING, n=4, c=1, spec={"samples": 8})
    page = new_context(bob).new_page()
    page.goto(f"/experiments/{experiment.code}/")
    expect(page.locator(SIGN)).to_have_text("Live")
    expect(page.locator("#coverage")).to_contain_text("at least 4 of 8 samples")

    experiment.problems.update(n=6, c=2, seq=5)
    Experiment.objects.filter(pk=experiment.pk).update(last_seq=5)
    announce(experiment.pk)
    expect(page.locator("#coverage")).to_contain_text("at least 6 of 8 samples")

    page.get_by_role("button", name="Pause updates").click()
    expect(page.locator(SIGN)).to_have_text("Paused")
    experiment.problems.update(n=8, c=2, seq=6)
    Experiment.objects.filter(pk=experiment.pk).update(last_seq=6, status=Status.FINISHED)
    announce(experiment.pk)
    page.get_by_role("button", name="Resume updates").click()
    expect(page.locator("#coverage")).to_contain_text("8 samples each")
    expect(page.locator('.status[data-bind="status"]')).to_have_text("Finished")

    web.kill("web")
    expect(page.locator(SIGN)).to_have_text("Reconnecting")
    Experiment.objects.filter(pk=experiment.pk).update(last_seq=7, name="Renamed meanwhile")
    web.start("web")
    expect(page.locator("h1")).to_have_text("Renamed meanwhile", timeout=60_000)


def test_problems_that_stop_when_solved(make_experiment: Make, bob: User, new_context: OpenContext) -> None:
    """The page shows the first correct sample, not a share that would be biased; in both twins, and accessibly."""
    experiment = make_experiment(
        status=Status.FINISHED, n=8, spec={"samples": 8, "stop_when_solved": True}, last_seq=1, problems=2
    )
    experiment.problems.filter(index=0).update(seq=1)
    experiment.problems.filter(index=1).update(n=3, c=1, first_correct=2, seq=1)
    page = new_context(bob).new_page()
    page.goto(f"/experiments/{experiment.code}/?problems=table")
    expect(page.locator("#coverage")).to_contain_text("up to 8 samples each, until one is correct")
    expect(page.locator('[data-kpi="drawn"]')).to_contain_text("11.0 a solved problem")
    expect(page.locator("#coverage")).to_contain_text("A problem takes 5.5 samples on average")
    expect(page.locator("#problems table")).to_contain_text("Solved by sample")
    assert page.locator("#problems tbody tr").all_inner_texts() == ["Problem 1\t3\t3\t0", "Problem 0\t–\t8\t0"]
    page.goto(f"/experiments/{experiment.code}/")
    expect(page.locator("#problems svg text").first).to_be_visible()
    check(page)
    page.goto(f"/experiments/{experiment.code}/analysis/", wait_until="networkidle")
    expect(page.locator("main")).to_contain_text("would be biased and are not made")
    check(page)


def test_zoom_survives_an_update_and_views_are_in_the_address(
    make_experiment: Make, bob: User, new_context: OpenContext
) -> None:
    experiment = make_experiment(status=Status.RUNNING, n=4, c=1, spec={"samples": 8})
    page = new_context(bob).new_page()
    page.goto(f"/experiments/{experiment.code}/?x=linear&sort=index")
    expect(page.get_by_role("button", name="Linear")).to_have_attribute("aria-pressed", "true")
    plot = "document.querySelector('[data-plot]')"
    default = page.evaluate(f"{plot}.layout.xaxis.range")
    area = page.locator("#coverage .nsewdrag").bounding_box()
    assert area is not None
    page.mouse.move(area["x"] + 100, area["y"] + 50)
    page.mouse.down()
    page.mouse.move(area["x"] + 300, area["y"] + 200, steps=5)
    page.mouse.up()
    expect(page.get_by_role("button", name="Reset zoom")).to_be_visible()
    zoomed = page.evaluate(f"{plot}.layout.xaxis.range")
    assert zoomed != default
    experiment.problems.update(n=6, c=2, seq=5)
    Experiment.objects.filter(pk=experiment.pk).update(last_seq=5)
    announce(experiment.pk)
    expect(page.locator("#coverage")).to_contain_text("at least 6 of 8 samples")
    assert page.evaluate(f"{plot}.layout.xaxis.range") == zoomed
    page.get_by_role("button", name="Reset zoom").click()
    assert page.evaluate(f"{plot}.layout.xaxis.range") == default

    page.locator("#coverage").get_by_role("button", name="View as table").click()
    assert "coverage=table" in page.url
    expect(page.locator("#coverage tbody th").last).to_have_text("6")
    page.locator("#problems").get_by_role("button", name="View as table").click()
    page.locator("#problems").get_by_role("link", name="Problem 1").click()
    page.wait_for_url("**/samples/?problem=1")


def test_the_engine_is_shown_live_and_after_a_reload(
    make_experiment: Make, bob: User, new_context: OpenContext
) -> None:
    experiment = make_experiment(status=Status.RUNNING, n=4, c=1, spec={"samples": 8})
    page = new_context(bob).new_page()
    page.goto(f"/experiments/{experiment.code}/")
    panel = page.locator("#engine")
    expect(panel).to_contain_text("The engine reports once the model is loaded")
    values = panel.locator(".engine-value")
    expect(page.locator(SIGN)).to_have_text("Live")

    now = time.time()
    held = {"batch": 64, "kv_tokens": 300_000, "path_tokens": 1_860_000, "kv_budget": 1_000_000}
    for i in range(30):
        report = metrics.Report({"tokens_per_second": 2000.0 + i, **held}, 1.0, now - 35 + i)
        metrics.write(experiment.pk, next_seq(experiment.pk), [report, report])  # two workers
    announce(experiment.pk)
    expect(values).to_have_text([re.compile("4,0.."), "30.0%", "128", "6.2×"])
    expect(page.locator('[data-kpi="throughput"] .kpi-value')).to_have_text(re.compile("4,0.."))

    page.reload()
    expect(values).to_have_text([re.compile("4,0.."), "30.0%", "128", "6.2×"])
    assert panel.locator("path.line").first.get_attribute("d").count("L") > 10  # type: ignore[union-attr]
    panel.get_by_role("button", name="View as table").click()
    assert "engine=table" in page.url
    assert panel.locator("tbody tr").count() > 10
    expect(panel.locator("tbody tr").first.locator("td")).to_have_text([re.compile("4,0.."), "30.0%", "128", "6.2×"])
    check(page)

    # The end: what was measured stays, as means over the time in which answers were drawn.
    Experiment.objects.filter(pk=experiment.pk).update(last_seq=100, status=Status.FINISHED)
    page.reload()
    expect(panel).to_contain_text("means over the time in which answers were drawn")
    assert violations(page) == []


def test_hostile_answers_run_nothing(make_experiment: Make, bob: User, new_context: OpenContext) -> None:
    experiment = make_experiment(problems=1)
    draw(
        experiment, 3, text="<img src=x onerror=document.title='owned'><script>document.title='owned'</script> {answer}"
    )
    page = new_context(bob).new_page()
    page.goto(f"/experiments/{experiment.code}/samples/")
    page.keyboard.press("j")
    expect(page.locator("[data-sample]")).to_have_attribute("data-sample", "0.1")
    expect(page.locator(".answer")).to_contain_text("<script>document.title='owned'</script>")
    assert page.title() != "owned"
    assert violations(page) == []


def test_deltas_merge(chromium: Browser) -> None:
    """state.js on its own: gaps are seen, old news changes nothing, applying twice is applying once."""
    page = chromium.new_page()
    page.evaluate(
        "async (source) => { window.state = await import('data:text/javascript,' + encodeURIComponent(source)) }",
        STATE_JS.read_text(),
    )

    def merge(state: Any, delta: Any) -> Any:
        return page.evaluate("([a, b]) => window.state.merge(a, b)", [state, delta])

    def make(after: int, seq: int, problems: list[list[int]], log: list[int], points: list[int]) -> dict[str, Any]:
        return {
            "after": after, "seq": seq, "status": "running", "artifacts": [],
            "log": [{"seq": each, "text": str(each)} for each in log],
            "metrics": {"width": 2, "series": {"speed": [[each, float(seq)] for each in points]}},
            "kind": {"problems": problems, "drawn": seq},
        }  # fmt: skip

    start = make(0, 3, [[0, 1, 0, 0], [1, 1, 1, 0]], [1, 3], [10, 20])
    news = make(2, 5, [[1, 2, 1, 0], [2, 1, 0, 0]], [3, 4, 5], [20, 30])
    merged = merge(start, news)
    assert [row[:2] for row in merged["kind"]["problems"]] == [[0, 1], [1, 2], [2, 1]]
    assert [line["seq"] for line in merged["log"]] == [1, 3, 4, 5]
    assert merged["metrics"] == {"width": 2, "series": {"speed": [[10, 3.0], [20, 5.0], [30, 5.0]]}}
    assert (merged["seq"], merged["kind"]["drawn"]) == (5, 5)
    assert merge(merged, news) == merged
    assert merge(merged, start) == merged
    nothing = merge(merged, make(5, 6, [], [], []) | {"metrics": {"width": 0, "series": {}}})
    assert nothing["metrics"] == merged["metrics"]
    wider = merge(merged, make(5, 6, [], [], []) | {"metrics": {"width": 4, "series": {"speed": [[0, 4.0]]}}})
    assert wider["metrics"] == {"width": 4, "series": {"speed": [[0, 4.0]]}}
    assert merge(start, make(4, 6, [], [], [])) is None
    page.close()
