"""`draw` on a GPU against float64, the torch version and the softmax; needs torch, triton, numpy and scipy only."""

from __future__ import annotations

import pytest
import torch

from kernels.sampling import draw
from tests.kernels.sampling import checks
from tests.kernels.sampling.checks import ALL_SETTINGS, Case, Settings
from tests.kernels.sampling.noise_kernel import check_noise

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
DTYPES = [torch.bfloat16, torch.float16, torch.float32]
MIXED = Settings(temperature=0.7, top_p=0.95, top_k=40, min_p=0.01)


def test_noise() -> None:
    check_noise("cuda", 200, 128_256)


@pytest.mark.parametrize("chosen", ALL_SETTINGS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_exact(chosen: Settings, dtype: torch.dtype) -> None:
    checks.check_exact(draw, Case(64, 49_152, dtype=dtype, device="cuda", padding=64), chosen)


@pytest.mark.parametrize("chosen", ALL_SETTINGS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_same_tokens_as_the_torch_version_on_a_cpu(chosen: Settings, dtype: torch.dtype) -> None:
    checks.check_equals_reference(draw, Case(256, 4000, dtype=dtype, device="cuda"), chosen)


@pytest.mark.parametrize("chosen", [Settings(), Settings(min_p=0.05), MIXED], ids=str)
@pytest.mark.parametrize(
    ("rows", "vocabulary"), [(1, 262_144), (8192, 32_000), (5, 50_257), (1, 1), (3, 2), (70_000, 300)]
)
def test_exact_at_the_ends_of_the_range(chosen: Settings, rows: int, vocabulary: int) -> None:
    checks.check_exact(draw, Case(rows, vocabulary, dtype=torch.bfloat16, device="cuda"), chosen)


@pytest.mark.parametrize("dtype", DTYPES)
def test_greedy(dtype: torch.dtype) -> None:
    # Few bf16 values are distinct among so many: the tie goes to the smaller id.
    checks.check_greedy(draw, Case(100, 128_256, dtype=dtype, device="cuda"))


@pytest.mark.parametrize("chosen", [Settings(), Settings(min_p=0.05), MIXED], ids=str)
@pytest.mark.parametrize("rows", [16, 2048])
def test_alone_and_in_a_crowd(chosen: Settings, rows: int) -> None:
    checks.check_alone_and_in_a_crowd(draw, Case(rows, 32_000, dtype=torch.bfloat16, device="cuda"), chosen)


def test_masked_rows() -> None:
    checks.check_masked_rows(draw, Case(40, 20_000, device="cuda"))


def test_broken_rows_end() -> None:
    checks.check_broken_rows_end(draw, Case(40, 20_000, device="cuda"))


@pytest.mark.parametrize("dtype", DTYPES)
def test_ties(dtype: torch.dtype) -> None:
    checks.check_ties(draw, Case(40, 20_000, dtype=dtype, device="cuda"))


@pytest.mark.parametrize("chosen", ALL_SETTINGS, ids=str)
@pytest.mark.parametrize("vocabulary", [24, 600, 5000])
def test_frequencies_follow_the_softmax(chosen: Settings, vocabulary: int) -> None:
    checks.check_frequencies(draw, chosen, "cuda", torch.bfloat16, 100_000, vocabulary)


def test_changed_settings_take_effect_in_a_captured_graph() -> None:
    case = Case(32, 32_000, dtype=torch.bfloat16, device="cuda")
    settings = MIXED.tensor("cuda")
    arguments = (case.logits, case.keys, case.positions, settings)
    flags = {"filtered": True, "greedy": False, "token_words": case.words}
    draw(*arguments, **flags)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        drawn = draw(*arguments, **flags)
    for each in (MIXED, Settings(temperature=1.3, top_p=0.6), Settings(top_k=1), Settings()):
        settings.copy_(each.tensor("cuda"))
        case.positions += 1
        graph.replay()
        for ours, theirs in zip(drawn, draw(*arguments, **flags), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
