"""The engine on a GPU: CUDA graphs, paged keys and values, and the Triton kernels, against transformers and the CPU.

Needs torch, triton, transformers and a CUDA device, nothing else of the project's dependencies.
"""

from __future__ import annotations

import copy
import dataclasses
from functools import cache
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from engine.models import Model
from engine.models.attention import ATTENTION_NAME
from engine.models.shape import shape_from_config
from engine.sampling import Engine, Request, Sample, SamplingParams, StepStats
from engine.sampling.paged import PagedRunner
from tests.tiny_model import build_tokenizer

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

SIZES: dict[str, Any] = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "max_position_embeddings": 2048,
    "vocab_size": 1024,
    "tie_word_embeddings": True,
    "initializer_range": 0.06,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": 48},
    "qwen2": {},
    "qwen3": {},
    "gemma": {"num_key_value_heads": 1},
    "gemma2": {"query_pre_attn_scalar": 64, "sliding_window": 48, "attn_logit_softcapping": 5.0},
    "gemma3_text": {
        "query_pre_attn_scalar": 64,
        "sliding_window": 48,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    },
}
ROOT = tuple(range(20, 170))


@cache
def weights(family: str) -> Any:
    """A transformers model of random weights that bf16 holds exactly, fp32, on the CPU."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, bos_token_id=0, eos_token_id=1, pad_token_id=1, **SIZES | FAMILIES[family])
    module: Any = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager").eval()
    for parameter in module.parameters():
        parameter.data = parameter.data.bfloat16().float()
    return module


@cache
def model(family: str, device: str, dtype: torch.dtype) -> Model:
    module: Any = AutoModelForCausalLM.from_config(
        copy.deepcopy(weights(family).config), dtype=dtype, attn_implementation=ATTENTION_NAME
    )
    module.load_state_dict(weights(family).state_dict())
    module.to(device=device, dtype=dtype).eval().requires_grad_(False)
    shape = shape_from_config(weights(family).config.to_dict())
    return Model(family, module, build_tokenizer(), module.config, shape, frozenset())


def engine(gpu: Model, **options: Any) -> Engine:
    """With a small budget: a test may hold several."""
    return Engine(gpu, **{"kv_budget_tokens": 40_000, "max_batch": 64} | options)


def requests(*counts: int) -> list[Request]:
    return [Request(p, tuple(range(200 + p, 210 + p + 37 * p)), tuple(range(n))) for p, n in enumerate(counts)]


def draw(drawer: Engine, asked: list[Request], params: SamplingParams, **options: Any) -> dict[tuple[int, int], Sample]:
    samples = list(drawer.generate(ROOT, asked, params, **options))
    found = {(sample.problem, sample.index): sample for sample in samples}
    assert len(found) == len(samples) == sum(len(request.indices) for request in asked)
    return found


def forced_logprobs(family: str, path: tuple[int, ...], tokens: tuple[int, ...]) -> torch.Tensor:
    """transformers' fp32 log-probabilities of `tokens` after `path`."""
    reference = weights(family).to("cuda")
    with torch.inference_mode():
        logits = reference(torch.tensor([[*path, *tokens]], device="cuda")).logits[0, len(path) - 1 : -1]
    return logits.float().log_softmax(-1).gather(1, torch.tensor(tokens, device="cuda")[:, None])[:, 0]


@pytest.mark.parametrize("family", FAMILIES)
def test_logprobs_in_bf16_are_those_of_transformers_in_fp32(family: str) -> None:
    asked = requests(5, 1, 3)
    samples = draw(engine(model(family, "cuda", torch.bfloat16), max_batch=16), asked, SamplingParams(max_tokens=100))
    for (problem, _), sample in samples.items():
        expected = forced_logprobs(family, (*ROOT, *asked[problem].prompt), sample.token_ids)
        assert abs(sample.logprob - float(expected.sum())) / sample.tokens < 2e-2


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_in_fp32_equals_transformers(family: str) -> None:
    asked = requests(1, 1)
    samples = draw(engine(model(family, "cuda", torch.float32)), asked, SamplingParams(temperature=0, max_tokens=40))
    for (problem, _), sample in samples.items():
        path = (*ROOT, *asked[problem].prompt)
        with torch.inference_mode():
            logits = weights(family).to("cuda")(torch.tensor([[*path, *sample.token_ids]], device="cuda")).logits[0]
        assert tuple(logits[len(path) - 1 : -1].argmax(-1).tolist()) == sample.token_ids


