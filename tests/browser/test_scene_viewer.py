"""The 3D viewers in Chromium with software GL: what is drawn, and that everything works without a mouse."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from axe_playwright_python.sync_playwright import Axe
from django.core.handlers.wsgi import WSGIHandler
from django.test import override_settings
from django.test.testcases import LiveServerThread
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from scipy import ndimage

from tests.browser.conftest import ARGUMENTS, COLLECT_VIOLATIONS, violations
from tests.browser.scene_pages import FOG, FOG_COLOUR, GRID, SKY
from tests.stack import wait_for
from webapp.launcher import ground

SOFTWARE_GL = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
WCAG = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}
NO_WEBGL2 = """
const real = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  return kind === "webgl2" ? null : real.call(this, kind, ...rest);
};
"""
HIDE_CONTROLS = """(visibility) => {
  for (const over of document.querySelectorAll(".scene-hud, .scene-split, .scene-box, .scene-wait")) {
    over.style.visibility = visibility;
  }
}"""
EDGE = 4  # pixels at the canvas's edge: round corners, and the ring of the focus
Picture = npt.NDArray[np.int64]


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The address of tests.browser.scene_pages behind the product's middleware, with hashed static files."""
    ground.collect_static()
    with override_settings(ROOT_URLCONF="tests.browser.scene_pages", ALLOWED_HOSTS=["localhost"]):
        thread = LiveServerThread("localhost", static_handler=AsItIs)
        thread.daemon = True
        thread.start()
        assert thread.is_ready.wait(20) and thread.error is None
        yield f"http://localhost:{thread.port}"
        thread.terminate()


class AsItIs(WSGIHandler):
    """In place of Django's handler of static files: WhiteNoise serves them, as in the product."""

    def __init__(self, application: WSGIHandler) -> None:
        super().__init__()
        self.application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        return self.application(environ, start_response)


@pytest.fixture(scope="module")
def with_gl(chromium: Browser) -> Iterator[Browser]:
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    browser = chromium.browser_type.launch(executable_path=executable, args=[*ARGUMENTS, *SOFTWARE_GL])
    yield browser
    browser.close()


Show = Callable[..., Page]


@pytest.fixture
def show(with_gl: Browser, site: str) -> Iterator[Show]:
    """``show("scene=room", script="")``: a page of tests.browser.scene_pages, once its viewers rest."""
    context = with_gl.new_context(
        base_url=site, reduced_motion="reduce", viewport={"width": 760, "height": 420}, accept_downloads=True
    )
    context.add_init_script(COLLECT_VIOLATIONS)
    context.set_default_timeout(20_000)
    errors: list[str] = []
    context.on("weberror", lambda event: errors.append(str(event.error)))

    def open_page(query: str, *, script: str = "", rest: bool = True) -> Page:
        page = context.new_page()
        if script:
            page.add_init_script(script)
        page.goto(f"/page/?{query}")
        if rest:
            settle(page)
        return page

    yield open_page
    context.close()
    assert errors == [], "a script failed"


def settle(page: Page) -> None:
    """Until the fine picture stands."""
    expect(page.locator(".viewer:not([still])")).to_have_count(0, timeout=30_000)


def picture(page: Page) -> Picture:
    """The canvas alone, without its edge: [height, width, 3]."""
    settle(page)
    page.evaluate(HIDE_CONTROLS, "hidden")
    shown = page.locator("canvas").first.screenshot()
    page.evaluate(HIDE_CONTROLS, "")
    return np.asarray(Image.open(io.BytesIO(shown)).convert("RGB")).astype(int)[EDGE:-EDGE, EDGE:-EDGE]


def of_colour(image: Picture, name: str) -> npt.NDArray[np.bool_]:
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    return {
        "red": (red > 1.8 * green) & (red > 1.8 * blue) & (red > 90),
        "green": (green > 1.8 * red) & (green > 1.8 * blue) & (green > 80),
        "blue": (blue > 1.8 * red) & (blue > 1.8 * green) & (blue > 90),
        "yellow": (red > 2 * blue) & (green > 2 * blue) & (red > 130),
    }[name]


def centre(image: Picture, name: str) -> tuple[float, float]:
    """Middle column and row of a colour, as shares of the picture."""
    rows, columns = np.nonzero(of_colour(image, name))
    assert len(rows) > 20, f"no {name} in the picture"
    return columns.mean() / image.shape[1], rows.mean() / image.shape[0]


def press(page: Page, *keys: str) -> None:
    page.get_by_role("application").first.focus()
    for key in keys:
        page.keyboard.press(key)
    settle(page)


def ask(page: Page, expression: str) -> Any:
    return page.locator("canopy-scene, canopy-cameras").first.evaluate(f"(viewer) => {expression}")


