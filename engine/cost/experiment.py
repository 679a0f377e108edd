"""What a sampling experiment will cost, before it runs. Pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from engine.models.shape import ModelShape
from engine.sampling.memory import BATCH_CPU, BATCH_GPU, kv_tokens_in


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tokens and bytes of one experiment."""

    prompt_tokens: int  # computed when each tree node is computed once
    prompt_tokens_per_request: int  # computed when every sample is a request of its own
    output_tokens_max: int
    output_tokens_expected: int
    weight_bytes: int
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
    mean_output_share: float = 0.6,
    tokens_per_second: float | None = None,
) -> Estimate:
    """Cost of `samples` samples of each of `problems` problems.

    root_tokens: the few-shot prefix all share; prompt_tokens: mean length of a problem's own prompt.
    mean_output_share: expected length over max_tokens; 0.6 is a guess until an experiment has measured it.
    tokens_per_second: measured speed of drawing; prompts are charged at a tenth of a drawn token, since they are
    computed many at a time.
    """
    drawn = problems * samples
    shared = root_tokens + problems * prompt_tokens
    expected = round(drawn * max_tokens * mean_output_share)
    return Estimate(
        prompt_tokens=shared,
        prompt_tokens_per_request=drawn * (root_tokens + prompt_tokens),
        output_tokens_max=drawn * max_tokens,
        output_tokens_expected=expected,
        weight_bytes=shape.weight_bytes,
        seconds=None if not tokens_per_second else (expected + shared / 10) / tokens_per_second,
    )


@dataclass(frozen=True, slots=True)
class Fit:
    """What a device holds while it runs one generate()."""

    batch: int  # samples at once; 0 when not even one fits
    kv_tokens: int  # of that batch, when every sample takes all its tokens
    kv_budget: int  # tokens that fit beside the weights
    bytes: int  # weights and the batch's keys and values


def fit(
    shape: ModelShape,
    *,
    memory_bytes: int,
    on_gpu: bool,
    problems: int,
    samples: int,
    root_tokens: int,
    prompt_tokens: int,
    max_tokens: int,
) -> Fit:
    """The largest batch of `samples` samples of each of `problems` problems on a device that nobody else uses.

    The engine's own memory model: its share of what the weights leave free, and samples admitted problem by problem,
    each at the cost of all its tokens; answers that end earlier leave room for more. memory_bytes: of the device.
    """
    budget = kv_tokens_in(memory_bytes - shape.weight_bytes, shape, on_gpu=on_gpu)
    most = min(problems * samples, BATCH_GPU if on_gpu else BATCH_CPU)
    room = budget - root_tokens
    full = max(0, room // (prompt_tokens + samples * max_tokens))  # problems with all their samples
    room -= full * (prompt_tokens + samples * max_tokens)
    batch = min(most, full * samples + max(0, (room - prompt_tokens) // max_tokens))
    tokens = root_tokens + -(-batch // samples) * prompt_tokens + batch * max_tokens
    return Fit(batch, tokens, budget, shape.weight_bytes + tokens * shape.kv_bytes_per_token)