@pytest.mark.parametrize("params", [SamplingParams(max_tokens=90), SamplingParams(max_tokens=30, top_p=0.9, top_k=50)])
def test_gpu_and_cpu_draw_the_same_tokens_in_fp32(params: SamplingParams) -> None:
    asked = requests(6, 1, 5)
    wanted = draw(engine(model("llama", "cpu", torch.float32)), asked, params)
    got = draw(engine(model("llama", "cuda", torch.float32)), asked, params)
    assert {key: sample.token_ids for key, sample in got.items()} == {
        key: sample.token_ids for key, sample in wanted.items()
    }


def test_rows_pages_and_a_tight_budget_change_nothing() -> None:
    """More samples than rows; a budget that makes samples be dropped and drawn again; alone and in a crowd."""
    asked, params = requests(30, 3, 25), SamplingParams(max_tokens=150)
    gpu = dataclasses.replace(model("llama", "cuda", torch.float32), eos_ids=frozenset(range(1000, 1010)))
    wanted = draw(engine(gpu, max_batch=64), asked, params)
    assert len({sample.tokens for sample in wanted.values()}) > 5
    steps: list[StepStats] = []
    for other in (engine(gpu, max_batch=7), engine(gpu, max_batch=32, kv_budget_tokens=1600)):
        got = draw(other, asked, params, on_step=steps.append)
        assert {k: s.token_ids for k, s in got.items()} == {k: s.token_ids for k, s in wanted.items()}
    assert sum(step.new_tokens for step in steps) >= 2 * sum(sample.tokens for sample in wanted.values())
    [alone] = draw(engine(gpu), [dataclasses.replace(asked[2], indices=(7,))], params).values()
    assert alone.token_ids == wanted[2, 7].token_ids


def test_many_problems_of_one_sample_each() -> None:
    """A prompt that nobody shares is part of its sample's suffix: over pages, and moved between rows."""
    gpu, params = model("llama", "cuda", torch.float32), SamplingParams(max_tokens=80)
    shared = [Request(p, tuple(range(200, 203 + 9 * p)), (0, 1)) for p in range(30)]
    lone = [dataclasses.replace(request, indices=(0,)) for request in shared]
    wanted = draw(engine(gpu), shared, params)
    for other in (engine(gpu, max_batch=7), engine(gpu)):
        got = draw(other, lone, params)
        assert all(sample.token_ids == wanted[key].token_ids for key, sample in got.items())


def test_an_engine_serves_call_after_call() -> None:
    """Graphs and pools are kept: other parameters, trees and lengths must not meet old ones."""
    gpu = model("llama", "cuda", torch.float32)
    kept = engine(gpu, max_batch=16)
    for asked, params in [
        (requests(9), SamplingParams(max_tokens=20)),
        (requests(3, 4, 5, 6), SamplingParams(max_tokens=70, temperature=0.5, seed=3)),
        (requests(20), SamplingParams(max_tokens=20, temperature=0)),
        (requests(9), SamplingParams(max_tokens=300, seed=8)),
    ]:
        assert isinstance(kept._runner, PagedRunner)
        got, wanted = draw(kept, asked, params), draw(engine(gpu, max_batch=16), asked, params)
        assert {k: s.token_ids for k, s in got.items()} == {k: s.token_ids for k, s in wanted.items()}
    calls = iter(range(100))
    list(kept.generate(ROOT, requests(9), SamplingParams(max_tokens=90), cancelled=lambda: next(calls) > 20))
    again = draw(kept, requests(9), SamplingParams(max_tokens=20))
    assert {k: s.token_ids for k, s in again.items()} == {
        k: s.token_ids for k, s in draw(engine(gpu), requests(9), SamplingParams(max_tokens=20)).items()
    }
