"""The torch versions against transformers' own modules."""

from __future__ import annotations

import pytest
import torch
from transformers.activations import ACT2FN
from transformers.models.gemma3.modeling_gemma3 import Gemma3RMSNorm
from transformers.models.llama.modeling_llama import LlamaConfig, LlamaRMSNorm, LlamaRotaryEmbedding
from transformers.models.phi3.modeling_phi3 import apply_rotary_pos_emb
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

from kernels.fused import gated_activation, rms_norm, rope_append
from tests.kernels.fused.checks import Maker, check_activation, check_rms_norm, check_rope_append

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
NORMS = [(LlamaRMSNorm, 0.0), (Qwen3RMSNorm, 0.0), (Gemma3RMSNorm, 1.0)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("theirs", "offset"), NORMS)
def test_norm_rounds_as_transformers_does(theirs: type[torch.nn.Module], offset: float, dtype: torch.dtype) -> None:
    make = Maker("cpu", dtype)
    x, residual, weight = make(5, 96), make(5, 96), make(96)
    module = theirs(96, eps=1e-5).to(dtype)
    module.weight.data = weight
    y = rms_norm(x, weight, 1e-5, offset=offset)
    torch.testing.assert_close(y, module(x), rtol=0, atol=0)
    y, total = rms_norm(x, weight, 1e-5, residual=residual, offset=offset)
    torch.testing.assert_close(total, x + residual, rtol=0, atol=0)
    torch.testing.assert_close(y, module(x + residual), rtol=0, atol=0)


@pytest.mark.parametrize(("theirs", "offset"), NORMS[1:])
@pytest.mark.parametrize("rotary", [32, 16])
def test_rope_append_is_transformers_rotation_after_its_norms(
    theirs: type[torch.nn.Module], offset: float, rotary: int
) -> None:
    make = Maker("cpu", torch.float32)
    rows, heads, kv_heads, size, page = 6, 4, 2, 32, 16
    qkv = make(rows, (heads + 2 * kv_heads) * size)
    norms = [theirs(size, eps=1e-6), theirs(size, eps=1e-6)]
    for each in norms:
        each.weight.data = make(size)
    embedding = LlamaRotaryEmbedding(
        LlamaConfig(hidden_size=heads * rotary, num_attention_heads=heads, max_position_embeddings=64)
    )
    cos, sin = embedding(qkv, torch.arange(64)[None])
    positions = torch.tensor([0, 5, 63, 2, 2, 9], dtype=torch.int32)
    q, k, v = (
        part.transpose(0, 1)[None] for part in qkv.view(rows, -1, size).split([heads, kv_heads, kv_heads], dim=1)
    )
    q, k = apply_rotary_pos_emb(norms[0](q), norms[1](k), cos[:, positions], sin[:, positions])
    keys, values = torch.zeros(3, kv_heads, page, size), torch.zeros(3, kv_heads, page, size)
    slots = torch.tensor([16, 47, 20, 18, 19, 31])
    weights = {"q_norm": norms[0].weight, "k_norm": norms[1].weight}
    with torch.no_grad():
        out = rope_append(
            qkv, cos[0], sin[0], positions, slots, keys, values, heads=heads, eps=1e-6, offset=offset, **weights
        )
    torch.testing.assert_close(out, q[0].transpose(0, 1))
    torch.testing.assert_close(keys[slots // page, :, slots % page], k[0].transpose(0, 1))
    torch.testing.assert_close(values[slots // page, :, slots % page], v[0].transpose(0, 1))


@pytest.mark.parametrize(("kind", "name"), [("silu", "silu"), ("gelu_tanh", "gelu_pytorch_tanh")])
def test_activation_is_transformers(kind: str, name: str) -> None:
    gate_up = Maker("cpu", torch.float32)(4, 2 * 33) * 3
    gate, up = gate_up.chunk(2, dim=-1)
    torch.testing.assert_close(gated_activation(gate_up, kind), ACT2FN[name](gate) * up)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", DTYPES)
def test_everything_against_float64(dtype: torch.dtype) -> None:
    make = Maker("cpu", dtype)
    check_rms_norm(rms_norm, make, 4, 100, 1.0)
    check_activation(gated_activation, make, 4, 100, "gelu_tanh")
    shape = {"rows": 9, "heads": 6, "kv_heads": 2, "size": 24}
    check_rope_append(rope_append, make, rotary=16, norm=True, offset=1.0, **shape)
    check_rope_append(rope_append, make, rotary=24, **shape)
