"""Sharing in a browser: the dialog, what a stranger sees, frames of other sites, and the offline copy from disk."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from playwright.sync_api import Browser, Page, expect

from jobs.models import Experiment, Status
from tests.browser.conftest import OpenContext, violations
from tests.browser.test_live_page import check
from tests.stack import Stack
from tests.webapp.detection import make_detection
from tests.webapp.test_compare import set_counts
from tests.webapp.test_samples import draw
from webapp.accounts.models import Team, User
from webapp.experiments.kind_pages import kind_page
from webapp.sharing.models import ShareLink
from webapp.sharing.services import Options, make_link

Make = Callable[..., Experiment]
PHONE = {"width": 390, "height": 844}


@pytest.fixture
def experiment(make_experiment: Make) -> Experiment:
    made = make_experiment(
        name="Sums & more", problems=4, status=Status.FINISHED, spec={"samples": 24, "seed": 1}, last_seq=1
    )
    draw(made, 24)
    set_counts(made, [(24, 0), (24, 2), (24, 9), (24, 24)])
    made.problems.update(seq=1)  # type: ignore[attr-defined]
    return made


def token(experiment: Experiment, user: User, target: str = "experiment", **options: Any) -> str:
    scope = {"experiment": str(experiment.code)} | options.pop("scope", {})
    if target == "comparison":
        scope = {"query": f"e={experiment.code}"}
    with ThreadPoolExecutor(1) as outside:  # of the browser's event loop, beside which nothing asynchronous is drained
        made = outside.submit(make_link, experiment.team, Options(target, scope, **options), by=user).result()
        outside.submit(lambda: connection.close()).result()
    return made[1]


def narrow(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], page.url


@pytest.mark.parametrize("theme", ["light"])
def test_from_the_dialog_to_a_stranger(
    theme: str, experiment: Experiment, alice: User, new_context: OpenContext
) -> None:
    page = new_context(alice, color_scheme=theme).new_page()
    page.goto(f"/experiments/{experiment.code}/", wait_until="networkidle")
    page.get_by_role("button", name="Share", exact=True).click()
    words = page.locator("[data-share-words]")
    expect(words).to_contain_text("The experiment Sums & more: its figures, settings and state")
    page.get_by_label("What", exact=True).select_option(label="Chart: Coverage against samples")
    expect(words).to_contain_text("The chart Coverage against samples of Sums & more")
    expect(page.get_by_label("Include the")).to_be_hidden()
    page.get_by_label("Anonymous").check()
    expect(words).to_contain_text("Names of people, team, machines")
    check(page)
    page.get_by_role("button", name="Make a link").click()
    expect(page.get_by_role("img", name="The link as a QR code")).to_be_visible()
    check(page)
    address = page.locator("#share-url").inner_text()

    stranger = new_context(color_scheme=theme).new_page()
    stranger.goto(address, wait_until="networkidle")
    expect(stranger.locator("#coverage [data-plot] .main-svg").first).to_be_visible()
    expect(stranger.locator("#problems")).to_have_count(0)
    expect(stranger.locator("body")).to_contain_text("anonymous")
    check(stranger)
    assert stranger.context.cookies() == []

    page.get_by_role("link", name="All links").click()
    expect(page.get_by_role("row", name="Coverage against samples, Sums & more")).to_be_visible()
    check(page)
    page.get_by_role("button", name="Pause the link").click()
    stranger.reload()
    expect(stranger.get_by_role("heading", name="This link is paused")).to_be_visible()


def test_what_links_open_fits_and_is_accessible(experiment: Experiment, alice: User, new_context: OpenContext) -> None:
    pages = [
        f"/s/{token(experiment, alice)}/",
        f"/s/{token(experiment, alice, freeze=True, anonymous=True)}/",
        f"/s/{token(experiment, alice, 'comparison')}/",
        f"/e/{token(experiment, alice, 'chart', scope={'chart': 'problems'}, embed_hosts=['a.org'])}?theme=light",
    ]
    stranger = new_context(viewport=PHONE).new_page()
    for path in pages:
        stranger.goto(path, wait_until="networkidle")
        check(stranger)
        narrow(stranger)
        if "compared" in stranger.content():
            stranger.locator("#selection").scroll_into_view_if_needed()
            expect(stranger.locator("#selection [data-plot] .main-svg").first).to_be_visible()
    assert stranger.evaluate("document.documentElement.dataset.theme") == "light"
    member = new_context(alice, viewport=PHONE).new_page()
    member.goto(f"/teams/{experiment.team.code}/links/", wait_until="networkidle")
    check(member)
    narrow(member)


class Site:
    """Another site, whose page shows ``frame`` in an iframe."""

    def __init__(self) -> None:
        site, self.frame = self, ""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(f'<title>x</title><iframe src="{site.frame}" width="900" height="600">'.encode())

            def log_message(self, *arguments: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def sites() -> Iterator[tuple[Site, Site]]:
    both = Site(), Site()
    yield both
    for site in both:
        site.server.shutdown()
        site.server.server_close()


def test_only_the_named_site_shows_it_in_a_frame(
    experiment: Experiment, alice: User, new_context: OpenContext, web: Stack, sites: tuple[Site, Site]
) -> None:
    named, other = sites
    named.frame = other.frame = f"{web.url}/e/{token(experiment, alice, embed_hosts=[named.url])}"
    stranger = new_context().new_page()
    stranger.goto(named.url, wait_until="networkidle")
    inside = stranger.frame_locator("iframe")
    expect(inside.get_by_role("heading", level=1)).to_have_text("Sums & more")
    expect(inside.locator("#coverage [data-plot] .main-svg").first).to_be_visible()
    assert stranger.context.cookies() == []
    stranger.goto(other.url, wait_until="networkidle")
    expect(stranger.frame_locator("iframe").get_by_role("heading", level=1)).to_have_count(0)


def test_the_offline_copy_opens_from_disk(
    experiment: Experiment, alice: User, new_context: OpenContext, chromium: Browser, tmp_path: Path
) -> None:
    page = new_context(alice).new_page()
    page.goto(f"/experiments/{experiment.code}/files/", wait_until="networkidle")
    expect(page.locator("[data-offline-size]")).to_contain_text("unpacked")
    check(page)
    with page.expect_download() as found:
        page.get_by_role("link", name="With samples").click()
    zipfile.ZipFile(found.value.path()).extractall(tmp_path)

    context = new_context(offline=True)
    errors: list[str] = []
    context.on("weberror", lambda event: errors.append(str(event.error)))
    copy = context.new_page()
    requests: list[str] = []
    copy.on("request", lambda request: requests.append(request.url))
    copy.goto((tmp_path / "sums-more" / "index.html").as_uri())
    expect(copy.get_by_role("heading", level=1)).to_have_text("Sums & more")
    expect(copy.locator(".main-svg").first).to_be_visible()
    assert copy.locator("figure .main-svg").count() >= 3
    copy.get_by_text("As a table").first.click()
    expect(copy.get_by_role("cell", name="75.0%").first).to_be_attached()
    check(copy)
    assert requests and all(address.startswith("file:") for address in requests)
    assert errors == [] and violations(copy) == []
    assert ShareLink.objects.count() == 0


def test_every_chart_is_drawn_alone(experiment: Experiment, alice: User, team: Team, new_context: OpenContext) -> None:
    detection = make_detection(team, alice, spec={"rules": ["ellipse"], "seeds": 1})
    stranger = new_context().new_page()
    for shown in (experiment, detection):
        for name in kind_page(shown.kind).charts:
            secret = token(shown, alice, "chart", scope={"chart": name})
            stranger.goto(f"/s/{secret}/", wait_until="networkidle")
            panels = stranger.locator("main section.panel")
            expect(panels).to_have_count(1)
            assert panels.get_attribute("id") == name
            if name != "engine":  # nothing was measured
                expect(panels.locator("svg:not(.icon)").first).to_be_visible()
