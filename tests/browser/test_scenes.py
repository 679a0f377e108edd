"""A scene experiment in a browser: from the form through training to a scene in the viewer, and its pages' rules."""

from __future__ import annotations

import re

import pytest
from django.templatetags.static import static
from playwright.sync_api import Locator, Page, expect

from jobs.kinds.scenes.models import GeneratedScene, LossPoint, SceneRun
from jobs.live import announce
from jobs.models import Experiment, Status
from tests.browser.conftest import OpenContext, violations
from tests.browser.test_live_page import check
from tests.stack import Stack
from tests.webapp.scenes import make_drawn, make_previewed, make_scenes, make_set
from tests.webapp.test_live_page import share
from webapp.accounts.models import Team, User

STATUS = '.status[data-bind="status"]'
SMALL = {
    "rooms": 3, "channels": 4, "bins": 8, "samples": 16, "width": 8, "latent_width": 8, "g": 4, "codebook": 16,
    "denoiser_width": 8, "cameras": 2, "autoencoder_steps": 6, "latent_steps": 4, "diffusion_steps": 4,
    "views_given": 2, "views_asked": 1, "diffusion_batch": 2, "scenes": 1, "steps_g": 4, "steps_c": 4, "steps_f": 4,
    "image_size": 32, "name": "Small",
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


def pages(team: Team, bob: User) -> tuple[Experiment, list[str]]:
    """A finished experiment, and addresses of scene pages in all their states."""
    done = make_scenes(team, bob)
    training = make_scenes(team, bob, status=Status.RUNNING, drawn=0, trained=1)
    finished = f"/experiments/{done.code}/"
    return done, [
        f"/experiments/{training.code}/",
        f"{finished}?losses=table",
        *(finished + tab for tab in ("scenes/?at=2", "make/?op=inpaint", "quality/?views=table", "data/")),
        f"/experiments/{training.code}/make/",
        f"/teams/{team.code}/scene-sets/",
        f"/scene-sets/{make_set(team).code}/?cameras=table",
        f"/teams/{team.code}/compare/?e={done.code}&e={training.code}",
    ]


def test_every_page_is_accessible(team: Team, bob: User, new_context: OpenContext) -> None:
    done, paths = pages(team, bob)
    page = new_context(bob, color_scheme="dark").new_page()
    for path in paths:
        page.goto(path)
        expect(page.locator("main h1")).to_be_visible()
        check(page)
    phone = new_context(color_scheme="light", viewport={"width": 390, "height": 844}).new_page()
    token = share(done)
    for tab in ("", "quality/"):
        phone.goto(f"/s/{token}/{tab}")
        check(phone)
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390, f"{tab} scrolls sideways on a phone"
    alone = share(done, "one-chart", target="chart", scope={"experiment": str(done.code), "chart": "loss"})
    phone.goto(f"/s/{alone}/")
    expect(phone.locator("#loss .legend li").first).to_be_visible()
    check(phone)
    phone.goto(f"/s/{token}/scenes/?at=1")
    expect(phone.locator("canopy-scene")).to_have_attribute("data-state", "ready")
    check(phone)


def test_the_view_is_in_the_address(team: Team, bob: User, new_context: OpenContext) -> None:
    experiment = make_scenes(team, bob)
    page = new_context(bob).new_page()
    page.goto(f"/experiments/{experiment.code}/?scale=linear&stage=latents")
    expect(page.locator("#loss .legend")).to_contain_text("Voxels")
    page.locator("#loss").get_by_role("button", name="View as table").click()
    expect(page).to_have_url(re.compile("losses=table"))
    expect(page.locator("#loss tbody tr")).not_to_have_count(0)
    page.locator("#gallery a.tile").last.click()
    expect(page.locator("#scene h2")).to_have_text("Scene 1")

    page.goto(f"/experiments/{experiment.code}/scenes/")
    page.locator("#gallery a.tile").first.click()
    expect(page.locator("#shown h2")).to_have_text("Scene 3")
    page.keyboard.press("j")
    expect(page).to_have_url(re.compile("at=2"))
    viewer = page.locator("#shown canopy-scene")
    expect(viewer).to_have_attribute("data-state", "ready")
    viewer.get_by_role("button", name="Depth").click()
    expect(page).to_have_url(re.compile("view="))
    page.reload()
    expect(viewer.get_by_role("button", name="Depth")).to_have_attribute("aria-pressed", "true")
    assert violations(page) == []


def test_a_scene_forms_on_the_page(team: Team, bob: User, new_context: OpenContext) -> None:
    experiment = make_scenes(team, bob, status=Status.RUNNING, drawn=0)
    page = new_context(bob).new_page()
    page.goto(f"/experiments/{experiment.code}/")
    expect(page.locator("#scene")).to_contain_text("The first scene is being drawn")
    scene = GeneratedScene.objects.get(experiment=experiment, number=1)
    make_previewed(scene)
    legend = page.locator("#loss .legend")
    before = legend.inner_text()
    run = SceneRun.objects.get(experiment=experiment, stage="diffusion")
    LossPoint.objects.create(experiment=experiment, run=run, step=run.steps, values={"c": 0.01}, seq=11)
    tell(experiment, 11)
    expect(page.locator("#scene [data-sub]")).to_have_text("coarse, step 5 of 10")
    expect(page.locator("#scene canopy-scene")).to_have_attribute("data-state", "ready")
    expect(legend).not_to_have_text(before)
    expect(legend).to_contain_text("Coarse (c)")
    scene.refresh_from_db()
    make_drawn(scene, previews=0)
    tell(experiment, 12)
    expect(page.locator("#scene [data-sub]")).to_have_text("seed 0")
    expect(page.locator('#gallery a.tile[aria-current="true"] img')).to_have_count(1)
    assert violations(page) == []


def tell(experiment: Experiment, seq: int) -> None:
    GeneratedScene.objects.filter(experiment=experiment, number=1).update(seq=seq)
    Experiment.objects.filter(pk=experiment.pk).update(last_seq=seq)
    announce(experiment.pk)


def test_a_map_and_a_box_are_drawn_and_sent(team: Team, bob: User, new_context: OpenContext) -> None:
    experiment = make_scenes(team, bob)
    page = new_context(bob).new_page()
    page.goto(f"/experiments/{experiment.code}/make/")
    page.get_by_text("Follow a map").click()
    canvas = page.locator(".map-canvas")
    page.get_by_role("button", name="Draw", exact=True).click()
    expect(page.locator("[data-error]")).to_contain_text("Draw a map first")
    canvas.focus()
    for key in ("Space", "p", "Shift+ArrowRight", "p", "2", "ArrowUp", "Space"):
        page.keyboard.press(key)
    expect(page.locator("[data-cell]")).to_have_text("Column 21, row 16: wall at 20%")
    drawn = canvas.get_attribute("aria-label")
    page.keyboard.press("Control+z")
    expect(canvas).not_to_have_attribute("aria-label", drawn or "")
    page.keyboard.press("Control+Shift+Z")
    expect(canvas).to_have_attribute("aria-label", drawn or "")
    page.reload()
    page.get_by_text("Follow a map").click()
    expect(canvas).to_have_attribute("aria-label", drawn or "")
    page.get_by_role("button", name="Draw", exact=True).click()
    expect(page.locator("[data-note]")).to_contain_text("Scene 4")
    assert GeneratedScene.objects.get(number=4).map_file

    page.get_by_text("Draw a box anew").click()
    expect(page).to_have_url(re.compile("op=inpaint"))
    expect(page.locator("#scene canopy-scene")).to_have_attribute("data-state", "ready")
    corner = page.get_by_role("button", name=re.compile("^Corner 1"))
    corner.press("Shift+ArrowLeft")
    expect(page.locator('[name="left"]')).to_have_value("24")
    page.locator('[name="bottom"]').fill("80")
    expect(page.get_by_role("button", name=re.compile("^Corner 3: .*y 80"))).to_be_attached()
    page.locator('[name="mapped"]').uncheck()
    page.get_by_role("button", name="Draw", exact=True).click()
    expect(page.locator("[data-note]")).to_contain_text("Scene 5")
    scene = GeneratedScene.objects.get(number=5)
    assert scene.settings["box"] == {"left": 0.24, "top": 0.3, "right": 0.7, "bottom": 0.8}
    assert violations(page) == []


PURE = """async ([state, maps]) => {
  const s = await import(state);
  const m = await import(maps);
  const point = (stage, step, values) => ({ stage, step, values });
  const losses = [point("a", 2, { x: 1, y: 4 }), point("a", 1, { x: 3, y: 5 }), point("b", 1, { z: 1 })];
  const score = (subject, value, details) => ({ subject, metric: "kid", value, details });
  const table = s.scoreTable([score("real", 0.1, { title: "KID" }), score("samples", 0.2, {})]);
  const pixel = (pixels, row, column) => [...pixels.slice(4 * (4 * row + column), 4 * (4 * row + column) + 4)];
  const map = m.emptyMap(4, 3);
  m.dab(map, 1, 0, { kind: m.FLOOR, floor: 51, size: 1 });
  m.dab(map, 3, 2, { kind: m.WALL, floor: 102, size: 1 });
  const pixels = m.toPixels(map);
  const back = m.fromPixels(pixels, 4, 3);
  const history = m.makeHistory();
  history.keep(map);
  m.pour(map, 0, 0, { kind: m.FLOOR, floor: 10 });
  return {
    lines: s.lossLines(losses, "a"), alone: s.lossLines(losses, "b").length,
    table: table.map((row) => [row.title, Object.keys(row.cells)]),
    score: [0.0912, -0.00071, 14.02, 0.9, 381, null].map((value) => s.score(value)),
    north: pixel(pixels, 2, 1), south: pixel(pixels, 0, 3),
    same: back.kind.join() === history.undo(map).kind.join() && back.floor[11] === 102,
    poured: map.kind.filter((kind) => kind === m.FLOOR).length,
    cells: m.cellsBetween(0, 0, 3, 1),
  };
}"""


def test_what_scripts_compute(new_context: OpenContext) -> None:
    page = new_context().new_page()
    page.goto("/sign-in/")
    found = page.evaluate(PURE, [static("webapp/js/scenes_state.js"), static("webapp/js/scene_map.js")])
    assert [(line["name"], line["values"]) for line in found["lines"]] == [
        ("all", [8, 5]),
        ("y", [5, 4]),
        ("x", [3, 1]),
    ]
    assert found["lines"][0]["steps"] == [1, 2] and found["alone"] == 1
    assert found["table"] == [["KID", ["real", "samples"]]]
    assert found["score"] == ["0.0912", "−0.0007", "14.0", "0.9", "381", "–"]
    assert found["north"] == [0, 255, 51, 255], "the first row as people read it is the last one of the picture"
    assert found["south"] == [255, 255, 102, 255] and found["same"]
    assert found["poured"] == 11, "all that hangs together, the floor that was there too, and not the wall"
    assert found["cells"] == [[0, 0], [1, 0], [2, 1], [3, 1]]
