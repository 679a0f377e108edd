"""The figures of docs/engine.md: of the numbers in docs/benchmarks, and the same whoever draws them."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from benchmarks import figures


def test_the_pictures_are_of_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """No browser is asked: every picture names the figure that the numbers give. Else: make docs-tables."""
    monkeypatch.setattr(figures, "drawn", lambda figure: pytest.fail(f"{figure.layout.title.text} was not drawn again"))
    figures.main()


def test_a_figure_is_drawn_again_when_a_number_changes_and_only_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawings = iter(f'<svg><defs id="defs-{n:06x}"></defs><g class="trace trace{n:06x}"/></svg>' for n in (10, 11, 12))
    monkeypatch.setattr(figures, "drawn", lambda figure: next(drawings))
    rows = [{"case": "A, 1", "metric": "decode", "unit": "tokens/s", "value": 3.0, "floor": 4.0}]
    path = tmp_path / "one.svg"
    figures.write(path, figures.floors(rows))
    first = path.read_text()
    assert "prefers-color-scheme:dark" in first and "00000a" not in first
    figures.write(path, figures.floors(copy.deepcopy(rows)))
    assert path.read_text() == first
    rows[0]["value"] = 3.5
    figures.write(path, figures.floors(rows))
    assert path.read_text() != first
    assert path.read_text().splitlines()[0] == first.splitlines()[0], "random ids are taken out"
