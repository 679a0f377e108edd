"""The perceptual distance against its definition, layer by layer, with weights of its own."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.nn import functional as F

from engine.scenes.perceptual import PerceptualLoss

_NUMBERS = (
    (1, 0),
    (1, 2),
    (2, 6),
    (2, 8),
    (3, 12),
    (3, 14),
    (3, 16),
    (4, 20),
)  # of VGG's convolutions with blurred pooling
_WIDTHS = (3, 64, 64, 128, 128, 256, 256, 256, 512)


def test_it_is_the_weighted_distance_of_unit_features(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    state = {}
    for (part, number), before, after in zip(_NUMBERS, _WIDTHS, _WIDTHS[1:], strict=False):
        state[f"net.slice{part}.{number}.weight"] = torch.randn(after, before, 3, 3, generator=generator) / (
            3 * before**0.5
        )
        state[f"net.slice{part}.{number}.bias"] = 0.1 * torch.randn(after, generator=generator)
    for number, width in enumerate((64, 128, 256)):
        state[f"lin{number}.model.1.weight"] = torch.rand(1, width, 1, 1, generator=generator)
    torch.save(state, tmp_path / "vgg.pth")
    loss = PerceptualLoss()
    loss.load(tmp_path / "vgg.pth")
    first, second = torch.rand(2, 2, 3, 16, 12, generator=generator)

    def layers(x: torch.Tensor) -> list[torch.Tensor]:
        x = (2 * x - 1 - torch.tensor([-0.030, -0.088, -0.188])[:, None, None]) / torch.tensor([0.458, 0.448, 0.450])[
            :, None, None
        ]
        found = []
        for part, number in _NUMBERS[:7]:
            if number in (6, 12):
                pooled = F.pad(F.max_pool2d(x, 2, 1), (1, 1, 1, 1))
                rows = pooled[:, :, :-2:2] + 2 * pooled[:, :, 1:-1:2] + pooled[:, :, 2::2]
                x = (rows[..., :-2:2] + 2 * rows[..., 1:-1:2] + rows[..., 2::2]) / 16
            x = F.conv2d(
                x, state[f"net.slice{part}.{number}.weight"], state[f"net.slice{part}.{number}.bias"], padding=1
            ).relu()
            if number in (2, 8, 16):
                found.append(x / (x.norm(dim=1, keepdim=True) + 1e-8))
        return found

    expected = sum(
        (F.conv2d((a - b) ** 2, state[f"lin{number}.model.1.weight"])).mean((1, 2, 3))
        for number, (a, b) in enumerate(zip(layers(first), layers(second), strict=True))
    )
    torch.testing.assert_close(loss(first, second), expected, rtol=1e-4, atol=1e-6)
    assert not loss(first, first).any()
    asked = first.requires_grad_()
    loss(asked, second).sum().backward()
    assert asked.grad is not None and asked.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in loss.parameters())
