"""Drawn tokens follow the softmax, and noise belongs to the sample, not to its batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from transformers.generation.logits_process import MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from engine.sampling import SamplingParams
from engine.sampling.sampler import Sampler, sample_key

DRAWS = 20_000
CPU = torch.device("cpu")


def sampler(vocabulary: int, params: SamplingParams) -> Sampler:
    made = Sampler(vocabulary, CPU)
    made.use(params)
    return made


def draw(logits: torch.Tensor, params: SamplingParams, *, rows: int = DRAWS, position: int = 3) -> torch.Tensor:
    keys = torch.tensor([sample_key(params.seed, 0, index) for index in range(rows)])
    batch = logits.expand(rows, -1)
    return sampler(len(logits), params).draw(batch, keys, torch.full((rows,), position))[0]


def expected_probabilities(logits: torch.Tensor, params: SamplingParams) -> np.ndarray:
    """transformers' own warpers, in its order."""
    scores = logits[None] / params.temperature
    if params.top_k:
        scores = TopKLogitsWarper(params.top_k)(None, scores)
    if params.top_p < 1:
        scores = TopPLogitsWarper(params.top_p)(None, scores)
    if params.min_p:
        scores = MinPLogitsWarper(params.min_p)(None, scores)
    return scores[0].double().softmax(-1).numpy()


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(temperature=1.0),
        SamplingParams(temperature=0.6, seed=1),
        SamplingParams(temperature=1.7, top_k=5),
        SamplingParams(temperature=1.3, top_p=0.8),
        SamplingParams(temperature=1.5, top_p=0.7, top_k=9),
        SamplingParams(temperature=0.9, min_p=0.05),
        SamplingParams(temperature=1.2, top_p=0.9, top_k=15, min_p=0.1),
    ],
)
@pytest.mark.parametrize("vocabulary", [24, 600])
def test_frequencies_follow_the_softmax(params: SamplingParams, vocabulary: int) -> None:
    logits = torch.randn(vocabulary, generator=torch.Generator().manual_seed(vocabulary)) * 1.5
    probabilities = expected_probabilities(logits, params)
    counts = np.bincount(draw(logits, params).numpy(), minlength=vocabulary)
    assert counts[probabilities == 0].sum() == 0
    # Chi-square needs five expected draws in a cell: rare tokens share one.
    common = probabilities * DRAWS >= 5
    observed, expected = counts[common], probabilities[common] * DRAWS
    if (~common).any() and (rest := probabilities[~common].sum() * DRAWS) > 1:
        observed, expected = np.append(observed, counts[~common].sum()), np.append(expected, rest)
    expected *= observed.sum() / expected.sum()
    assert stats.chisquare(observed, expected).pvalue > 1e-4


def test_keys_differ_and_fit_a_signed_64_bit_integer() -> None:
    keys = {sample_key(seed, problem, index) for seed in range(12) for problem in range(12) for index in range(12)}
    assert len(keys) == 12**3
    assert all(-(2**63) <= key < 2**63 for key in keys)
    assert sample_key(1, 0, 1) != sample_key(2, 0, 0)


def test_key_is_pinned() -> None:
    """Stored experiments are resumed with these keys: they must never change."""
    assert sample_key(0, 0, 0) == 2558736989570252433
    assert sample_key(7, 3, 11) == 8055240834621979715


def test_filters_do_not_move_noise_between_tokens() -> None:
    """Noise goes by vocabulary id: where the unfiltered winner is kept, it wins with filters too (sglang#35697)."""
    logits = torch.randn(500, generator=torch.Generator().manual_seed(1)) * 2
    free = draw(logits, SamplingParams(temperature=1.0), rows=500)
    filtered = draw(logits, SamplingParams(temperature=1.0, top_k=40), rows=500)
    kept = torch.isin(free, logits.topk(40).indices)
    assert kept.any() and not kept.all()
    assert (free[kept] == filtered[kept]).all()


def test_rows_do_not_depend_on_each_other() -> None:
    logits = torch.randn(9, 300, generator=torch.Generator().manual_seed(2))
    keys = torch.arange(9) * 977
    positions = torch.arange(9)
    for params in (SamplingParams(), SamplingParams(top_p=0.9), SamplingParams(top_k=3), SamplingParams(min_p=0.1)):
        drawing = sampler(300, params)
        tokens, logprobs, certainties = drawing.draw(logits, keys, positions)
        for row in range(9):
            one = slice(row, row + 1)
            alone, logprob, certainty = drawing.draw(logits[one], keys[one], positions[one])
            assert alone == tokens[row]
            torch.testing.assert_close(logprob[0], logprobs[row])
            torch.testing.assert_close(certainty[0], certainties[row])


@pytest.mark.parametrize("params", [SamplingParams(temperature=0), SamplingParams(temperature=0.5, top_k=2)])
def test_logprob_and_self_certainty_are_raw(params: SamplingParams) -> None:
    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(3))
    tokens, logprobs, certainties = sampler(50, params).draw(logits, torch.arange(3), torch.zeros(3).long())
    torch.testing.assert_close(logprobs, logits.log_softmax(-1).gather(1, tokens[:, None])[:, 0])
    torch.testing.assert_close(certainties, -(50 * logits.softmax(-1)).log().mean(-1))  # Kang et al. 2025


def test_temperature_zero_takes_the_most_likely() -> None:
    logits = torch.randn(40, generator=torch.Generator().manual_seed(4))
    assert set(draw(logits, SamplingParams(temperature=0), rows=20).tolist()) == {int(logits.argmax())}
