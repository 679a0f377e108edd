"""How different two pictures look, as a loss and as a metric: distances between features of trained networks.

    perceptual = FeatureDistance()                      # ships with us; "EffLite0"
    perceptual = ShiftTolerantLpips(find_stlpips())     # "ST-LPIPS", where its package is installed
    AutoencoderStage(model, scenes, perceptual=perceptual.to(device))

`PerceptualLoss` is the first three blocks of ST-LPIPS's VGG alone: a training loss, a tenth of the work.

All take batches [N, 3, H, W] in [0, 1] and give [N]; their own weights are frozen, gradients reach the pictures.
"""

from __future__ import annotations

from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.detection.efficientnet import MEAN, STD, EfficientNetLite0
from engine.training.checkpoint import WeightsError

_STRIDES = ("4", "8", "16")  # coarser ones say what a picture shows more than how it looks
# VGG-16's convolutions (Simonyan and Zisserman 2015) by block; a block begins with a pooling but for the first.
_VGG = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
_VGG_NAMES = (
    ("1.0", "1.2"),
    ("2.6", "2.8"),
    ("3.12", "3.14", "3.16"),
    ("4.20", "4.22", "4.24"),
    ("5.28", "5.30", "5.32"),
)
_STLPIPS_FILE = Path("weights/vST0.0/vgg_shift_tolerant.pth")
_FIRST_LAYERS = _VGG[:3]
_VGG_SHIFT, _VGG_SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of pictures in [-1, 1]
_SMALLEST = 32  # pixels: four halvings


class FeatureDistance(nn.Module):
    """LPIPS without learned weights (Zhang et al. 2018, the "baseline" of equation 1) on EfficientNet-Lite0: the mean
    over places of the squared distance of unit feature vectors, summed over strides 4, 8 and 16."""

    name = "EffLite0 distance"

    def __init__(self, path: Path | None = None) -> None:
        super().__init__()
        self.trunk = EfficientNetLite0()
        self.trunk.load_imagenet(path)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> FeatureDistance:
        return super().train(False)  # its batch norms keep what they know

    def features(self, images: Tensor) -> list[Tensor]:
        found = self.trunk((images - MEAN) / STD)
        return [found[stride] for stride in _STRIDES]

    def forward(self, images: Tensor, truth: Tensor) -> Tensor:
        both = zip(self.features(images), self.features(truth), strict=True)
        return torch.stack([_unit_distance(a, b).mean((1, 2, 3)) for a, b in both]).sum(0)


class ShiftTolerantLpips(nn.Module):
    """ST-LPIPS (Ghildyal and Liu 2022) with its VGG-16, from the weights of the stlpips-pytorch package.

    The network is VGG-16 with blurred pooling (Zhang 2019): a maximum at stride 1, then a binomial filter at stride 2
    on a picture padded by 2. Distances are those of LPIPS, with a learned weight for each channel. Parts of that
    package are licensed for non-commercial use only, so it is not among our dependencies; its code is not run.

    Raises:
        WeightsError: the file is not those weights.
    """

    name = "ST-LPIPS"
    shift: Tensor
    scale: Tensor

    def __init__(self, path: Path) -> None:
        super().__init__()
        state = _stored(path)
        widths = [3, *(width for block in _VGG for width in block)]
        names = [name for block in _VGG_NAMES for name in block]
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))
        self.weights = nn.ParameterList()
        try:
            for name, layer in zip(names, self.convolutions, strict=True):
                stem = f"net.slice{name}"
                layer.load_state_dict({"weight": state[f"{stem}.weight"], "bias": state[f"{stem}.bias"]})
            self.weights.extend(nn.Parameter(state[f"lin{block}.model.1.weight"]) for block in range(len(_VGG)))
            self.register_buffer("shift", state["scaling_layer.shift"])
            self.register_buffer("scale", state["scaling_layer.scale"])
        except (KeyError, RuntimeError) as error:
            raise WeightsError(f"{path.name} does not hold ST-LPIPS's VGG-16: {error}") from None
        self.requires_grad_(False)

    def features(self, images: Tensor) -> list[Tensor]:
        """After each of the five blocks, of pictures in [0, 1]."""
        if min(images.shape[2:]) < _SMALLEST:
            raise ValueError(
                f"pictures of {tuple(images.shape[2:])} are too small; at least {_SMALLEST} pixels each way"
            )
        x = (images * 2 - 1 - self.shift) / self.scale
        layers = iter(self.convolutions)
        found: list[Tensor] = []
        for block in _VGG:
            x = x if not found else blur_pool(F.max_pool2d(x, 2, stride=1))
            for _ in block:
                x = F.relu(next(layers)(x))
            found.append(x)
        return found

    def forward(self, images: Tensor, truth: Tensor) -> Tensor:
        both = zip(self.features(images), self.features(truth), self.weights, strict=True)
        return torch.stack([F.conv2d(_unit_distance(a, b, each=True), w).mean((1, 2, 3)) for a, b, w in both]).sum(0)


