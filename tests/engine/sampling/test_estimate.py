"""The estimate against sums done by hand, and the batch that fits against the engine's own scheduler."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from engine.sampling import ModelShape, Request, estimate, fit
from engine.sampling.memory import BATCH_CPU, BATCH_GPU, kv_tokens_in
from engine.sampling.scheduler import Limits, Scheduler

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
    assert fit(SHAPE, memory_bytes=10**9, **args | {"samples": 100}).batch == BATCH_CPU
    assert fit(SHAPE, memory_bytes=10**9, **args | {"samples": 100, "on_gpu": True}).batch == BATCH_GPU


@given(
    memory=st.integers(0, 600_000),
    problems=st.integers(1, 5),
    samples=st.integers(1, 9),
    root=st.integers(0, 60),
    prompt=st.integers(1, 30),
    tokens=st.integers(1, 40),
)
def test_the_scheduler_admits_what_was_estimated(
    memory: int, problems: int, samples: int, root: int, prompt: int, tokens: int
) -> None:
    told = fit(
        SHAPE,
        memory_bytes=memory,
        on_gpu=True,
        problems=problems,
        samples=samples,
        root_tokens=root,
        prompt_tokens=prompt,
        max_tokens=tokens,
    )
    budget = kv_tokens_in(memory - SHAPE.weight_bytes, KV_BYTES, on_gpu=True)
    limits = Limits(BATCH_GPU, budget, root, prompt, tokens)
    if told.batch == 0:
        assert root + prompt + tokens > budget
        return
    requests = [Request(i, (1,) * prompt, tuple(range(samples))) for i in range(problems)]
    scheduler = Scheduler(requests, limits)
    admitted = len(scheduler.admit())
    # The scheduler's slots for problems are as many as fit when each has one sample, which can be fewer.
    assert admitted <= told.batch
    if limits.nodes >= problems:
        assert (admitted, scheduler.reserved_tokens) == (told.batch, told.kv_tokens)


def test_an_estimate_needs_no_torch() -> None:
    code = "import sys, engine.sampling; engine.sampling.fit; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
