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

    def draw(self, logits: Tensor, keys: Tensor, positions: Tensor, params: SamplingParams) -> tuple[Tensor, Tensor]:
        """logits (rows, vocabulary) -> (token ids int64 (rows,), raw log-probabilities fp32 (rows,)).

        keys: int64 sample keys; positions: int64 index of the drawn token within its sample.
        """
        return draw(
            logits,
            keys,
            positions,
            draw_settings(params, logits.device),
            filtered=params.top_p < 1 or params.top_k > 0,
            greedy=params.temperature == 0,
            token_words=self._tokens,
        )


def draw_settings(params: SamplingParams, device: torch.device) -> Tensor:
    """The `settings` of `kernels.sampling.draw`; on a CPU in fp64, which keeps the numbers as they were given."""
    dtype = torch.float64 if device.type == "cpu" else torch.float32
    values = [params.temperature, params.top_p, params.top_k, params.min_p]
    return torch.tensor(values, dtype=dtype, device=device)
