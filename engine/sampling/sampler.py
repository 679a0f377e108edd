"""Draws tokens as `SamplingParams` say, by `kernels.sampling.draw`.

The noise of a sample is a pure function of (seed, problem, sample index, position, vocabulary id), so a sample can
be drawn again alone and gets the same noise.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.sampling.types import SamplingParams
from kernels.sampling import draw
from kernels.sampling.noise import scramble_ids, signed64, splitmix


def sample_key(seed: int, problem: int, index: int) -> int:
    """The 64-bit key of one sample, as a signed integer (fits a database's BIGINT)."""
    return signed64(splitmix(splitmix(splitmix(seed) ^ problem) ^ index))


class Sampler:
    """Draws one token per row of logits. Holds the hashed vocabulary ids, made once."""

    def __init__(self, vocabulary: int, device: torch.device) -> None:
        self._tokens = scramble_ids(torch.arange(vocabulary, device=device))
        # On a CPU fp64 keeps the numbers as they were given.
        dtype = torch.float64 if device.type == "cpu" else torch.float32
        self._settings = torch.zeros(4, dtype=dtype, device=device)
        self.use(SamplingParams())

    def use(self, params: SamplingParams) -> None:
        """Draw as these say from now on. `way` tells which code runs: a CUDA graph holds for one way only."""
        values = [params.temperature, params.top_p, params.top_k, params.min_p]
        self._settings.copy_(torch.tensor(values, dtype=self._settings.dtype))
        self.way = (params.top_p < 1 or params.top_k > 0, params.temperature == 0)

    def draw(self, logits: Tensor, keys: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """logits (rows, vocabulary) -> (token ids int64 (rows,), raw log-probabilities fp32 (rows,), self-certainties).

        keys: int64 sample keys; positions: integer index of the drawn token within its sample.
        """
        filtered, greedy = self.way
        return draw(logits, keys, positions, self._settings, filtered=filtered, greedy=greedy, token_words=self._tokens)
