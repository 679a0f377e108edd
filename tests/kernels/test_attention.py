"""Partial attention and its merge against torch's softmax attention over the joined keys."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kernels.attention import Level, merge_partials, partial_attention, reference, tree_attention

PARTIALS = [partial_attention, reference.partial_attention]
SCALE = 0.3


def attention(q: Tensor, k: Tensor, v: Tensor, softcap: float | None = None) -> Tensor:
    """One row's attention in fp64: q (heads, size), k and v (KV heads, keys, size)."""
    k, v = (x.double().repeat_interleave(len(q) // len(x), dim=0) for x in (k, v))
    logits = torch.einsum("hd,hkd->hk", q.double(), k) * SCALE
    if softcap:
        logits = softcap * torch.tanh(logits / softcap)
    return torch.einsum("hk,hkd->hd", logits.softmax(-1), v).float()


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("partial", PARTIALS)
@given(
    lengths=st.lists(st.integers(0, 7), min_size=1, max_size=4).filter(any),
    heads=st.sampled_from([(4, 4), (6, 2), (3, 1)]),
    softcap=st.sampled_from([None, 2.0]),
)
@settings(max_examples=25, deadline=None)
def test_merged_parts_equal_the_whole(
    partial: Callable[..., tuple[Tensor, Tensor]],
    lengths: list[int],
    heads: tuple[int, int],
    softcap: float | None,
) -> None:
    q = random(heads[0], 8)
    keys, values = random(heads[1], sum(lengths), 8), random(heads[1], sum(lengths), 9)[..., :8]
    parts = [
        partial(q[None, :, None], k[None], v[None], scale=SCALE, softcap=softcap)
        for k, v in zip(keys.split(lengths, 1), values.split(lengths, 1), strict=True)
    ]
    merged = merge_partials([out for out, _ in parts], [lse for _, lse in parts])[0, :, 0]
    torch.testing.assert_close(merged, attention(q, keys, values, softcap), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("partial", PARTIALS)
def test_lse_is_the_natural_logarithm_of_the_normaliser(partial: Callable[..., tuple[Tensor, Tensor]]) -> None:
    q, k = random(1, 2, 3, 8), random(1, 2, 5, 8)
    _, lse = partial(q, k, k, scale=SCALE)
    torch.testing.assert_close(lse, (q @ k.transpose(-1, -2) * SCALE).exp().sum(-1).log())


@pytest.mark.parametrize("partial", PARTIALS)
def test_query_that_sees_nothing_weighs_nothing(partial: Callable[..., tuple[Tensor, Tensor]]) -> None:
    q, k = random(2, 4, 3, 8), random(2, 2, 5, 8)
    mask = torch.ones(2, 3, 5, dtype=torch.bool)
    mask[0, 1] = False  # one query
    mask[1] = False  # a whole node
    out, lse = partial(q, k, k, scale=SCALE, mask=mask)
    assert out.isfinite().all()
    assert (lse.isneginf() == ~mask.any(-1)[:, None].expand(2, 4, 3)).all()
    full, full_lse = partial(q, k, k, scale=SCALE)
    merged = merge_partials([out, full], [lse, full_lse])
    torch.testing.assert_close(merged[1], full[1])
    torch.testing.assert_close(merged[0, :, 1], full[0, :, 1])


def test_merge_takes_lse_of_any_strides() -> None:
    """A kernel may return a transposed lse; reading it as contiguous is vllm#22003."""
    outs, lses = [random(3, 4, 8), random(3, 4, 8) + 1], [random(3, 4), random(3, 4) + 2]
    strided = [lse.t().contiguous().t() for lse in lses]
    assert not strided[0].is_contiguous()
    torch.testing.assert_close(merge_partials(outs, strided), merge_partials(outs, lses))


def test_merge_survives_large_logits() -> None:
    out = merge_partials([torch.zeros(1, 2), torch.ones(1, 2)], [torch.tensor([1000.0]), torch.tensor([1001.0])])
    torch.testing.assert_close(out, torch.full((1, 2), torch.sigmoid(torch.tensor(1.0)).item()))


@pytest.mark.parametrize(
    "groups", [[[0, 1, 2, 3, 4]], [[0], [1], [2], [3], [4]], [[3, 0], [4, 1, 2]], [[2, 4, 0, 1], [3]]]
)
def test_tree_of_three_levels_equals_each_rows_path(groups: list[list[int]]) -> None:
    rows, heads, kv_heads, size = 5, 4, 2, 8
    q = random(rows, heads, size)
    root = random(1, kv_heads, 6, size)
    nodes = random(len(groups), kv_heads, 4, size)
    lengths = torch.tensor([4, 2, 0, 3, 1][: len(groups)])
    own = random(rows, kv_heads, 3, size)
    width = max(map(len, groups))
    padded = torch.tensor([group + [0] * (width - len(group)) for group in groups]).flatten()
    places = torch.tensor(
        [next(g * width + group.index(r) for g, group in enumerate(groups) if r in group) for r in range(5)]
    )
    mask = (torch.arange(4) < lengths[:, None])[:, None]
    levels = [Level(root, root), Level(nodes, nodes, mask, padded, places), Level(own, own)]
    out = tree_attention(q, levels, scale=SCALE)
    for row in range(rows):
        node = next(g for g, group in enumerate(groups) if row in group)
        path = torch.cat([root[0], nodes[node, :, : lengths[node]], own[row]], dim=1)
        torch.testing.assert_close(out[row], attention(q[row], path, path), rtol=1e-5, atol=1e-5)


def test_bf16_stays_within_its_rounding() -> None:
    q, k = random(2, 4, 3, 16), random(2, 2, 40, 16)
    exact, exact_lse = reference.partial_attention(q, k, k, scale=SCALE)
    out, lse = partial_attention(q.bfloat16(), k.bfloat16(), k.bfloat16(), scale=SCALE)
    assert (out.float() - exact).norm() / exact.norm() < 1e-2
    torch.testing.assert_close(lse, exact_lse, rtol=2e-2, atol=2e-2)
