"""Only the operator's directories, only safe formats."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.models import DEMO_MODEL, ModelError
from jobs.kinds.sampling.sources import resolve_model


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """models/good (safetensors), models/pickled, models/empty; outside/secret beside them; models/link -> outside."""
    for name in ("models/good", "models/pickled", "models/empty", "outside/secret"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").write_text('{"model_type": "llama"}')
    for name in ("models/good", "outside/secret"):
        (tmp_path / name / "model.safetensors").touch()
    (tmp_path / "models/pickled/pytorch_model.bin").touch()
    (tmp_path / "models/packed.gguf").touch()
    (tmp_path / "models/link").symlink_to(tmp_path / "outside")
    return tmp_path / "models"


def test_what_is_allowed(models: Path) -> None:
    assert resolve_model(DEMO_MODEL, [models]) == DEMO_MODEL
    assert resolve_model("good", [models]) == str(models / "good")
    assert resolve_model(str(models / "good"), [models]) == str(models / "good")
    assert resolve_model("packed.gguf", [models]) == str(models / "packed.gguf")
    assert resolve_model("org/name-1.5B", [models]) == "org/name-1.5B"
    assert resolve_model("org/name", []) == "org/name"


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        ("{models}/../outside/secret", "lies outside"),
        ("/etc", "lies outside"),
        ("{models}/link/secret", "lies outside"),
        ("link/secret/x", "No model is called"),
        ("../outside", "No model is called"),
        ("../../etc/passwd", "No model is called"),
        ("{models}/missing", "Check the path"),
        ("pickled", "safetensors"),
        ("empty", "safetensors"),
        ("x" * 300, ""),
        ("no such thing", "Give a model folder"),
    ],
)
def test_what_is_refused(models: Path, model: str, hint: str) -> None:
    with pytest.raises(ModelError, match=hint):
        resolve_model(model.format(models=models), [models])


@given(st.text(max_size=300))
def test_any_text_is_allowed_or_refused_never_a_crash(model: str) -> None:
    try:
        resolve_model(model, [Path("/nonexistent")])
    except ModelError as error:
        assert str(error)