def check(page: Page) -> None:
    """No violation of WCAG A or AA, and none of the content security policy."""
    found = Axe().run(page, options=WCAG).response["violations"]
    assert not [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]
    assert violations(page) == []


def test_colours_stand_where_the_voxels_are(show: Show) -> None:
    page = show("scene=room")
    seen = picture(page)
    red, green, blue, yellow = (centre(seen, name) for name in ("red", "green", "blue", "yellow"))
    assert red[0] < yellow[0] < green[0], "x grows to the right, seen over the corner at the origin"
    assert blue[1] < yellow[1], "y grows away from the viewer"
    check(page)
    page.get_by_role("button", name="View: cuts").click()
    check(page)
    for panel in ("Camera path", "Keys and help"):
        page.get_by_role("button", name=panel).click()
        check(page)
    loaded = page.evaluate("performance.getEntriesByType('resource').map((one) => new URL(one.name).pathname)")
    three = [name for name in loaded if "/vendor/" in name]
    assert len(three) == 2 and all(re.search(r"/three\.(module|core)\.[0-9a-f]{12}\.js$", name) for name in three)


def test_haze_has_the_colour_that_emission_and_absorption_give(show: Show) -> None:
    seen = picture(show("scene=fog&view=f~-8~24~8~0~0~10~20"))  # along x, through the whole grid
    clear = (1 - FOG / 255) ** GRID[2]
    expected = (1 - clear) * np.array(FOG_COLOUR) + clear * np.array(SKY)
    row = seen.shape[0] // 2 - 4  # just above the horizon, where the background is the sky's colour
    found = seen[row - 3 : row, 150:190].mean((0, 1))
    assert found == pytest.approx(expected, abs=3)


def test_leaps_and_splines_against_other_sources(show: Show) -> None:
    page = show("scene=room", rest=False)
    volume = np.zeros((18, 30, 41, 4), np.uint8)
    z, y, x = np.random.default_rng(3).integers(0, [18, 30, 41], (4, 3)).T
    volume[z, y, x] = 255
    base = page.evaluate("document.querySelector('script[src*=canopy_scene]').src").rsplit("/", 1)[0]
    found = page.evaluate(
        """async ([address, bytes, grid]) => {
          const { leaps } = await import(address);
          const { distances, size, occupied } = leaps(Uint8Array.from(bytes), grid);
          return { distances: [...distances], size, occupied };
        }""",
        [f"{base}/grid.js", volume.ravel().tolist(), list(volume.shape[:3])],
    )
    near = ndimage.maximum_filter(volume[..., 3], 3)  # interpolation reaches a voxel further
    filled = np.pad(near, [(0, -side % 4) for side in near.shape]).reshape(5, 4, 8, 4, 11, 4).any((1, 3, 5))
    assert found["size"] == [5, 8, 11] and found["occupied"] == 4
    blocks = np.array(found["distances"]).reshape(5, 8, 11)
    np.testing.assert_array_equal(blocks, ndimage.distance_transform_cdt(~filled, "chessboard"))

    keys = [[0, 0, 0], [4, 0, 1], [4, 9, 2], [10, 9, 2]]
    curve = page.evaluate(
        """async ([address, keys]) => {
          const { catmullRom } = await import(address);
          return Array.from({ length: 13 }, (_, i) => catmullRom(keys, i / 12));
        }""",
        [f"{base}/path.js", keys],
    )
    np.testing.assert_allclose(curve[::4], keys, atol=1e-9)
    straight = page.evaluate(
        "async ([address, keys]) => (await import(address)).catmullRom(keys, 0.25)",
        [f"{base}/path.js", [[0, 0, 0], [2, 0, 0], [4, 0, 0]]],
    )
    assert straight == pytest.approx([1, 0, 0], abs=1e-9), "evenly along a straight line"


def test_the_keyboard_moves_and_the_view_comes_back(show: Show) -> None:
    page = show("scene=room")
    start, first = picture(page), ask(page, "viewer.view")
    press(page, *["ArrowRight"] * 6, "+")
    moved, view = picture(page), ask(page, "viewer.view")
    assert np.abs(moved - start).mean() > 4
    press(page, "f", *["w"] * 4, "e")
    assert ask(page, "viewer.view").startswith("f~") and np.abs(picture(page) - moved).mean() > 1
    press(page, "r", "o")
    assert ask(page, "viewer.view") == first
    page.close()
    page = show(f"scene=room&view={view}")
    assert np.abs(picture(page) - moved).mean() < 1.5
    expect(page.get_by_role("button", name="Orbit")).to_have_attribute("aria-pressed", "true")


