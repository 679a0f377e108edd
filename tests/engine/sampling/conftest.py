"""Tiny models for the engine's tests, built once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
import transformers

from engine.models import Model, load_model
from tests.tiny_model import build_tiny_model

transformers.utils.logging.disable_progress_bar()


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny tensors are not worth a second thread, and waiting for one on a busy machine costs more than the work."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """family -> its model folder."""
    base = tmp_path_factory.mktemp("models")
    return cache(lambda family: build_tiny_model(base / family, family))


@pytest.fixture(scope="session")
def tiny_model(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Model]:
    """family -> the model loaded for the engine, in fp32 on the CPU."""
    cache_dir = tmp_path_factory.mktemp("cache")

    def load(family: str) -> Model:
        return load_model(str(tiny_folder(family)), cache_dir=cache_dir, device="cpu", dtype=torch.float32)

    return cache(load)


@pytest.fixture(scope="session")
def reference_model(tiny_folder: Callable[[str], Path]) -> Callable[[str], transformers.PreTrainedModel]:
    """family -> the same weights run by transformers itself. Eager attention: sdpa ignores Gemma 2's softcap."""

    def load(family: str) -> transformers.PreTrainedModel:
        return transformers.AutoModelForCausalLM.from_pretrained(
            tiny_folder(family), dtype=torch.float32, attn_implementation="eager"
        ).eval()

    return cache(load)


@pytest.fixture(scope="session")
def llama(tiny_model: Callable[[str], Model]) -> Model:
    return tiny_model("llama")
