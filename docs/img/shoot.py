"""Pictures for the docs, of a running Canopy: python docs/img/shoot.py ADDRESS E-MAIL PASSWORD STATE

ADDRESS is an experiment's page, as `make demo` prints it. Every picture is made for desktop and phone, dark and light.
STATE "running" takes the live page alone, "finished" also list, forms and samples; "analysis" takes the experiment's
Analysis tab and the four oldest experiments of its team side by side; "detection" the tabs of a finished detection
experiment in which a picture was tried, "detection-running" its live page while it trains; "scenes" the tabs of a
finished scene experiment, "scenes-running" its live page while it trains.

python docs/img/shoot.py ADDRESS E-MAIL PASSWORD page NAME DEVICE THEME takes one page, whole, as NAME-DEVICE-THEME.png.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).parent
# WebGL without a graphics card, for the viewer of scenes.
ARGUMENTS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
SIZES = {"desktop": (1440, 1000), "phone": (390, 844)}


def sign_in(page: Page, address: str, email: str, password: str) -> None:
    page.goto(address)
    page.fill("[name=username]", email)
    page.fill("[name=password]", password)
    page.click("main form button")
    page.wait_for_url(address)


def shoot(page: Page, address: str, name: str, suffix: str, *, whole: bool = False, see: str = "") -> None:
    """``see``: a panel that is drawn only once it comes into view."""
    page.goto(address)
    page.wait_for_timeout(3000)  # the socket's first snapshot and the charts
    if see:
        page.locator(see).scroll_into_view_if_needed()
        page.wait_for_timeout(6000)
        page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    page.screenshot(path=FOLDER / f"{name}-{suffix}.png", full_page=whole)


def shoot_analysis(page: Page, address: str, site: str, device: str, theme: str) -> None:
    whole = device == "desktop"
    shoot(page, f"{address}analysis/", "analysis", f"{device}-{theme}", whole=whole)
    compare = page.get_attribute("nav a[href$='/compare/']", "href")
    page.goto(f"{site}{compare}")
    boxes = page.locator("[data-choices] input").evaluate_all("boxes => boxes.map((box) => box.value)")
    chosen = "&".join(f"e={code}" for code in boxes[::-1][:4])
    shoot(page, f"{site}{compare}?{chosen}&x=flops", "compare", f"{device}-{theme}", whole=whole, see="#selection")


def shoot_detection(page: Page, address: str, device: str, theme: str, *, running: bool) -> None:
    suffix = f"{device}-{theme}"
    if running:
        shoot(page, address, "detection-running", suffix, whole=device == "desktop")
        return
    shoot(page, f"{address}?paper=1", "detection", suffix, whole=device == "desktop")
    if device == "phone":
        return
    page.goto(f"{address}predictions/?angle=30")
    worst = page.get_attribute("#gallery a.tile", "href")
    shoot(page, f"{address}predictions/{worst}", "detection-predictions", suffix)
    shoot(page, f"{address}curves/?angle=30", "detection-curves", suffix, whole=True)
    shoot(page, f"{address}try/?angle=30", "detection-try", suffix)


def shoot_scenes(page: Page, address: str, device: str, theme: str, *, running: bool) -> None:
    suffix = f"{device}-{theme}"
    if running:
        shoot(page, address, "scenes-running", suffix, whole=device == "desktop")
        return
    shoot(page, address, "scenes", suffix, whole=device == "desktop", see="#scene canopy-scene")
    if device == "phone":
        return
    shoot(page, f"{address}make/?op=inpaint", "scenes-make", suffix, see="#scene canopy-scene")
    shoot(page, f"{address}quality/", "scenes-quality", suffix, whole=True)


def one(address: str, email: str, password: str, name: str, device: str, theme: str) -> None:
    width, height = SIZES[device]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        page = browser.new_page(
            viewport={"width": width, "height": height}, color_scheme=theme, reduced_motion="reduce"
        )
        sign_in(page, address, email, password)
        page.wait_for_timeout(4000)
        tall = int(page.evaluate("document.documentElement.scrollHeight"))
        if tall > 1.2 * height:  # the window as tall as the page: what sticks to an edge is then drawn once, and there
            page.set_viewport_size({"width": width, "height": tall})
            page.reload()
            page.wait_for_timeout(6000)
        page.screenshot(path=FOLDER / f"{name}-{device}-{theme}.png")
        browser.close()


def main(address: str, email: str, password: str, state: str, *page: str) -> None:
    if state == "page":
        one(address, email, password, *page)
        return
    site = "{0.scheme}://{0.netloc}".format(urlsplit(address))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        for theme in ("dark", "light"):
            for device, (width, height) in SIZES.items():
                context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
                page = context.new_page()
                sign_in(page, address, email, password)
                if state == "analysis":
                    shoot_analysis(page, address, site, device, theme)
                    context.close()
                    continue
                if state.startswith("detection"):
                    shoot_detection(page, address, device, theme, running=state == "detection-running")
                    context.close()
                    continue
                if state.startswith("scenes"):
                    shoot_scenes(page, address, device, theme, running=state == "scenes-running")
                    context.close()
                    continue
                shoot(page, address, f"live-{state}", f"{device}-{theme}", whole=True)
                if state != "running":
                    form = page.get_attribute("a[href*='/new/sampling/']", "href")
                    shoot(page, f"{address}samples/", "samples", f"{device}-{theme}")
                    shoot(page, site, "list", f"{device}-{theme}")
                    shoot(page, f"{site}{form}", "new", f"{device}-{theme}", whole=True)
                    importing = str(form).replace("/new/sampling/", "/import/")
                    shoot(page, f"{site}{importing}", "import", f"{device}-{theme}", whole=True)
                context.close()
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