def test_drag_wheel_and_the_colour_of_the_sky(show: Show) -> None:
    page = show("scene=room&view=f~24~24~-0~1.57~1.2~10~60")
    expect(page.get_by_role("button", name="Fly")).to_have_attribute("aria-pressed", "true")
    assert np.abs(picture(page)[5, 176] - SKY).max() < 90
    page = show("scene=room")
    before = ask(page, "[viewer.pose.yaw, viewer.pose.distance]")
    box = page.get_by_role("application").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 176, box["y"] + 110)
    page.mouse.wheel(0, 300)
    expect(page.get_by_text("Click the scene, then the wheel zooms")).to_be_visible()
    assert ask(page, "viewer.pose.distance") == before[1], "the page scrolls until the scene has the focus"
    page.mouse.down()
    page.mouse.move(box["x"] + 236, box["y"] + 110, steps=3)
    page.mouse.up()
    page.mouse.wheel(0, -300)
    wait_for(lambda: ask(page, "viewer.pose.distance") < before[1])
    assert ask(page, "viewer.pose.yaw") < before[0]


def test_channels_cuts_and_cameras(show: Show) -> None:
    page = show("scene=room")
    seen = {"Colour": picture(page)}
    for channel in ("Depth", "Density", "Normals"):
        page.get_by_role("button", name=channel).click()
        expect(page.get_by_role("button", name=channel)).to_have_attribute("aria-pressed", "true")
        for name, other in seen.items():
            assert np.abs(picture(page) - other).mean() > 3, (channel, name)
        seen[channel] = picture(page)
    press(page, "1")
    page.get_by_role("button", name="View: cuts").click()
    page.get_by_role("slider", name="Cut height").fill("0.2")
    cut = picture(page)
    assert of_colour(cut, "yellow").sum() < 0.3 * of_colour(seen["Colour"], "yellow").sum()
    assert ask(page, "viewer.view").endswith("~z0.2")
    page.get_by_role("slider", name="Cut height").fill("1")
    page.get_by_role("slider", name="Cut x").fill("0.3")
    assert of_colour(picture(page), "green").sum() == 0 and of_colour(picture(page), "red").sum() > 40
    page.get_by_role("button", name="Keep the other side of the cut through x").click()
    assert of_colour(picture(page), "red").sum() == 0 and of_colour(picture(page), "green").sum() > 40
    before = picture(page)
    page.get_by_text("3 cameras").click()
    assert np.abs(picture(page) - before).max() > 60


def test_two_scenes_share_a_camera(show: Show) -> None:
    page = show("scene=room&compare=turned")
    divider = page.get_by_role("slider", name="Divider between the two scenes")
    both = picture(page)
    for half, seen, missing in ((both[:, :166], "red", "green"), (both[:, 178:], "blue", "green")):
        assert of_colour(half, seen).sum() > 40 and of_colour(half, missing).sum() == 0
    divider.focus()
    page.keyboard.press("End")
    left = picture(page)
    assert of_colour(left, "red").sum() > 40 and of_colour(left, "green").sum() > 40
    divider.focus()
    page.keyboard.press("PageDown")
    expect(divider).to_have_attribute("aria-valuenow", "90")
    check(page)


def test_steps_and_refresh_keep_the_camera(show: Show) -> None:
    page = show("scene=steps")
    press(page, *["ArrowRight"] * 4)
    view, done = ask(page, "viewer.view"), picture(page)
    slider = page.get_by_role("slider", name="Denoising step")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_text("coarse, step 1 of 2")).to_be_visible()
    wait_for(lambda: np.abs(picture(page) - done).mean() > 3)
    slider.focus()
    page.keyboard.press("ArrowRight")
    wait_for(lambda: np.abs(picture(page) - done).mean() < 1.5)
    page.locator("canopy-scene").evaluate("(viewer) => viewer.setAttribute('src', '/manifest/turned.json')")
    wait_for(lambda: ask(page, "viewer.manifest.name") == "Scene turned")
    assert np.abs(picture(page) - done).mean() > 3 and ask(page, "viewer.view") == view
    page.locator("canopy-scene").evaluate("(viewer) => viewer.setAttribute('src', '/manifest/unborn.json')")
    expect(page.get_by_text("There is nothing to see here yet.")).to_be_visible()
    page.locator("canopy-scene").evaluate("(viewer) => viewer.setAttribute('src', '/manifest/room.json')")
    expect(page.locator("canopy-scene")).to_have_attribute("data-state", "ready")


