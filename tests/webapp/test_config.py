"""How settings are written out for people."""

from __future__ import annotations

import pytest

from webapp.experiments.config import _shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "not set"),
        ([], "not set"),
        (True, "yes"),
        (0.5, "0.5"),
        (["retinanet", "faster_rcnn"], "retinanet, faster_rcnn"),
        ([0.0, 10.0, 22.5], "0, 10, 22.5"),
        (["\n\nQ:", "a, b"], '[\n  "\\n\\nQ:",\n  "a, b"\n]'),  # quotes say where a text begins and ends
        ([{"count": 3}], '[\n  {\n    "count": 3\n  }\n]'),
    ],
)
def test_values_are_shown(value: object, text: str) -> None:
    assert _shown(value) == text
