"""Find the extracted answer in the text it came from. Returns plain strings: the template escapes every piece."""

from __future__ import annotations

import re
from typing import NamedTuple

_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")


class Pieces(NamedTuple):
    before: str
    match: str  # empty when the answer stands nowhere in this form
    after: str


def split_at_answer(text: str, answer: str) -> Pieces:
    """Cut ``text`` around the last place where ``answer`` stands, with the "####" before it.

    Verifiers take the last answer of a text and drop thousands separators ("70,000" becomes "70000"), so digits match
    with commas between them. A number never matches inside a longer one.
    """
    if not answer.strip():
        return Pieces(text, "", "")
    pattern = re.compile(r"(?:####\s*\$?\s*)?" + _loose(answer.strip()))
    last = max(pattern.finditer(text), key=lambda found: found.start(), default=None)
    if last is None:
        return Pieces(text, "", "")
    return Pieces(text[: last.start()], last.group(), text[last.end() :])


def _loose(answer: str) -> str:
    if not _NUMBER.fullmatch(answer):
        return re.escape(answer)
    digits = "".join(re.escape(sign) + (",?" if sign.isdigit() else "") for sign in answer).removesuffix(",?")
    return rf"(?<![\d.]){digits}(?:\.0+)?(?![\d]|[.,]\d)"
