"""A detection experiment in a browser: from the form through training to boxes on pictures, and its pages' rules."""

from __future__ import annotations

import re
import statistics

import pytest
from django.templatetags.static import static
from playwright.sync_api import Page, expect

from jobs.kinds.detection.models import AngleScore, Epoch, Prediction, Run
from jobs.live import announce
from jobs.models import Experiment, Status
from tests.browser.conftest import OpenContext, violations
from tests.browser.test_live_page import check
from tests.stack import Stack
from tests.webapp.detection import jpeg, make_detection, make_tried
from tests.webapp.test_live_page import share
from webapp.accounts.models import Team, User

STATUS = '.status[data-bind="status"]'
SMALL = {"shapes": 12, "image_size": 64, "batch": 4, "epochs": 4, "warmup": 2, "angles": "0, 20", "name": "Small"}
# Counts the points of the loss after each drawing of the live page.
WATCH_LOSS = """
window.points = [];
const points = () => document.querySelector("#loss [data-plot]")?.data || [];
document.addEventListener("DOMContentLoaded", () => document.getElementById("live")?.addEventListener("drawn", () =>
  window.points.push(points().reduce((sum, { x }) => sum + x.length, 0))));
"""
PICTURE_TYPE = """
fetch(document.querySelector("#gallery image").getAttribute("href")).then(({ headers }) => headers.get("content-type"))
"""


def submit(page: Page, team: Team) -> None:
    """Two label rules, one of them with the RU loss, on a few rendered shapes."""
    page.goto(f"/teams/{team.code}/new/detection/?preset=tiny")
    for field, value in SMALL.items():
        page.locator(f'main [name="{field}"]').fill(str(value))
    for box in page.locator('main input[type="checkbox"][name="rules"]').all():
        box.set_checked(box.get_attribute("value") in ("largest", "ellipse+ru"))
    page.get_by_role("button", name="Start experiment").click()
    page.wait_for_url(re.compile(r"/experiments/[0-9a-f-]{36}/$"))


@pytest.mark.timeout(240)
def test_from_the_form_to_boxes(stack: Stack, team: Team, bob: User, new_context: OpenContext) -> None:
    stack.start("gpu", "cpu", "reconciler")
    context = new_context(bob)
    context.add_init_script(WATCH_LOSS)
    page = context.new_page()

    submit(page, team)
    expect(page.locator(STATUS)).to_have_text("Finished", timeout=150_000)
    expect(page.locator('[data-kpi="runs"] .kpi-value')).to_have_text("2of 2")
    expect(page.locator("#quality .scatterlayer .points path").first).to_be_visible()
    expect(page.locator("#rules tbody tr")).to_have_count(2)
    expect(page.locator("#angles .legend li")).to_have_count(2)
    expect(page.locator("#gates .legend li")).to_have_count(1)
    points = page.evaluate("window.points")
    assert len(set(points)) >= 3 and points[-1] == max(points), "the losses grew while the page was watching"
    assert violations(page) == []

    page.get_by_role("link", name=re.compile("^Predictions")).click()
    tile = page.locator("#gallery a.tile").first
    expect(tile.locator("image")).to_have_attribute("href", re.compile(r"/pictures/prediction/.*\.jpg"))
    assert page.evaluate(PICTURE_TYPE) == "image/jpeg"
    tile.click()
    expect(page.locator("#shown")).to_be_focused()
    page.keyboard.press("j")
    expect(page).to_have_url(re.compile(r"at=\d+"))
    assert violations(page) == []

    page.get_by_role("link", name="Curves").click()
    expect(page.locator("#pr .js-line").first).to_be_visible()
    expect(page.locator("#confusion tbody tr")).to_have_count(4)
    page.get_by_role("link", name="Files").click()
    expect(page.get_by_role("link", name=re.compile(r"\.onnx$"))).to_have_count(2)

    page.get_by_role("link", name="Try an image").click()
    page.locator('[name="file"]').set_input_files({"name": "mine.jpg", "mimeType": "image/jpeg", "buffer": jpeg()})
    page.get_by_role("button", name="Detect").click()
    expect(page.locator("#tried svg.boxes")).to_have_count(2, timeout=60_000)
    page.locator("[data-turn]").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("[data-turned]")).to_have_text("10°")
    expect(page.locator("#tried image").first).to_have_attribute("href", re.compile("@10.jpg"), timeout=60_000)
    expect(page).to_have_url(re.compile("angle=10"))
    page.reload()
    expect(page.locator("#tried svg.boxes")).to_have_count(2)
    page.get_by_role("button", name="As a table").click()
    expect(page.locator("#tried table caption")).to_contain_text("turned by 10 degrees")
    assert violations(page) == []


