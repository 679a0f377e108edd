from __future__ import annotations

import pytest

from engine.cost import (
    LLAMA_3_8B,
    GpuPrice,
    TokenPrice,
    flops_cost,
    gpu_cost,
    seconds_cost,
    token_cost,
    token_dollars,
    total_flops,
)

PRICE = TokenPrice(3.0, 15.0, "2024-06-20", "test")


@pytest.mark.parametrize("prompt", ["once", "each"])
def test_fixed_and_per_sample_add_up_to_the_whole(prompt) -> None:
    """k samples on two problems, by the formulas for a whole problem."""
    lengths = [(900, 150), (1100, 250)]
    reads, writes = zip(*lengths, strict=True)
    for k in (1, 7):
        flops = flops_cost(LLAMA_3_8B, reads, writes, prompt)
        whole = sum(float(total_flops(LLAMA_3_8B, read, write, k, prompt)) for read, write in lengths)
        assert 2 * (flops.fixed + k * flops.per_sample) == pytest.approx(whole)
        dollars = token_cost(PRICE, reads, writes, prompt)
        whole = sum(float(token_dollars(PRICE, read, write, k, prompt)) for read, write in lengths)
        assert 2 * (dollars.fixed + k * dollars.per_sample) == pytest.approx(whole)


def test_gpu_seconds_by_the_hour() -> None:
    assert gpu_cost(36.0, GpuPrice(2.5, "2026-01-01", "test"), gpus=2).per_sample == pytest.approx(0.05)
    assert (seconds_cost(1.5).unit, seconds_cost(1.5).per_sample) == ("seconds", 1.5)
