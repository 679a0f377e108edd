from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.verification.extraction import python_program


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("print(1)", "print(1)"),
        ("Sure!\n```python\nprint(1)\n```\nDone.", "print(1)\n"),
        ("```\nprint(1)\n```", "print(1)\n"),
        ("```sh\npip install x\n```\n```python\nprint(1)\n```", "print(1)\n"),
        ("```python\nprint(1)\n```\nUse:\n```python\nprint(2)\n```", "print(1)\n"),
        ("```python\nprint(1)\n", "print(1)\n"),  # cut off by the token limit
        ("print(1)\n```\nThat is it.", "print(1)\n"),  # the prompt opened the block
        ("  ~~~py\nprint(1)\n  ~~~", "print(1)\n"),
        ("```python\nprint('```')\n```", "print('```')\n"),
    ],
)
def test_the_program_is_found(text: str, program: str) -> None:
    assert python_program(text) == program


@given(st.text(st.sampled_from("`~\n ax")))
def test_any_text_gives_a_part_of_it(text: str) -> None:
    assert python_program(text) in text
