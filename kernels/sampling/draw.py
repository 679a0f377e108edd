"""Picks the version of `draw` for the device."""

from __future__ import annotations

from torch import Tensor

from kernels.sampling import reference


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
    """Draw one token per row: argmax(logit / temperature + Gumbel noise) over the tokens that the filters keep.

    logits: (rows, V), bf16, fp16 or fp32, rows apart by any stride. keys: int64 (rows,) sample keys. positions:
    int32 or int64 (rows,), index of the drawn token in its sample. settings: (4,) temperature, top_p (1 = off),
    top_k (0 = off), min_p (0 = off), fp32 on a GPU: their values may change under a captured CUDA graph.
    filtered: whether top_p or top_k may be on; otherwise both are ignored. greedy: take the likeliest token and
    ignore the settings. token_words: int32 (V,), `scramble_ids(arange(V))`, made once.

    Filters apply as in transformers: temperature, top_k, top_p, min_p. Tokens of equal logits stay or go
    together: where a tie crosses the edge of top_k or top_p, all of it is kept (transformers does so for top_k,
    and for top_p keeps an arbitrary part of the tie).

    Returns (token ids int64 (rows,), log-probabilities fp32 (rows,), self-certainties fp32 (rows,)). The last two
    are raw: at temperature 1 and before the filters. Equal scores go to the smaller id. Self-certainty is the
    divergence KL(uniform || p) of the row's distribution in nats, -1/V sum over tokens of log(V p) = log-sum-exp
    - log V - mean logit (Kang et al. 2025, arXiv 2502.18581): 0 where all are alike, infinite where one is banned.
    """
    arguments = (logits, keys, positions, settings)
    if not logits.is_cuda:
        return reference.draw(*arguments, filtered=filtered, greedy=greedy, token_words=token_words)
    # Imported late: Triton takes a while to load and is not there on every machine without a GPU.
    from kernels.sampling import launch

    return launch.draw(*arguments, filtered=filtered, greedy=greedy, token_words=token_words)
