"""What a model may write as a proof: tactics, nothing else. Shared rules of the two proof assistants."""

from __future__ import annotations

import re


def without_comments(text: str, opening: str, closing: str) -> str:
    """``text`` with each comment, nested ones too, replaced by a space. Raises ValueError where they do not match."""
    kept: list[str] = []
    depth = at = 0
    for mark in re.finditer(f"{re.escape(opening)}|{re.escape(closing)}", text):
        if mark.start() < at:
            continue  # the middle of "(*)" was part of the mark before
        if depth == 0:
            kept.append(text[at : mark.start()])
        depth += 1 if mark.group() == opening else -1
        if depth < 0:
            raise ValueError(f'there is a "{closing}" without "{opening}"')
        at = mark.end()
        if depth == 0:
            kept.append(" ")
    if depth:
        raise ValueError("a comment is not closed")
    return "".join([*kept, text[at:]])


def first_word_among(text: str, words: frozenset[str], letters: str = r"[\w']") -> str | None:
    """The first whole word of ``text`` that is one of ``words``."""
    return next((word for word in re.findall(f"{letters}+", text) if word in words), None)


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())
