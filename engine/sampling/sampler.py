"""Draws tokens as `SamplingParams` say, by `kernels.sampling.draw`."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.sampling.types import SamplingParams
from kernels.sampling import draw
from kernels.sampling.noise import scramble_ids


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
