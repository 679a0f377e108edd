"""Weights laid out for the CPU's matrix instructions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# oneDNN picks the layout for this many rows; a batch of samples on a CPU has about as many.
_ROWS = 64


class PackedLinear(nn.Module):
    """x @ weight.T + bias with the weight in oneDNN's blocked layout.

    A plain Linear is laid out anew in every call, which for the few rows of a decode step costs as much as a
    quarter of the product itself (64 rows) to nearly all of it (1 row).
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self._weight: Tensor = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), _ROWS)
        self._bias = None if linear.bias is None else linear.bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, "none", [], "")
        return out


def pack_linears(module: nn.Module) -> None:
    """Replace every Linear below a bf16 CPU module; others stay as they are. The original weights are let go."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return
    for name, child in list(module.named_children()):
        if type(child) is nn.Linear and child.weight.dtype == torch.bfloat16 and child.weight.device.type == "cpu":
            setattr(module, name, PackedLinear(child))
        else:
            pack_linears(child)
