"""Loads a model's weights and tokenizer, from safetensors or GGUF only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PretrainedConfig

from engine.models.attention import ATTENTION_NAME, check_supported
from engine.models.gguf_copy import dense_copy
from engine.models.packed import pack_linears
from engine.models.parallel import Group
from engine.models.shape import ModelShape, model_shape
from engine.models.sources import ModelError, find_model


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded model, ready for the engine."""

    source: str
    module: torch.nn.Module
    tokenizer: Any  # transformers' fast tokenizer
    config: PretrainedConfig
    shape: ModelShape
    eos_ids: frozenset[int]

    @property
    def device(self) -> torch.device:
        return next(self.module.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.module.parameters()).dtype


def load_model(
    source: str,
    *,
    cache_dir: Path,
    device: str | None = None,
    dtype: torch.dtype | None = None,
    group: Group | None = None,
) -> Model:
    """Load `source` (see `find_model`) for sampling; raises ModelError when it must not or cannot be used.

    device: a torch device, by default the GPU when there is one. dtype: bf16 where the device multiplies in
    bf16, else fp32. group: processes that share the model, each of which keeps its part. A GGUF file is
    unpacked once into `cache_dir`, about 2 bytes per parameter; any number of processes may do so at once.
    """
    files = find_model(source)
    folder = dense_copy(files.path, cache_dir) if files.is_gguf else files.path
    target = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    try:
        check_supported(config)
    except ValueError as error:
        raise ModelError(f"{source}: {error}") from error
    module: Any = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=dtype or _default_dtype(target),
        attn_implementation=ATTENTION_NAME,
        use_safetensors=True,
        trust_remote_code=False,
    )
    if group is not None:
        group.split(module)
    module.to(target).eval().requires_grad_(False)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if not tokenizer.is_fast:
        raise ModelError(f"{source} has no fast tokenizer (tokenizer.json), which the engine needs")
    shape = model_shape(str(files.path))
    # The rows of the embedding decide which ids can be drawn; a GGUF header may round them differently.
    shape = replace(shape, vocabulary=module.get_output_embeddings().weight.shape[0])
    pack_linears(module)
    return Model(source, module, tokenizer, config, shape, _eos_ids(module, tokenizer))


def _default_dtype(device: torch.device) -> torch.dtype:
    if device.type == "cpu" and not torch.cpu._is_avx512_bf16_supported():
        return torch.float32  # emulated bf16 is several times slower
    return torch.bfloat16


def _eos_ids(module: Any, tokenizer: Any) -> frozenset[int]:
    """All ids that end a text: chat models often list more than the tokenizer's one."""
    listed = module.generation_config.eos_token_id
    ids = {tokenizer.eos_token_id, *(listed if isinstance(listed, list) else [listed])}
    return frozenset(ids - {None})
