"""Packed weights multiply as plain ones do."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from engine.models.packed import PackedLinear, pack_linears


@pytest.mark.parametrize("rows", [1, 5, 64, 130])
@pytest.mark.parametrize("bias", [False, True])
def test_product_equals_the_plain_one(rows: int, bias: bool) -> None:
    torch.manual_seed(rows)
    model = nn.Sequential(nn.Linear(48, 32, bias=bias)).bfloat16()
    x = torch.randn(1, rows, 48).bfloat16()
    with torch.inference_mode():
        expected = model(x)
        pack_linears(model)
        assert isinstance(model[0], PackedLinear)
        torch.testing.assert_close(model(x), expected, rtol=2e-2, atol=2e-2)


def test_other_dtypes_stay_plain() -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    pack_linears(model)
    assert type(model[0]) is nn.Linear
