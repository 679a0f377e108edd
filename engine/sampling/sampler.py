"""From logits to tokens: argmax(logit / temperature + Gumbel noise), and the raw log-probability."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.sampling.seeds import gumbel, position_keys, scramble_ids
from engine.sampling.types import SamplingParams

# Rows handled together on a CPU: 4 rows of 49,152 fp32 logits and their noise stay in a 1 MB cache.
_CPU_ROWS = 4
# Nucleus candidates tried before sorting the whole vocabulary.
_NUCLEUS_START = 256


class Sampler:
    """Draws one token per row of logits. Holds the hashed vocabulary ids, made once."""

    def __init__(self, vocabulary: int, device: torch.device) -> None:
        self._tokens = scramble_ids(torch.arange(vocabulary, device=device))
        self._vocabulary = vocabulary

    def draw(self, logits: Tensor, keys: Tensor, positions: Tensor, params: SamplingParams) -> tuple[Tensor, Tensor]:
        """logits (rows, vocabulary) -> (token ids int64 (rows,), raw log-probabilities fp32 (rows,)).

        keys: int64 sample keys; positions: int64 index of the drawn token within its sample.
        """
        words = tuple(word.unsqueeze(1) for word in position_keys(keys, positions))
        step = _CPU_ROWS if logits.device.type == "cpu" else max(1, len(logits))
        drawn = [
            self._draw_rows(logits[i : i + step].float(), (words[0][i : i + step], words[1][i : i + step]), params)
            for i in range(0, len(logits), step)
        ]
        return torch.cat([token for token, _ in drawn]), torch.cat([logprob for _, logprob in drawn])

    def _draw_rows(self, logits: Tensor, words: tuple[Tensor, Tensor], params: SamplingParams) -> tuple[Tensor, Tensor]:
        if params.temperature == 0:
            token = logits.argmax(dim=-1)
        elif params.top_k or params.top_p < 1:
            token = self._draw_filtered(logits, words, params)
        else:
            noise = gumbel(words, self._tokens)
            token = noise.add_(logits, alpha=1 / params.temperature).argmax(dim=-1)
        chosen = logits.gather(1, token.unsqueeze(1)).squeeze(1)
        return token, chosen - torch.logsumexp(logits, dim=-1)

    def _draw_filtered(self, logits: Tensor, words: tuple[Tensor, Tensor], params: SamplingParams) -> Tensor:
        scaled, ids = _candidates(logits / params.temperature, params)
        # Noise goes by vocabulary id, not by rank: a token keeps its noise whatever else is kept.
        score = scaled + gumbel(words, self._tokens[ids])
        return ids.gather(1, score.argmax(dim=-1, keepdim=True)).squeeze(1)


def _candidates(scaled: Tensor, params: SamplingParams) -> tuple[Tensor, Tensor]:
    """Tempered logits (rows, V) -> (logits, ids) of the kept tokens, both (rows, C); dropped ones are -inf."""
    vocabulary = scaled.shape[-1]
    if params.top_k:
        top, ids = scaled.topk(min(params.top_k, vocabulary), dim=-1)
        return (top if params.top_p == 1 else _nucleus(top, top.logsumexp(-1, keepdim=True), params.top_p)), ids
    log_total = scaled.logsumexp(-1, keepdim=True)
    size = min(_NUCLEUS_START, vocabulary)
    while True:
        top, ids = scaled.topk(size, dim=-1)
        if size == vocabulary or bool(((top - log_total).exp().sum(-1) >= params.top_p).all()):
            return _nucleus(top, log_total, params.top_p), ids
        size = min(size * 8, vocabulary)


def _nucleus(top: Tensor, log_total: Tensor, top_p: float) -> Tensor:
    """Descending logits -> the same with -inf past the smallest set whose probability reaches top_p.

    A token stays when the mass before it is below top_p (Holtzman et al. 2020, arXiv 1904.09751): the most
    likely token always stays.
    """
    probability = (top - log_total).exp()
    before = probability.cumsum(-1) - probability
    return top.masked_fill(before >= top_p, float("-inf"))
