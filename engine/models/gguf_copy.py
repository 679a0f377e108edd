"""Unpacks a GGUF file once into a dense safetensors folder."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import gguf
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

from engine.models.sources import ModelError


def dense_copy(path: Path, cache_dir: Path) -> Path:
    """Folder with a dense bf16 copy of the GGUF file at `path`, made in `cache_dir` on first use.

    Quantised weights would be unpacked again in every matrix product, over ten times slower. The copy is written
    beside its place and renamed into it, so that a half-written one is never seen and processes that race leave
    one complete folder.
    """
    stat = path.stat()
    identity = f"{path.resolve()}:{stat.st_size}:{stat.st_mtime_ns}"
    place = cache_dir / f"{path.stem}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    if place.is_dir():
        return place
    cache_dir.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.stem}-", dir=cache_dir))
    try:
        _write(path, scratch)
        scratch.rename(place)
    except OSError:
        if not place.is_dir():  # no race was lost: a full disk, say
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return place


def _write(path: Path, folder: Path) -> None:
    with _read_once():
        _convert(path, folder)


def _convert(path: Path, folder: Path) -> None:
    # Not AutoModelForCausalLM.from_pretrained(gguf_file=...): it asks for accelerate, which a dense load never uses.
    config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name, trust_remote_code=False)
    with torch.device("meta"):  # every weight comes from the file: drawing random ones first would take longer
        module: Any = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            config, dtype=torch.bfloat16, trust_remote_code=False
        )
    state = load_gguf_checkpoint(  # type: ignore[no-untyped-call]
        str(path), return_tensors=True, model_to_load=module, torch_dtype=torch.bfloat16
    )
    missing, unexpected = module.load_state_dict(state["tensors"], strict=False, assign=True)
    lost = [name for name in missing if not (name == "lm_head.weight" and config.tie_word_embeddings)]
    if lost or unexpected:
        raise ModelError(f"{path} does not hold a complete {config.model_type} model: {[*lost, *unexpected][:5]}")
    module.tie_weights()
    module.save_pretrained(folder, safe_serialization=True)
    AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, trust_remote_code=False).save_pretrained(folder)


@contextmanager
def _read_once() -> Iterator[None]:
    """Have transformers read the file's header once, not for config, weights and tokenizer each, and make gguf's table
    of names once, not for every module of the model: most of the time it takes otherwise."""
    reader, name_map = gguf.GGUFReader, gguf.get_tensor_name_map
    gguf.GGUFReader, gguf.get_tensor_name_map = cache(reader), cache(name_map)  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        gguf.GGUFReader, gguf.get_tensor_name_map = reader, name_map  # type: ignore[misc]
