"""Pictures for the docs, of a running Canopy: python docs/img/shoot.py ADDRESS E-MAIL PASSWORD running|finished

ADDRESS is an experiment's page, as `make demo` prints it. Every picture is made for desktop and phone, dark and light.
"running" takes the live page alone; any other word also takes list, forms and samples.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).parent
SIZES = {"desktop": (1440, 1000), "phone": (390, 844)}


def sign_in(page: Page, address: str, email: str, password: str) -> None:
    page.goto(address)
    page.fill("[name=username]", email)
    page.fill("[name=password]", password)
    page.click("main form button")
    page.wait_for_url(address)


def shoot(page: Page, address: str, name: str, suffix: str, *, whole: bool = False) -> None:
    page.goto(address)
    page.wait_for_timeout(3000)  # the socket's first snapshot and the charts
    page.screenshot(path=FOLDER / f"{name}-{suffix}.png", full_page=whole)


def main(address: str, email: str, password: str, state: str) -> None:
    site = "{0.scheme}://{0.netloc}".format(urlsplit(address))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for theme in ("dark", "light"):
            for device, (width, height) in SIZES.items():
                context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
                page = context.new_page()
                sign_in(page, address, email, password)
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
