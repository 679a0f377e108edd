"""`draw` in plain torch: the version for CPUs, and what the Triton version must equal."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kernels.sampling.noise import gumbel, hash_bits, position_keys

# Rows handled together on a CPU: 4 rows of 49,152 fp32 logits and their noise stay in a 1 MB cache.
_CPU_ROWS = 4
# Candidates tried first: for a nucleus, and beyond top_k, where bf16 logits often tie.
_NUCLEUS_START, _TIE_START = 256, 32


def draw(
    logits: Tensor,
    keys: Tensor,
    positions: Tensor,
    settings: Tensor,
    *,
    filtered: bool,
    greedy: bool,
    token_words: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """See `kernels.sampling.draw`."""
    low, high = (word.unsqueeze(1) for word in position_keys(keys, positions))
    step = _CPU_ROWS if logits.device.type == "cpu" else max(1, len(logits))
    temperature, top_p, top_k, min_p = settings.tolist()
    drawn = []
    for i in range(0, len(logits), step):
        rows = logits[i : i + step].float()
        words = low[i : i + step], high[i : i + step]
        if greedy:
            tokens = rows.argmax(dim=-1)
        elif filtered:
            tokens = _draw_filtered(rows / temperature, words, token_words, top_p, int(top_k), min_p)
        else:
            noise = gumbel(hash_bits(words, token_words)).add_(rows, alpha=1 / temperature)
            if min_p > 0:
                floor = rows.amax(-1, keepdim=True) + temperature * math.log(min_p)
                noise.masked_fill_(rows < floor, float("-inf"))
            tokens = noise.argmax(dim=-1)
        chosen = rows.gather(1, tokens.unsqueeze(1)).squeeze(1)
        log_total = torch.logsumexp(rows, dim=-1)
        drawn.append((tokens, chosen - log_total, log_total - math.log(rows.shape[-1]) - rows.mean(dim=-1)))
    if not drawn:
        none = torch.empty(0, device=logits.device)
        return none.long(), none, none
    tokens, logprobs, certainties = (torch.cat(parts) for parts in zip(*drawn, strict=True))
    return tokens, logprobs, certainties


def _draw_filtered(
    scaled: Tensor, words: tuple[Tensor, Tensor], token_words: Tensor, top_p: float, top_k: int, min_p: float
) -> Tensor:
    """Tempered logits (rows, V) -> tokens (rows,), drawn among those that the filters keep."""
    vocabulary = scaled.shape[-1]
    size = min(top_k + _TIE_START if top_k else _NUCLEUS_START, vocabulary)
    while True:
        top, ids = scaled.topk(size, dim=-1)
        least = least_kept(top, scaled, top_p, top_k, min_p)
        # All that is kept is among these when the last of them is not. top_p needs all that top_k keeps.
        edge = top[:, top_k - 1 : top_k] if top_k else least
        if size == vocabulary or bool((top[:, -1:] < edge).all()):
            break
        size = min(size * 8, vocabulary)
    # Noise goes by vocabulary id, not by rank: a token keeps its noise whatever else is kept.
    score = (top + gumbel(hash_bits(words, token_words[ids]))).masked_fill_(top < least, float("-inf"))
    return ids.gather(1, score.argmax(dim=-1, keepdim=True)).squeeze(1)


def least_kept(top: Tensor, scaled: Tensor, top_p: float, top_k: int, min_p: float) -> Tensor:
    """The least tempered logit that is kept, (rows, 1), or the last of `top` where that is not yet the least.

    top: the largest of `scaled` (rows, V) in descending order. A token is kept when fewer than top_k tokens have
    larger logits, when the mass of the tokens before it is below top_p (Holtzman et al. 2020, arXiv 1904.09751),
    and when its probability is at least min_p times the largest (Nguyen et al. 2024, arXiv 2407.01082). So the
    likeliest token always stays, and tokens of equal logits stay or go together.
    """
    least = top[:, -1:]
    if 0 < top_k < top.shape[-1]:
        least = top[:, top_k - 1 : top_k]
    if top_p < 1:
        allowed = top.masked_fill(top < least, float("-inf")) if top_k else scaled
        log_total = allowed.logsumexp(-1, keepdim=True)
        probability = (top - log_total).exp()
        before = probability.cumsum(-1) - probability
        last = (before < top_p).sum(-1, keepdim=True) - 1
        least = torch.maximum(least, top.gather(1, last.clamp_(min=0)))
    if min_p > 0:
        least = torch.maximum(least, top[:, :1] + math.log(min_p))
    return least
