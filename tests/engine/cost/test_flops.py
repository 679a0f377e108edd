from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.cost import LLAMA_3_8B, ModelSize, decode_flops, flops_per_token, prompt_flops, total_flops

SIZE = ModelSize(135e6, 30, 576)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 5))
def test_closed_forms_are_the_papers_sums(prompt: int, decode: int, completions: int) -> None:
    """The paper's two sums, token by token."""
    shared = sum(float(flops_per_token(SIZE, t)) for t in range(1, prompt + 1))
    own = sum(float(flops_per_token(SIZE, t + prompt)) for t in range(1, decode + 1))
    assert prompt_flops(SIZE, prompt) == pytest.approx(shared)
    assert decode_flops(SIZE, prompt, decode) == pytest.approx(own, abs=1)
    once = shared + own * completions if completions else 0
    assert total_flops(SIZE, prompt, decode, completions) == pytest.approx(once, abs=1)
    assert total_flops(SIZE, prompt, decode, completions, "each") == pytest.approx((shared + own) * completions, abs=1)


def test_a_token_costs_about_two_flops_a_parameter() -> None:
    assert flops_per_token(LLAMA_3_8B, 1) == pytest.approx(2 * 8.03e9, rel=1e-4)
    assert flops_per_token(LLAMA_3_8B, 1000) == pytest.approx(2 * (8.03e9 + 2 * 32 * 4096 * 1000))
