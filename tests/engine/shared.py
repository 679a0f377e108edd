"""Real data that tests use where it is present and pass without."""

from __future__ import annotations

from pathlib import Path

import pytest


def shared_data(folder: str) -> Path:
    """shared/data/<folder> beside the project or beside a folder that holds it; skips the test where there is none."""
    for parent in Path(__file__).parents:
        if (found := parent / "shared" / "data" / folder).is_dir():
            return found
    pytest.skip(f"shared/data/{folder} is not here")
