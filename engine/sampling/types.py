"""The words the sampling engine speaks: what is asked for, what comes back, what a step did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Finish = Literal["eos", "stop", "length"]
_MAX_SEED = 2**63


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How tokens are drawn. Temperature is applied first, then top_k, top_p and min_p, as in transformers."""

    temperature: float = 0.8  # 0 takes the most likely token
    top_p: float = 1.0  # keep the smallest set of tokens whose probability reaches this; 1 keeps all
    top_k: int = 0  # keep this many most likely tokens; 0 keeps all
    min_p: float = 0.0  # keep tokens at least this many times as likely as the most likely one; 0 keeps all
    max_tokens: int = 256  # per sample
    stop: tuple[str, ...] = ()  # a sample ends before the first of these strings
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.temperature <= 100.0:
            raise ValueError(f"temperature must lie in [0, 100], got {self.temperature}")
        if not 0.0 < self.top_p <= 1.0:
            raise ValueError(f"top_p must lie in (0, 1], got {self.top_p}")
        if self.top_k < 0:
            raise ValueError(f"top_k must be 0 (keep all) or more, got {self.top_k}")
        if not 0.0 <= self.min_p < 1.0:
            raise ValueError(f"min_p must lie in [0, 1), got {self.min_p}")
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, got {self.max_tokens}")
        if not isinstance(self.stop, tuple) or any(not text for text in self.stop):
            raise ValueError(f"stop must be a tuple of non-empty strings, got {self.stop!r}")
        if not 0 <= self.seed < _MAX_SEED:
            raise ValueError(f"seed must lie in [0, 2**63), got {self.seed}")


@dataclass(frozen=True, slots=True)
class Request:
    """Samples to draw for one problem."""

    problem: int  # index in the whole experiment: part of the random key
    prompt: tuple[int, ...]  # token ids after the root
    indices: tuple[int, ...]  # sample indices to draw, part of the random key

    def __post_init__(self) -> None:
        if self.problem < 0 or any(index < 0 for index in self.indices):
            raise ValueError(f"problem and sample indices must not be negative: {self.problem}, {self.indices}")
        if len(set(self.indices)) != len(self.indices):
            raise ValueError(f"problem {self.problem} asks for the same sample index twice")


@dataclass(frozen=True, slots=True)
class Sample:
    """One finished sample.

    `token_ids`, `logprob` and `self_certainty` cover every drawn token, the end token and the tokens of a stop string
    included; `text` ends before the stop string. `logprob` is the sum of raw log-probabilities in nats: at temperature
    1 and before the filters. `self_certainty` is the mean over the tokens of KL(uniform || p) in nats, just as raw;
    higher is surer (Kang et al. 2025, arXiv 2502.18581). It is infinite where the model rules out a token.
    """

    problem: int
    index: int
    text: str
    token_ids: tuple[int, ...]
    logprob: float
    self_certainty: float
    finish: Finish
    seed: int  # the sample's 64-bit random key as a signed integer

    @property
    def tokens(self) -> int:
        return len(self.token_ids)


@dataclass(frozen=True, slots=True)
class StepStats:
    """What one engine step did."""

    new_tokens: int  # drawn, over all samples
    prefill_tokens: int  # prompt tokens computed
    batch: int  # samples that took part
    kv_tokens: int  # tokens whose keys and values are held, each shared one once
    path_tokens: int  # tokens that the samples running now would hold if nothing were shared
    kv_budget: int  # tokens whose keys and values fit
    waiting: int  # samples not yet admitted
