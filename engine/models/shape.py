"""A model's sizes, read from its description only: no weights, no torch."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

from engine.models.gguf_header import read_gguf_header
from engine.models.sources import ModelError, find_model, read_config

# Weights and keys/values are held in 16 bits. On a CPU without bf16 instructions it is twice that.
BYTES_PER_VALUE = 2


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Sizes that decide memory and speed."""

    n_params: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    hidden_size: int
    vocabulary: int
    context_length: int

    @property
    def weight_bytes(self) -> int:
        return self.n_params * BYTES_PER_VALUE

    @property
    def kv_bytes_per_token(self) -> int:
        """Keys and values of one token in all layers."""
        return 2 * self.layers * self.kv_heads * self.head_size * BYTES_PER_VALUE


def model_shape(source: str) -> ModelShape:
    """Sizes of the model at `source` (see `find_model`); raises ModelError when it cannot be used."""
    files = find_model(source, config_only=True)
    description = files.path if files.is_gguf else files.path / "config.json"
    return _read_shape(files.path, description.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _read_shape(path: Path, modified: int) -> ModelShape:
    """`modified` is part of the cache key only."""
    if path.suffix == ".gguf":
        return _from_gguf(path)
    return shape_from_config(read_config(path), n_params=_count_safetensors(path))


def shape_from_config(config: dict[str, Any], *, n_params: int | None = None) -> ModelShape:
    """From the contents of a config.json; without `n_params` the parameters are counted from the sizes."""
    text = config.get("text_config") or config
    try:
        heads, hidden = text["num_attention_heads"], text["hidden_size"]
        kv_heads = text.get("num_key_value_heads") or heads
        head_size = text.get("head_dim") or hidden // heads
        return ModelShape(
            n_params=n_params or _count_dense(text, heads, kv_heads, head_size),
            layers=text["num_hidden_layers"],
            heads=heads,
            kv_heads=kv_heads,
            head_size=head_size,
            hidden_size=hidden,
            vocabulary=text["vocab_size"],
            context_length=text["max_position_embeddings"],
        )
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise ModelError(f"config.json does not describe a decoder-only language model: {error!r}") from error


def _count_dense(text: dict[str, Any], heads: int, kv_heads: int, head_size: int) -> int:
    """Parameters of a gated-MLP transformer; biases and norms, under 0.1%, are left out."""
    hidden = text["hidden_size"]
    attention = hidden * head_size * (2 * heads + 2 * kv_heads)
    mlp = 3 * hidden * text["intermediate_size"]
    embeddings = text["vocab_size"] * hidden * (1 if text.get("tie_word_embeddings", True) else 2)
    return int(text["num_hidden_layers"] * (attention + mlp) + embeddings)


def _count_safetensors(folder: Path) -> int | None:
    """Elements of all tensors, from the files' headers; None when the weights are not here."""
    files = sorted(folder.glob("*.safetensors"))
    return sum(_count_one(file) for file in files) if files else None


def _count_one(file: Path) -> int:
    """Format: https://huggingface.co/docs/safetensors, an 8-byte length and a JSON header."""
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(length))
    except (OSError, struct.error, ValueError, MemoryError, OverflowError) as error:
        raise ModelError(f"{file} is not a safetensors file: {error}") from error
    return sum(prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")


def _from_gguf(path: Path) -> ModelShape:
    try:
        header = read_gguf_header(path)
        fields = header.metadata
        name = fields["general.architecture"]
        heads, hidden = fields[f"{name}.attention.head_count"], fields[f"{name}.embedding_length"]
        vocabulary = fields.get(f"{name}.vocab_size") or fields["tokenizer.ggml.tokens.length"]
        return ModelShape(
            n_params=header.n_params,
            layers=fields[f"{name}.block_count"],
            heads=heads,
            kv_heads=fields.get(f"{name}.attention.head_count_kv", heads),
            head_size=fields.get(f"{name}.attention.key_length", hidden // heads),
            hidden_size=hidden,
            vocabulary=vocabulary,
            context_length=fields[f"{name}.context_length"],
        )
    except (KeyError, ValueError, struct.error) as error:
        raise ModelError(f"{path} does not describe a language model: {error!r}") from error
