"""Shared by the GPU benchmarks of the sampling engine: models of stated shapes, the floor of a step."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from benchmarks._machine import Machine
from engine.models import Model
from engine.models.attention import ATTENTION_NAME
from engine.models.parallel import Group
from engine.models.shape import ModelShape
from engine.sampling import Engine, Request, SamplingParams, StepStats

# Layers, width, MLP width, heads, KV heads, head size, vocabulary, whether embeddings are tied.
SHAPES = {
    "CodeLlama-13B": (40, 5120, 13824, 40, 40, 128, 32016, False),
    "Llama-3-8B": (32, 4096, 14336, 32, 8, 128, 128256, False),
    "Llama-3.2-1B": (16, 2048, 8192, 32, 8, 64, 128256, True),
}
CONTEXT = 32768


def random_model(name: str, *, context: int = CONTEXT, group: Group | None = None) -> Model:
    """A model of the shape with random bf16 weights, made on the GPU. It has no tokenizer: texts are empty."""
    depth, width, mlp, heads, kv_heads, head_size, vocabulary, tied = SHAPES[name]
    config = LlamaConfig(
        num_hidden_layers=depth,
        hidden_size=width,
        intermediate_size=mlp,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head_size,
        vocab_size=vocabulary,
        tie_word_embeddings=tied,
        max_position_embeddings=context,
        attention_bias=False,
        pad_token_id=0,
        eos_token_id=None,
    )
    torch.manual_seed(0)
    with torch.device("cuda"):
        module: Any = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation=ATTENTION_NAME)
    module.eval().requires_grad_(False)
    parameters = sum(parameter.numel() for parameter in module.parameters())
    (group or Group()).split(module)
    shape = ModelShape(parameters, depth, heads, kv_heads, head_size, width, vocabulary, context_length=context)
    return Model(name, module, _NoTokenizer(), config, shape, frozenset())


class _NoTokenizer:
    """Random weights write nothing worth reading, and peers are measured without detokenisation too."""

    backend_tokenizer = SimpleNamespace(decode=lambda tokens, skip_special_tokens=True: "")


def step_floor(
    shape: ModelShape, machine: Machine, *, rows: int, node_tokens: int, path_tokens: int, suffix: float
) -> float:
    """Least seconds of one decode step, stage after stage (docs/engine.md has the formula).

    node_tokens: of all nodes, each once; path_tokens: prefix tokens over all rows' paths; suffix: mean own tokens.
    """
    embedding = shape.vocabulary * shape.hidden_size
    # Embedding rows are looked up, not multiplied; a tied head is.
    dense = (
        shape.layers
        * (
            shape.hidden_size * shape.head_size * (2 * shape.heads + 2 * shape.kv_heads)
            + 3 * shape.hidden_size * _mlp(shape)
        )
        + embedding
    )
    kappa = shape.kv_bytes_per_token
    products = max(2 * dense / machine.bandwidth, 2 * dense * rows / machine.matrix_rate)
    flops = 4 * shape.layers * shape.heads * shape.head_size * path_tokens
    prefix = max(kappa * node_tokens / machine.bandwidth, flops / machine.matrix_rate)
    return products + prefix + (kappa * rows * suffix + 2 * rows * shape.vocabulary * 2) / machine.bandwidth


def _mlp(shape: ModelShape) -> int:
    return next(
        mlp
        for _, width, mlp, heads, _, _, vocabulary, _ in SHAPES.values()
        if (width, heads, vocabulary) == (shape.hidden_size, shape.heads, shape.vocabulary)
    )


@dataclass(frozen=True, slots=True)
class Timing:
    """One generate() call."""

    seconds: float  # from the call to the last sample
    tokens: int
    decode_rate: float  # tokens/s once every row has its first token
    batch: int  # most rows at once
    prefilled: int

    @property
    def rate(self) -> float:
        return self.tokens / self.seconds


def run_call(engine: Engine, root: Sequence[int], requests: Sequence[Request], params: SamplingParams) -> Timing:
    """Draw everything; texts and tokens are dropped as they come."""
    stamps: list[tuple[float, StepStats]] = []
    torch.cuda.synchronize()
    begin = time.perf_counter()
    tokens = 0
    for sample in engine.generate(root, requests, params, on_step=lambda s: stamps.append((time.perf_counter(), s))):
        tokens += sample.tokens
    end = time.perf_counter()
    drawing = [(at, stats) for at, stats in stamps if stats.new_tokens]
    # The first outputs come with the prompt's pass before them.
    after = drawing[1:] if len(drawing) > 1 else drawing
    since = drawing[0][0] if len(drawing) > 1 else begin
    return Timing(
        seconds=end - begin,
        tokens=tokens,
        decode_rate=sum(stats.new_tokens for _, stats in after) / (after[-1][0] - since),
        batch=max(stats.batch for _, stats in stamps),
        prefilled=sum(stats.prefill_tokens for _, stats in stamps),
    )


def prompt_tokens(count: int, seed: int, vocabulary: int) -> tuple[int, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randint(3, vocabulary, (count,), generator=generator).tolist())
