"""What every page must keep to: the strict content security policy, labels, one heading, unique ids."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser

import pytest

from tests.webapp.test_permissions import PAGES, World, world

__all__ = ["world"]  # a fixture
HTML = [name for name, page in PAGES.items() if page.method == "get"]
VOID = {"input", "link", "meta", "img", "br", "hr", "path", "use", "source", "wbr"}


class Page(HTMLParser):
    """Collects what the rules below look at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.stack: list[str] = []
        self.unbalanced: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if self.stack and self.stack[-1] == tag:
            self.stack.pop()
        else:
            self.unbalanced.append(tag)

    def all(self, *tags: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.mark.parametrize("name", HTML)
def test_page_is_sound(name: str, world: World) -> None:
    visitor = "anonymous" if PAGES[name].expected[0] == 200 else "owner"
    response = world.clients[visitor].get(world.url(name))
    if not response.headers.get("Content-Type", "").startswith("text/html") or response.status_code != 200:
        return
    page = Page(response.content.decode())
    assert page.unbalanced == [] and page.stack == []
    assert len(page.all("h1")) == 1
    ids = Counter(attributes["id"] for _, attributes in page.elements if "id" in attributes)
    assert [repeated for repeated, number in ids.items() if number > 1] == []
    assert "default-src 'none'" in response["Content-Security-Policy"]
    check_policy(page)
    check_labels(page, set(ids))


def check_policy(page: Page) -> None:
    """Nothing that the content security policy would block."""
    for tag, attributes in page.elements:
        assert "style" not in attributes, (tag, attributes)
        assert not [attribute for attribute in attributes if attribute.startswith("on")], (tag, attributes)
    for script in page.all("script"):
        assert script.get("src", "").startswith("/static/") or "nonce" in script or script["type"] == "application/json"
    for style in page.all("style"):
        assert "nonce" in style
    for source in page.all("img", "script", "link"):
        address = source.get("src") or source.get("href", "/")
        assert not re.match(r"(?:https?:)?//", address), address  # works offline


def check_labels(page: Page, ids: set[str]) -> None:
    """Every control has a name, and what it refers to is there."""
    labelled = {attributes.get("for") for attributes in page.all("label")}
    for control in page.all("input", "select", "textarea"):
        if control.get("type") in {"hidden", "radio", "checkbox"}:
            continue  # boxes stand inside their label
        assert control.get("id") in labelled or "aria-label" in control or control.get("name") in {"status", "owner"}
    for _, attributes in page.elements:
        for reference in ("aria-describedby", "aria-labelledby", "aria-controls"):
            missing = set(attributes.get(reference, "").split()) - ids
            assert not missing, (reference, missing)
