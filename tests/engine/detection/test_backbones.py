from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet50

from engine.detection.backbones import build_backbone, read_weights
from engine.detection.efficientnet import EfficientNetLite0
from engine.training.checkpoint import WeightsError

# stride -> shape, mean and standard deviation, computed with the efficientnet-lite-pytorch package's own network
EXPECTED = {
    "4": ((1, 24, 16, 24), -0.17332, 9.46043),
    "8": ((1, 40, 8, 12), -0.23558, 9.18388),
    "16": ((1, 112, 4, 6), 0.24257, 6.07976),
    "32": ((1, 320, 2, 3), 0.14033, 2.6677),
}


def test_efficientnet_lite0_has_the_features_of_its_authors() -> None:
    network = EfficientNetLite0().eval()
    network.load_imagenet()
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(96.0), indexing="ij")
    image = torch.stack(((x * 0.1).sin(), (y * 0.07).cos(), ((x + y) * 0.05).sin()))[None]
    with torch.no_grad():
        features = network(image)
    for stride, (shape, mean, std) in EXPECTED.items():
        level = features[stride]
        assert tuple(level.shape) == shape
        assert float(level.mean()) == pytest.approx(mean, abs=2e-4)
        assert float(level.std()) == pytest.approx(std, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "finest", "one_stage", "strides"),
    [
        ("efficientnet_lite0", 8, True, (8, 16, 32, 64, 128)),
        ("efficientnet_lite0", 4, False, (4, 8, 16, 32, 64)),
        ("resnet50", 8, True, (8, 16, 32, 64, 128)),
        ("tiny", 4, True, (4, 8, 16, 32, 64)),
    ],
)
def test_levels_have_their_strides(name: str, finest: int, one_stage: bool, strides: tuple[int, ...]) -> None:
    backbone = build_backbone(name, one_stage=one_stage, finest=finest, pretrained=False)  # type: ignore[arg-type]
    backbone.eval()
    with torch.no_grad():
        levels = list(backbone(torch.zeros(1, 3, 128, 128)).values())
    assert backbone.strides == strides
    assert [128 // level.shape[-1] for level in levels] == list(strides)
    assert {level.shape[1] for level in levels} == {backbone.out_channels}


def test_resnet50_takes_torchvision_weights_from_a_file(tmp_path: Path) -> None:
    state = resnet50().state_dict()
    torch.save(state, tmp_path / "resnet50.pth")
    backbone = build_backbone("resnet50", one_stage=True, finest=8, weights=tmp_path / "resnet50.pth")
    assert torch.equal(backbone.body["conv1"].weight, state["conv1.weight"])  # type: ignore[index]


def test_weights_that_do_not_load_say_why(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="give its path"):
        build_backbone("resnet50", one_stage=True, finest=8)
    with pytest.raises(WeightsError, match="no weights file"):
        read_weights(tmp_path / "missing.pth")
    (tmp_path / "cut.pth").write_bytes(b"\x80\x02}q")
    with pytest.raises(WeightsError, match="read safely"):
        read_weights(tmp_path / "cut.pth")
    torch.save({"a": Path("/")}, tmp_path / "code.pth")  # unpickling it would run code
    with pytest.raises(WeightsError, match="read safely"):
        read_weights(tmp_path / "code.pth")
    save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "part.safetensors")
    with pytest.raises(WeightsError, match="does not fit"):
        build_backbone("resnet50", one_stage=True, finest=8, weights=tmp_path / "part.safetensors")
