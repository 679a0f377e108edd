"""What a sampling experiment will cost, before it runs. Pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from engine.sampling.shape import ModelShape


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tokens and bytes of one experiment."""

    prompt_tokens: int  # computed when each tree node is computed once
    prompt_tokens_per_request: int  # computed when every sample is a request of its own
    output_tokens_max: int
    output_tokens_expected: int
    kv_bytes: int  # keys and values of a full batch
    weight_bytes: int
    fits: bool | None  # None when the memory is unknown
    seconds: float | None  # None when the speed is unknown

    @property
    def prompt_saving(self) -> float:
        """How many times fewer prompt tokens sharing computes."""
        return self.prompt_tokens_per_request / max(1, self.prompt_tokens)


def estimate(
    shape: ModelShape,
    *,
    problems: int,
    samples: int,
    root_tokens: int,
    prompt_tokens: int,
    max_tokens: int,
    batch: int = 64,
    mean_output_share: float = 0.6,
    memory_bytes: int | None = None,
    tokens_per_second: float | None = None,
) -> Estimate:
    """Cost of `samples` samples of each of `problems` problems.

    root_tokens: the few-shot prefix all share; prompt_tokens: mean length of a problem's own prompt.
    batch: samples drawn at once. mean_output_share: expected length over max_tokens; 0.6 is a guess until an
    experiment has measured it. memory_bytes: of the device. tokens_per_second: measured speed of drawing;
    prompts are charged at a tenth of a drawn token, since they are computed many at a time.
    """
    drawn = problems * samples
    shared = root_tokens + problems * prompt_tokens
    expected = round(drawn * max_tokens * mean_output_share)
    running = min(batch, drawn)
    open_problems = min(problems, -(-running // max(1, samples)))
    kv_tokens = root_tokens + open_problems * prompt_tokens + running * max_tokens
    kv_bytes = kv_tokens * shape.kv_bytes_per_token
    return Estimate(
        prompt_tokens=shared,
        prompt_tokens_per_request=drawn * (root_tokens + prompt_tokens),
        output_tokens_max=drawn * max_tokens,
        output_tokens_expected=expected,
        kv_bytes=kv_bytes,
        weight_bytes=shape.weight_bytes,
        fits=None if memory_bytes is None else kv_bytes + shape.weight_bytes <= memory_bytes,
        seconds=None if not tokens_per_second else (expected + shared / 10) / tokens_per_second,
    )
