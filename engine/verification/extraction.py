"""Finds the program in what a model wrote."""

from __future__ import annotations

import re

_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[ \t]*([\w+.-]*)[^\n]*$", re.MULTILINE)


def fenced_block(text: str, languages: tuple[str, ...] = ()) -> str | None:
    """The first fenced block, preferring one that names one of ``languages``; None when there is no fence.

    The first, as in the released code of Brown et al. 2024: what follows is usually an example of use. A fence that
    is never closed runs to the end (the token limit came first). A single bare fence after some text closes a block
    that the prompt opened.
    """
    blocks: list[tuple[str, str]] = []
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opened is None:
            opened = fence
        elif not fence.group(1):
            blocks.append((opened.group(1).lower(), text[opened.end() + 1 : fence.start()]))
            opened = None
    if opened is not None:
        before = text[: opened.start()]
        if not blocks and not opened.group(1) and before.strip():
            return before
        blocks.append((opened.group(1).lower(), text[opened.end() + 1 :]))
    if not blocks:
        return None
    return next((code for language, code in blocks if language in languages), blocks[0][1])


def python_program(text: str) -> str:
    """The Python in ``text``: its first fenced block, else all of it.

    >>> python_program("Sure:\\n```python\\nprint(1)\\n```\\nIt prints 1.")
    'print(1)\\n'
    """
    block = fenced_block(text, ("python", "python3", "py"))
    return text if block is None else block
