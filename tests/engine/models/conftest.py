"""The tiny models of the engine's tests."""

from __future__ import annotations

from tests.engine.sampling.conftest import llama, one_thread, reference_model, tiny_folder, tiny_model

__all__ = ["llama", "one_thread", "reference_model", "tiny_folder", "tiny_model"]