def detection_pages(team: Team, bob: User) -> tuple[Experiment, list[str]]:
    """A finished experiment, and addresses of detection pages in all their states."""
    done = make_detection(team, bob)
    make_tried(done)
    running = make_detection(team, bob, status=Status.RUNNING, scored=False)
    queued = make_detection(team, bob, status=Status.QUEUED, scored=False, epochs=0)
    failed = make_detection(team, bob, status=Status.FAILED, reason="the loss is not a number", scored=False, epochs=1)
    several = make_detection(team, bob, spec={"architectures": ["retinanet", "fcos"]})
    finished = f"/experiments/{done.code}/"
    at = Prediction.objects.filter(experiment=done).latest("pk").pk
    tabs = ("predictions/", f"predictions/?at={at}", "curves/?angle=20", "images/", "try/", "files/", "config/")
    return done, [
        *(f"/experiments/{each.code}/" for each in (running, queued, failed, several)),
        *(finished + tab for tab in tabs),
        f"{finished}?paper=1",
        f"{finished}?angles=table&loss=table&validation=table&quality=table&gates=table",
        f"/teams/{team.code}/compare/?e={done.code}&e={several.code}",
    ]


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_every_page_is_accessible(theme: str, team: Team, bob: User, new_context: OpenContext) -> None:
    done, paths = detection_pages(team, bob)
    page = new_context(bob, color_scheme=theme).new_page()
    for path in paths:
        page.goto(path, wait_until="networkidle")
        check(page)
    phone = new_context(color_scheme=theme, viewport={"width": 390, "height": 844}).new_page()
    token = share(done)
    for tab in ("", "predictions/", "curves/", "images/", "try/"):
        phone.goto(f"/s/{token}/{tab}", wait_until="networkidle")
        check(phone)
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390, f"{tab} scrolls sideways on a phone"


def test_the_view_is_in_the_address(team: Team, bob: User, new_context: OpenContext) -> None:
    experiment = make_detection(team, bob)
    page = new_context(bob).new_page()
    page.goto(f"/experiments/{experiment.code}/")
    page.locator('[data-metric="ap50"]').click()
    page.get_by_role("button", name="Paper").click()
    expect(page).to_have_url(re.compile(r"metric=ap50&paper=1"))
    page.reload()
    expect(page.get_by_role("heading", name="AP50 against test angle")).to_be_visible()
    expect(page.locator("#angles .legend")).to_contain_text("paper: Largest box")
    expect(page.locator("#angles .legend")).not_to_contain_text("paper: Octagon")  # the paper gives only its AP
    page.locator("#angles").get_by_role("button", name="View as table").click()
    rows = page.locator("#angles [data-table] tbody tr")
    expect(rows.filter(has_text="COCO val2017")).to_have_count(16)
    expect(rows.filter(has_text="this experiment")).to_have_count(25)

    page.goto(f"/experiments/{experiment.code}/predictions/")
    page.locator('[name="angle"]').select_option("30")
    expect(page).to_have_url(re.compile("angle=30"))
    expect(page.locator("#gallery a.tile")).to_have_count(20)
    tile = page.locator("#gallery a.tile").first
    expect(tile.locator("[data-missed]")).to_have_text("2 missed")
    page.locator("[data-score-slider]").fill("0.4")
    expect(tile.locator("[data-missed]")).to_have_text("1 missed")
    expect(page).to_have_url(re.compile("score=0.40"))
    page.go_back()
    expect(page.locator("#gallery a.tile")).to_have_count(24)
    assert violations(page) == []


def test_a_tried_picture_turns_with_the_slider(team: Team, bob: User, new_context: OpenContext) -> None:
    experiment = make_detection(team, bob)
    make_tried(experiment)
    page = new_context(bob).new_page()
    page.goto(f"/experiments/{experiment.code}/try/?angle=10")
    expect(page.locator("[data-turned]")).to_have_text("10°")
    expect(page.locator("#tried svg.boxes")).to_have_count(5)
    expect(page.locator("#tried svg.boxes g[visibility=visible]")).to_have_count(5)
    page.locator("[data-score-slider]").fill("0.2")
    expect(page.locator("#tried svg.boxes g[visibility=visible]")).to_have_count(10)
    page.locator("[data-turn]").press("ArrowLeft")
    expect(page.locator("#tried image").first).to_have_attribute("href", re.compile("@0.jpg"))
    expect(page.locator("#tried svg.boxes g[visibility=visible]")).to_have_count(10)  # the score stays
    page.get_by_role("button", name="As a table").click()
    expect(page.locator("#tried tbody tr:visible")).to_have_count(10)
    assert violations(page) == []


