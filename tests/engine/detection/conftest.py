from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

_FOLDERS = [parent / "shared" / "data" for parent in Path(__file__).resolve().parents]
SHARED = next((folder for folder in _FOLDERS if folder.is_dir()), Path("shared/data"))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two torch threads beside other load make a training step many times slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
