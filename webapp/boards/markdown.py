"""Text of a board as HTML. Its writers are trusted no more than anybody: no HTML, no images, no scripts in links."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.safestring import SafeString
from markdown_it import MarkdownIt
from markdown_it.token import Token


def _make() -> MarkdownIt:
    # "zero" knows nothing; what is let in is named here. HTML stays off: it is shown as the text that it is.
    parser = (
        MarkdownIt("commonmark", {"html": False, "linkify": False})
        .enable("table")
        .disable(["html_block", "html_inline", "image"])
    )
    parser.core.ruler.push("canopy", lambda state: _adapt(state.tokens))
    return parser


def _adapt(tokens: Sequence[Token]) -> None:
    """Headings below the page's own; links that tell nothing of this site; tables without style attributes, which the
    content security policy would refuse."""
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(6, int(token.tag[1]) + 1)}"
        if token.type in {"th_open", "td_open"}:
            style = str(token.attrs.pop("style", ""))
            if "right" in style:
                token.attrSet("class", "num")
        if token.type == "table_open":
            token.attrSet("class", "table compact")
        for child in token.children or []:
            if child.type == "link_open":
                child.attrSet("rel", "noopener noreferrer nofollow")


_parser = _make()


def rendered(text: str) -> SafeString:
    """Safe HTML: markdown-it escapes all text, refuses javascript:, vbscript: and data: links, and html is off."""
    return SafeString(_parser.render(text))
