"""The estimate against sums done by hand, and the batch that fits against trying every one."""

from __future__ import annotations

import math
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from engine.cost import estimate, fit
from engine.models import ModelShape
from engine.sampling.memory import BATCH_CPU, BATCH_GPU, kv_tokens_in

SHAPE = ModelShape(
    n_params=1000, layers=2, heads=4, kv_heads=2, head_size=8, hidden_size=32, vocabulary=100, context_length=512
)
KV_BYTES = 2 * 2 * 2 * 8 * 2  # of a token: keys and values, 2 layers, 2 heads of 8 numbers of 2 bytes


def test_tokens() -> None:
    got = estimate(SHAPE, problems=3, samples=10, root_tokens=100, prompt_tokens=20, max_tokens=50)
    assert got.prompt_tokens == 100 + 3 * 20
    assert got.prompt_tokens_per_request == 30 * 120
    assert got.prompt_saving == 3600 / 160
    assert got.output_tokens_max == 1500
    assert got.weight_bytes == 2000
    assert got.seconds is None


def test_time() -> None:
    args = {"problems": 1, "samples": 4, "root_tokens": 0, "prompt_tokens": 10, "max_tokens": 100}
    assert estimate(SHAPE, **args, mean_output_share=0.5, tokens_per_second=10.0).seconds == (200 + 1) / 10


def test_a_batch_by_hand() -> None:
    # Room for 100 + 2 * 20 + 15 * 50 tokens in the half of the memory that the engine takes, and one byte less.
    need = 2 * KV_BYTES * (100 + 2 * 20 + 15 * 50) + SHAPE.weight_bytes
    args = {"on_gpu": False, "problems": 3, "samples": 10, "root_tokens": 100, "prompt_tokens": 20, "max_tokens": 50}
    got = fit(SHAPE, memory_bytes=need, **args)
    assert (got.batch, got.kv_tokens, got.kv_budget) == (15, 890, 890)
    assert got.bytes == 2000 + 890 * KV_BYTES
    assert fit(SHAPE, memory_bytes=need - 2, **args).batch == 14
    assert fit(SHAPE, memory_bytes=1000, **args).batch == 0  # not even the weights
    assert fit(SHAPE, memory_bytes=10**9, **args).batch == 30
    assert fit(SHAPE, memory_bytes=10**9, **args | {"samples": 1000}).batch == BATCH_CPU
    assert fit(SHAPE, memory_bytes=10**11, **args | {"samples": 1000, "on_gpu": True}).batch == BATCH_GPU


@given(
    memory=st.integers(0, 600_000),
    problems=st.integers(1, 5),
    samples=st.integers(1, 9),
    root=st.integers(0, 60),
    prompt=st.integers(0, 30),
    tokens=st.integers(1, 40),
)
def test_a_batch_by_trying_each(memory: int, problems: int, samples: int, root: int, prompt: int, tokens: int) -> None:
    told = fit(
        SHAPE,
        memory_bytes=memory,
        on_gpu=False,
        problems=problems,
        samples=samples,
        root_tokens=root,
        prompt_tokens=prompt,
        max_tokens=tokens,
    )
    budget = kv_tokens_in(memory - SHAPE.weight_bytes, SHAPE, on_gpu=False)
    held = {n: root + math.ceil(n / samples) * prompt + n * tokens for n in range(1, problems * samples + 1)}
    assert told.kv_budget == budget
    assert told.batch == max((n for n, needed in held.items() if needed <= budget), default=0)
    if told.batch:
        assert told.kv_tokens == held[told.batch]


def test_an_estimate_needs_no_torch() -> None:
    code = "import sys, engine.cost; engine.cost.fit; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
