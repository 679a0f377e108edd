"""Where the scenes kind keeps things on a worker's disk. No Django."""

from __future__ import annotations

from pathlib import Path


def scenes_folder(data_dir: Path) -> Path:
    return data_dir / "scenes"


def experiment_folder(data_dir: Path, code: object) -> Path:
    """Checkpoints, weights and drafts of an experiment on this worker."""
    return scenes_folder(data_dir) / str(code)
