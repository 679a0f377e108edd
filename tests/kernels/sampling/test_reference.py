"""The torch `draw` against the float64 oracle, and the oracle against transformers' warpers."""

from __future__ import annotations

import pytest
import torch
from transformers.generation.logits_process import MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from kernels.sampling import draw
from tests.kernels.sampling import checks
from tests.kernels.sampling.checks import ALL_SETTINGS, Case, Settings


@pytest.mark.parametrize("chosen", ALL_SETTINGS, ids=str)
@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_the_oracle_keeps_what_transformers_keeps(chosen: Settings, scale: float) -> None:
    logits = Case(20, 500, scale=scale).logits.double()
    scores = logits / chosen.temperature
    if chosen.top_k:
        scores = TopKLogitsWarper(chosen.top_k)(None, scores)
    if chosen.top_p < 1:
        scores = TopPLogitsWarper(chosen.top_p)(None, scores)
    if chosen.min_p:
        scores = MinPLogitsWarper(chosen.min_p)(None, scores)
    assert torch.equal(checks.kept_tokens(logits, chosen), scores.isfinite())


def test_the_oracle_keeps_ties_at_the_edge_of_top_k_as_transformers_does() -> None:
    logits = torch.tensor([[1.0, 0.0, 1.0, 0.5, 0.5, 0.5, -1.0]])
    for top_k in range(1, 8):
        theirs = TopKLogitsWarper(top_k)(None, logits).isfinite()
        assert torch.equal(checks.kept_tokens(logits, Settings(top_k=top_k)), theirs)


@pytest.mark.parametrize("chosen", ALL_SETTINGS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_exact(chosen: Settings, dtype: torch.dtype) -> None:
    checks.check_exact(draw, Case(30, 3000, dtype=dtype, padding=5), chosen)


@pytest.mark.parametrize("chosen", ALL_SETTINGS, ids=str)
def test_frequencies_follow_the_softmax(chosen: Settings) -> None:
    checks.check_frequencies(draw, chosen, "cpu", torch.float32, 10_000, 400)


@pytest.mark.parametrize("chosen", [Settings(), Settings(top_p=0.9, top_k=30), Settings(min_p=0.2)], ids=str)
def test_alone_and_in_a_crowd(chosen: Settings) -> None:
    checks.check_alone_and_in_a_crowd(draw, Case(9, 1300), chosen)


def test_greedy_masked_rows_and_ties() -> None:
    checks.check_greedy(draw, Case(9, 1300))
    checks.check_masked_rows(draw, Case(9, 1300))
    checks.check_broken_rows_end(draw, Case(9, 1300))
    checks.check_ties(draw, Case(30, 1300))


def test_the_nucleus_may_be_wider_than_the_first_candidates() -> None:
    """Flat logits: thousands of tokens are kept, and still exactly those."""
    checks.check_exact(draw, Case(5, 20_000, scale=0.1), Settings(top_p=0.9))
