"""A real Chromium against the real web process. Every page collects what the content security policy refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.conftest import PASSWORD
from tests.stack import Stack
from webapp.accounts.models import User

GL = [
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
]  # WebGL without a graphics card
ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", *GL]
COLLECT_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the browser tests and run them last: from the first one on, Playwright's synchronous API keeps an event
    loop running in this thread, beside which no asynchronous test can run."""
    for item in items:
        if "tests/browser/" in item.nodeid:
            item.add_marker(pytest.mark.browser)
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


@pytest.fixture(autouse=True)
def quick_passwords() -> None:
    """Not here: people sign in through the web process, which knows the real hashers only."""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        sentence = "No Chromium was found: install the chromium package to run the browser tests."
        if os.environ.get("CANOPY_REQUIRE_BROWSER") == "1":
            pytest.fail(sentence)
        pytest.skip(sentence)
    # Playwright's synchronous API keeps an event loop running in this thread; Django would refuse the ORM beside it.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def web(chromium: Browser, stack: Stack) -> Stack:
    """The web process, answering. (The browser is asked for first: without one nothing is started.)"""
    stack.start("web")
    return stack


OpenContext = Callable[..., BrowserContext]


@pytest.fixture
def new_context(chromium: Browser, web: Stack) -> Iterator[OpenContext]:
    """``new_context(user)``: a browser of its own, signed in as the user through the page; None: signed out."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def make(user: User | None = None, **options: Any) -> BrowserContext:
        # Without motion: what is still fading in has too little contrast for axe.
        context = chromium.new_context(base_url=web.url, reduced_motion="reduce", **options)
        context.add_init_script(COLLECT_VIOLATIONS)
        context.set_default_timeout(20_000)
        context.on("weberror", lambda event: errors.append(str(event.error)))
        contexts.append(context)
        if user is not None:
            sign_in(context.new_page(), user)
        return context

    yield make
    for context in contexts:
        context.close()
    assert errors == [], "a script failed"


def sign_in(page: Page, user: User) -> None:
    page.goto("/sign-in/")
    page.get_by_label("E-mail").fill(user.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/teams/*/")
    page.close()


def violations(page: Page) -> list[str]:
    """What the content security policy refused on this page so far."""
    found: list[str] = page.evaluate("window.violations")
    return found