class PerceptualLoss(nn.Module):
    """Distances [N] of pictures [N, 3, H, W] in [0, 1]; differentiable in the first. Weights are fixed."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        inside = (3, *(widths[-1] for widths in _FIRST_LAYERS))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1)
            for first, widths in zip(inside, _FIRST_LAYERS, strict=False)
            for before, after in pairwise((first, *widths))
        )
        self.weights = nn.ParameterList(torch.full((widths[-1],), 1 / widths[-1]) for widths in _FIRST_LAYERS)
        self.register_buffer("shift", torch.tensor(_VGG_SHIFT).view(3, 1, 1))
        self.register_buffer("scale", torch.tensor(_VGG_SCALE).view(3, 1, 1))
        self.requires_grad_(False)

    def load(self, path: Path) -> None:
        """Read vgg_shift_tolerant.pth of stlpips-pytorch, or a file with the same names."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        names = [key.removesuffix(".weight") for key in state if key.startswith("net.") and key.endswith(".weight")]
        names.sort(key=lambda name: int(name.split(".")[2]))  # net.slice<1 to 5>.<number in VGG>
        for convolution, name in zip(self.convolutions, names, strict=False):
            convolution.load_state_dict({"weight": state[f"{name}.weight"], "bias": state[f"{name}.bias"]})
        for number, weight in enumerate(self.weights):
            weight.copy_(state[f"lin{number}.model.1.weight"].flatten())

    def forward(self, images: Tensor, truth: Tensor) -> Tensor:
        with torch.no_grad():
            theirs = self.features(truth)
        total = torch.zeros(len(images), device=images.device)
        for mine, other, weight in zip(self.features(images), theirs, self.weights, strict=True):
            squares = (_unit(mine) - _unit(other)).square()
            total = total + (squares * weight[:, None, None]).sum(1).mean((1, 2))
        return total

    def features(self, images: Tensor) -> list[Tensor]:
        x = (images * 2 - 1 - self.shift) / self.scale
        found: list[Tensor] = []
        convolutions = iter(self.convolutions)
        for widths in _FIRST_LAYERS:
            if found:
                # The blur by (1, 2, 1) is two means of neighbours: several times as fast as a convolution by channel.
                x = F.pad(F.max_pool2d(x, 2, stride=1), (1, 1, 1, 1))
                x = F.avg_pool2d(F.avg_pool2d(x, 2, stride=1), 2)
            for _ in widths:
                x = F.relu(next(convolutions)(x))
            found.append(x)
        return found


def find_stlpips() -> Path | None:
    """The weights in the installed stlpips-pytorch package, whose code is not run; None without it."""
    spec = find_spec("stlpips_pytorch")
    places = (spec.submodule_search_locations or []) if spec else []
    return next((path for place in places if (path := Path(place) / _STLPIPS_FILE).is_file()), None)


def blur_pool(x: Tensor) -> Tensor:
    """Every second value of x [N, C, H, W] after the filter (1, 2, 1) / 4 both ways, on a reflection of 2 pixels."""
    line = torch.tensor([1.0, 2, 1], device=x.device, dtype=x.dtype) / 4
    kernel = (line[:, None] * line).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), kernel, stride=2, groups=x.shape[1])


def _unit_distance(a: Tensor, b: Tensor, *, each: bool = False) -> Tensor:
    """Squared distances of the feature vectors at length 1: [N, 1, H, W], or [N, C, H, W] for each channel."""
    difference = (_unit(a) - _unit(b)).square()
    return difference if each else difference.sum(1, keepdim=True)


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().sum(1, keepdim=True) + 1e-10).sqrt()


def _stored(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file raises anything from KeyError to UnpicklingError
        raise WeightsError(f"{path.name} cannot be read: {error}") from None
    if not isinstance(state, dict):
        raise WeightsError(f"{path.name} is no table of weights")
    return state
