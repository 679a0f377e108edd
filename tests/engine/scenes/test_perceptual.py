"""Perceptual distances against loops over other libraries' layers, and against the package itself where it is there."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import torch
from torch import Tensor, nn

from engine.scenes.perceptual import FeatureDistance, ShiftTolerantLpips, blur_pool, find_stlpips
from engine.training.checkpoint import WeightsError

_VGG = {
    1: ("1.0", "1.2"),
    2: ("2.6", "2.8"),
    3: ("3.12", "3.14", "3.16"),
    4: ("4.20", "4.22", "4.24"),
    5: ("5.28", "5.30", "5.32"),
}
_WIDTHS = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]


def test_blur_pool_against_scipy() -> None:
    x = torch.randn(1, 2, 7, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    for channel in range(2):
        padded = np.pad(x[0, channel].numpy(), 2, mode="reflect")
        expected = scipy.signal.correlate2d(padded, kernel, mode="valid")[::2, ::2]
        np.testing.assert_allclose(blur_pool(x)[0, channel], expected)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of chance, in the layout of the package."""
    generator = torch.Generator().manual_seed(1)
    state: dict[str, Tensor] = {
        "scaling_layer.shift": torch.full((1, 3, 1, 1), 0.1),
        "scaling_layer.scale": torch.full((1, 3, 1, 1), 0.5),
    }
    inside, widths = 3, iter(_WIDTHS)
    for names in _VGG.values():
        for name in names:
            outside = next(widths)
            state[f"net.slice{name}.weight"] = (
                torch.randn(outside, inside, 3, 3, generator=generator) * (2 / inside / 9) ** 0.5
            )
            state[f"net.slice{name}.bias"] = torch.zeros(outside)
            inside = outside
    for number, width in enumerate((64, 128, 256, 512, 512)):
        state[f"lin{number}.model.1.weight"] = torch.rand(1, width, 1, 1, generator=generator)
    path = tmp_path_factory.mktemp("weights") / "vgg.pth"
    torch.save(state, path)
    return path


def test_st_lpips_by_loops(stored: Path) -> None:
    state = torch.load(stored)
    a, b = torch.rand(2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    total, xs = 0.0, [(2 * each - 1 - 0.1) / 0.5 for each in (a, b)]
    for number, names in _VGG.items():
        if number > 1:
            xs = [blur_pool(nn.MaxPool2d(2, 1)(x)) for x in xs]
        for name in names:
            xs = [nn.functional.conv2d(x, state[f"net.slice{name}.weight"], padding=1).relu() for x in xs]
        p, q = (x[0].double().numpy() for x in xs)
        p, q = (each / np.linalg.norm(each, axis=0, keepdims=True) for each in (p, q))
        weights = state[f"lin{number - 1}.model.1.weight"].double().numpy()[0]
        total += ((p - q) ** 2 * weights).sum(0).mean()
    distance = ShiftTolerantLpips(stored)
    assert float(distance(a, b)) == pytest.approx(total, rel=1e-4)
    assert float(distance(a, a)) == 0
    with pytest.raises(ValueError, match="too small"):
        distance(a[..., :16], b[..., :16])


def test_other_weights_are_refused(tmp_path: Path) -> None:
    torch.save({"conv": torch.zeros(3)}, tmp_path / "other.pth")
    (tmp_path / "broken.pth").write_bytes(b"not weights")
    for name in ("other.pth", "broken.pth"):
        with pytest.raises(WeightsError, match=name):
            ShiftTolerantLpips(tmp_path / name)


@pytest.mark.skipif(find_stlpips() is None, reason="stlpips-pytorch is not installed")
def test_st_lpips_is_the_package_s(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, member in (("IPython", "embed"), ("torchsummary", "summary")):  # imported there, not used
        monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(**{member: None}))
    from stlpips_pytorch import stlpips

    theirs = stlpips.LPIPS(net="vgg", variant="shift_tolerant", verbose=False, pretrained=False)
    theirs.load_state_dict(torch.load(str(find_stlpips()), map_location="cpu"), strict=False)
    a, b = torch.rand(2, 2, 3, 48, 40, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        expected = theirs(a, b, normalize=True).flatten()
        torch.testing.assert_close(ShiftTolerantLpips(find_stlpips())(a, b), expected, rtol=1e-4, atol=1e-6)  # type: ignore[arg-type]


def test_the_feature_distance() -> None:
    """Zero for equal pictures, more for more blur, with gradients that lead to the truth."""
    distance = FeatureDistance().train()
    assert not distance.training
    truth = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(4))
    blurred = [nn.functional.avg_pool2d(truth, side, 1, side // 2) for side in (3, 7)]
    little, much = (float(distance(each, truth)) for each in blurred)
    assert float(distance(truth, truth)) == 0 < little < much
    moving = blurred[1].clone().requires_grad_()
    optimiser = torch.optim.Adam([moving], 0.02)
    for _ in range(5):
        optimiser.zero_grad()
        distance(moving, truth).sum().backward()
        optimiser.step()
    assert float(distance(moving.detach(), truth)) < 0.9 * much
    assert all(parameter.grad is None for parameter in distance.parameters())


def test_the_feature_distance_by_its_formula() -> None:
    distance = FeatureDistance()
    a, b = torch.rand(2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    total = 0.0
    for p, q in zip(distance.features(a), distance.features(b), strict=True):
        cosine = nn.functional.cosine_similarity(p.double(), q.double(), dim=1)
        total += float((2 - 2 * cosine).mean())  # of unit vectors
    assert float(distance(a, b)) == pytest.approx(total, rel=1e-4)
