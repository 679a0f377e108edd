"""A Context that remembers what a runner-side function reported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class FakeContext:
    def __init__(self, data_dir: Path = Path("/nonexistent"), cancel_after: int | None = None) -> None:
        self.data_dir = data_dir
        self.rows: list[Mapping[str, Any]] = []
        self.reports: list[tuple[dict[str, float], float]] = []
        self.logs: list[str] = []
        self.levels: list[str] = []
        self.artifacts: list[tuple[Path, str, str]] = []
        self.done = 0
        self.news: Mapping[str, Any] = {}
        self._cancel_after = cancel_after

    @property
    def cancelled(self) -> bool:
        return self._cancel_after is not None and len(self.rows) >= self._cancel_after

    def progress(self, done: int) -> None:
        assert done >= self.done, "progress never goes back"
        self.done = done

    def alive(self) -> None: ...

    def row(self, row: Mapping[str, Any]) -> None:
        self.rows.append(row)

    def metrics(self, values: Mapping[str, float], seconds: float) -> None:
        self.reports.append((dict(values), seconds))

    def log(self, text: str, level: str = "info") -> None:
        self.logs.append(text)
        self.levels.append(level)

    def artifact(self, path: Path, name: str, content_type: str) -> None:
        self.artifacts.append((path, name, content_type))