def test_a_camera_path_is_played_saved_and_loaded(show: Show, tmp_path: Path) -> None:
    page = show("scene=room")
    page.get_by_role("button", name="Camera path").click()
    expect(page.get_by_role("button", name=re.compile(r"^Key \d"))).to_have_count(3)
    page.get_by_role("button", name="Add key here").click()
    page.get_by_role("button", name="Remove key 1").click()
    with page.expect_download() as saving:
        page.get_by_role("button", name="Save", exact=True).click()
    saved = json.loads(Path(saving.value.path()).read_text())
    assert saved["version"] == 1 and [key["origin"][0] for key in saved["keys"][:2]] == [14, 18]
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Play")).to_be_visible()  # it ended
    assert ask(page, "viewer.pose.eye") == pytest.approx(saved["keys"][-1]["origin"], abs=1e-3)
    file = tmp_path / "path.json"
    file.write_text(json.dumps({**saved, "seconds": 4, "keys": saved["keys"][:2]}))
    page.locator("canopy-scene input[type=file]").set_input_files(file)
    expect(page.get_by_role("button", name=re.compile(r"^Key \d"))).to_have_count(2)
    file.write_text("[]")
    page.locator("canopy-scene input[type=file]").set_input_files(file)
    expect(page.get_by_role("alert")).to_contain_text("A camera path has 1 to 200 keys")


def test_a_box_is_drawn_with_the_keyboard_and_the_mouse(show: Show) -> None:
    page = show("scene=room&box=1")
    check(page)
    page.evaluate("addEventListener('boxchange', (event) => { window.box = event.detail; })")
    corner = page.get_by_role("button", name="Corner 1")
    corner.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("window.box") == pytest.approx({"x0": 0.3 + 1 / 64, "y0": 0.3, "x1": 0.7, "y1": 0.7})
    expect(corner).to_have_attribute("aria-label", re.compile("x 32 %, y 30 %"))
    middle = page.get_by_role("button", name="Whole box").bounding_box()
    assert middle is not None
    page.mouse.move(middle["x"] + 12, middle["y"] + 12)
    page.mouse.down()
    page.mouse.move(middle["x"] + 52, middle["y"] + 12, steps=3)
    page.mouse.up()
    box = page.evaluate("window.box")
    assert box["x0"] > 0.35 and box["x1"] - box["x0"] == pytest.approx(0.4 - 1 / 64)


def test_without_webgl2_and_after_its_loss_there_is_a_sentence(show: Show) -> None:
    page = show("scene=room&poster=1", script=NO_WEBGL2, rest=False)
    expect(page.get_by_text("This browser cannot draw 3D scenes")).to_be_visible()
    expect(page.get_by_role("img", name="Test room, a picture")).to_be_visible()
    check(page)
    page = show("scene=room&poster=1")
    expect(page.locator(".scene-poster")).to_be_hidden()
    page.locator("canvas").evaluate(
        "(one) => one.getContext('webgl2').getExtension('WEBGL_lose_context').loseContext()"
    )
    page.get_by_role("button", name="Draw again").click()
    assert of_colour(picture(page), "red").sum() > 40
    page = show("scene=short", rest=False)
    expect(page.get_by_role("alert")).to_contain_text("has 9 bytes where its grid needs 147456")


def test_on_demand_and_many_on_a_page(show: Show) -> None:
    page = show("scene=room&on-demand=1&poster=1", rest=False)
    expect(page.locator("canvas")).to_have_count(0)
    page.get_by_role("button", name="Open in 3D").click()
    assert of_colour(picture(page), "red").sum() > 40
    page = show("&".join(["scene=room"] * 5), rest=False)
    for viewer in page.locator("canopy-scene").all():
        viewer.scroll_into_view_if_needed()
        expect(viewer).to_have_attribute("data-state", "ready")
    held = page.evaluate("[...document.querySelectorAll('canopy-scene')].filter((one) => one.stage).length")
    assert 1 <= held <= 4
    page.locator("canopy-scene").first.evaluate("(one) => { one.remove(); document.body.append(one); }")
    expect(page.locator("canopy-scene").last).to_have_attribute("data-state", "ready")


def test_the_cameras_of_a_set(show: Show) -> None:
    page = show("cameras=1")
    page.evaluate("addEventListener('cameraselect', (event) => { window.selected = event.detail.index; })")
    seen = picture(page)
    assert of_colour(seen, "red").sum() > 40, "the points of the red wall"
    assert ((seen[..., 0] > 120) & (seen[..., 1] < 90) & (seen[..., 2] > 120)).sum() > 40, "the pictures"
    press(page, ".", ".")
    assert page.evaluate("window.selected") == 2
    expect(page.locator(".scene-picker")).to_contain_text("Frame 2, held out")
    press(page, "Enter")
    assert ask(page, "viewer.mode") == "fly" and np.abs(picture(page) - seen).mean() > 4
    check(page)
