"""The Triton `draw` on a CPU, by the interpreter: run through test_interpreted.py."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from kernels.sampling import launch, noise
from tests.kernels.sampling import checks
from tests.kernels.sampling.checks import ALL_SETTINGS, Case, Settings
from tests.kernels.sampling.noise_kernel import check_noise

# Several chunks a row and several tiles a chunk, with tiles small enough for the interpreter.
draw = partial(launch.draw, blocks=launch.Blocks(tile=256, chunks=(512,), row_tile=512))


def test_noise() -> None:
    check_noise("cpu", 5, 3000)


@pytest.mark.parametrize("chosen", ALL_SETTINGS, ids=str)
def test_exact_and_equal_to_torch(chosen: Settings) -> None:
    dtype = torch.float16 if chosen.top_k else torch.float32
    case = Case(4, 1300, dtype=dtype, padding=7)
    checks.check_exact(draw, case, chosen)
    checks.check_equals_reference(draw, case, chosen)


def test_greedy() -> None:
    checks.check_greedy(draw, Case(4, 1300))


@pytest.mark.parametrize("chosen", [Settings(), Settings(top_p=0.9, top_k=30), Settings(min_p=0.2)], ids=str)
def test_alone_and_in_a_crowd(chosen: Settings) -> None:
    checks.check_alone_and_in_a_crowd(draw, Case(4, 1300), chosen)


def test_masked_rows() -> None:
    checks.check_masked_rows(draw, Case(3, 700))


def test_broken_rows_end() -> None:
    checks.check_broken_rows_end(draw, Case(3, 700))


def test_ties() -> None:
    checks.check_ties(draw, Case(3, 700))


def test_self_certainty_of_alike_and_of_one_token() -> None:
    """0 for the uniform distribution, whatever its level and V; one token is uniform too."""
    for vocabulary in (1, 2, 700):
        case = Case(2, vocabulary)
        case.logits[:] = torch.tensor([[-30.0], [55.0]])
        for greedy in (False, True):
            torch.testing.assert_close(case.run(draw, Settings(), greedy=greedy)[2], torch.zeros(2), atol=2e-5, rtol=0)


def test_no_rows() -> None:
    tokens, logprobs, certainties = draw(
        torch.empty(0, 50),
        torch.empty(0, dtype=torch.int64),
        torch.empty(0, dtype=torch.int32),
        Settings().tensor("cpu"),
        filtered=False,
        greedy=False,
        token_words=noise.scramble_ids(torch.arange(50)),
    )
    assert tokens.shape == logprobs.shape == certainties.shape == (0,)
