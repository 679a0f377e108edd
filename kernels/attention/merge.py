"""Merge of partial attention results over disjoint sets of keys."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def merge_partials(outs: Sequence[Tensor], lses: Sequence[Tensor]) -> Tensor:
    """Attention over the union of the key sets: sum_i exp(lse_i - LSE) out_i with LSE = log sum_i exp(lse_i).

    outs: (..., size) each; lses: (...) each, fp32, natural logarithm, any strides. The weights are a softmax
    over the partial results, computed in fp32 (Hydragen, Juravsky et al. 2024, arXiv 2402.05099, eq. 5).
    At least one partial result of each query must have seen a key. Returns the dtype of outs.
    """
    if len(outs) == 1:
        return outs[0]
    weights = torch.stack([lse.float() for lse in lses]).softmax(dim=0).unsqueeze(-1)
    merged = outs[0].float() * weights[0]
    for out, weight in zip(outs[1:], weights[1:], strict=True):
        merged.addcmul_(out.float(), weight)
    return merged.to(outs[0].dtype)