def test_the_page_follows_training(team: Team, bob: User, new_context: OpenContext) -> None:
    experiment = make_detection(team, bob, status=Status.RUNNING, scored=False, epochs=2)
    page = new_context(bob).new_page()
    page.goto(f"/experiments/{experiment.code}/")
    expect(page.locator('[data-kpi="runs"] .kpi-note')).to_contain_text("20 epochs")
    expect(page.locator("#angles")).to_contain_text("Training first")
    run = Run.objects.filter(experiment=experiment).earliest("index")
    values = {"loss": 0.3, "losses": {}, "ap": 0.6, "ap50": 0.7, "ap75": 0.5, "best": True, "gates": {}}
    Epoch.objects.create(experiment=experiment, run=run, epoch=3, values=values, seq=11)
    Run.objects.filter(pk=run.pk).update(epochs=3, best_epoch=3, best_ap=0.6, stopped="finished", seq=11)
    AngleScore.objects.create(experiment=experiment, run=run, angle=0, ap=0.5, ap50=0.7, ap75=0.61, seq=12)
    Experiment.objects.filter(pk=experiment.pk).update(last_seq=12)
    announce(experiment.pk)
    expect(page.locator('[data-kpi="runs"] .kpi-note')).to_contain_text("21 epochs")
    expect(page.locator('[data-kpi="turned"] .kpi-value')).to_have_text("61.0")
    expect(page.locator("#rules tbody tr")).to_have_count(1)
    expect(page.locator("#angles [data-plot]")).to_be_visible()
    assert violations(page) == []


STATE_TESTS = """async (address) => {
  const s = await import(address);
  const methods = [{ runs: [0, 1] }, { runs: [2] }, { runs: [3], ceiling: true }];
  const row = (run, angle, ap75) => ({ run, angle, ap75 });
  const scores = [row(0, 0, 0.5), row(1, 0, 0.7), row(2, 0, 0.9), row(3, 0, null),
    row(0, 30, 0.4), row(1, 30, 0.4), row(2, 30, 0.2), row(3, 30, 0.8)];
  const lines = s.scoreLines(methods, scores, "ap75");
  return {
    spread: s.spread([1, 2, 4, null]), none: s.spread([null]), one: s.spread([3]),
    first: lines[0].points, ceiling: lines[2].points.length, lost: lines.map(s.lost),
    leader: s.leader(lines) === lines[0],
    smoothed: s.smoothed([5, 5, null, 5]), short: s.smoothed([1, 2]), signed: [0.123, -0.05, 0].map(s.signed),
    lower: ["Largest box", "RotIoU", "FCOS"].map(s.lower),
  };
}"""


def test_figures_of_a_method_are_those_of_its_seeds(team: Team, bob: User, new_context: OpenContext) -> None:
    page = new_context(bob).new_page()
    page.goto("/account/")
    found = page.evaluate(STATE_TESTS, static("webapp/js/detection_state.js"))
    assert found["spread"]["mean"] == pytest.approx(7 / 3)
    assert found["spread"]["sd"] == pytest.approx(statistics.stdev([1, 2, 4])) and found["spread"]["n"] == 3
    assert found["none"] is None and found["one"] == {"mean": 3, "sd": None, "n": 1}
    assert [(point["angle"], point["n"]) for point in found["first"]] == [(0, 2), (30, 2)]
    assert found["first"][0]["mean"] == pytest.approx(0.6)
    assert found["ceiling"] == 1  # an angle with nothing to find is left out
    assert found["lost"] == [pytest.approx(0.2), pytest.approx(0.7), None]
    assert found["leader"]  # most at 30 degrees, and the ceiling does not count
    assert found["smoothed"] == [pytest.approx(5), pytest.approx(5), None, pytest.approx(5)]
    assert found["short"] == [pytest.approx(1), pytest.approx((0.6 * 0.4 * 1 + 0.4 * 2) / 0.64)]
    assert found["signed"] == ["+12.3", "−5.0", "0.0"]
    assert found["lower"] == ["largest box", "RotIoU", "FCOS"]
