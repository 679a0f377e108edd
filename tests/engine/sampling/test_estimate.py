"""The estimate against sums done by hand."""

from __future__ import annotations

from engine.sampling import ModelShape, estimate

SHAPE = ModelShape(
    n_params=1000, layers=2, heads=4, kv_heads=2, head_size=8, hidden_size=32, vocabulary=100, context_length=512
)


def test_tokens_and_bytes() -> None:
    got = estimate(SHAPE, problems=3, samples=10, root_tokens=100, prompt_tokens=20, max_tokens=50, batch=15)
    assert got.prompt_tokens == 100 + 3 * 20
    assert got.prompt_tokens_per_request == 30 * 120
    assert got.prompt_saving == 3600 / 160
    assert got.output_tokens_max == 1500
    assert got.weight_bytes == 2000
    # A batch of 15 holds the root, two open problems and 15 samples; a token is 2 * 2 layers * 2 heads * 8 * 2 bytes.
    assert got.kv_bytes == (100 + 2 * 20 + 15 * 50) * 128
    assert (got.fits, got.seconds) == (None, None)


def test_memory_and_time() -> None:
    args = {"problems": 1, "samples": 4, "root_tokens": 0, "prompt_tokens": 10, "max_tokens": 100}
    need = (10 + 4 * 100) * 128 + 2000
    assert estimate(SHAPE, **args, memory_bytes=need).fits
    assert not estimate(SHAPE, **args, memory_bytes=need - 1).fits
    assert estimate(SHAPE, **args, mean_output_share=0.5, tokens_per_second=10.0).seconds == (200 + 1) / 10
