from __future__ import annotations

import subprocess
import sys

import engine.detection


def test_reading_data_sets_and_rules_needs_no_torch() -> None:
    """A web process that checks an upload stays small."""
    code = "import sys, engine.detection, engine.detection.data; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_is_there() -> None:
    for name in engine.detection.__all__:
        assert getattr(engine.detection, name) is not None
    assert callable(engine.detection.train)
