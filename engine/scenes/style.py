"""A scene in another style: like a picture, or like words where the user supplies CLIP's weights.

    styled = style_by_image(autoencoder, field, rig, image)
    styled = style_by_text(autoencoder, field, rig, "a castle at dusk", clip=Path("clip-vit-base-patch32"))

Shapes stay; the features of the voxels change. Style is what statistics of features say wherever in a picture they
are (Gatys et al. 2016): here their means and spreads, as in AdaIN (Huang and Belongie 2017), at several scales.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.scenes.autoencoder import SceneAutoencoder
from engine.scenes.optimise import DEFAULT, FieldSettings, Heard, Shown, optimise_field
from engine.scenes.perceptual import FeatureDistance
from engine.scenes.rig import Rig
from engine.training.checkpoint import WeightsError

_CLIP_FILES = ("config.json", "model.safetensors")
_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # Radford et al. 2021


class Features(Protocol):
    """Pictures [N, 3, H, W] in [0, 1] -> maps of features [N, C, h, w] from fine to coarse."""

    def features(self, images: Tensor) -> list[Tensor]: ...


@dataclass(frozen=True, slots=True)
class StyleSettings:
    style: float = 3.0  # weight
    content: float = 1.0  # weight of what the scene showed at first, by its coarsest features


class StyleError(ValueError):
    """A style that cannot be made; the message says what is missing."""


def style_by_image(
    autoencoder: SceneAutoencoder,
    field: Tensor,
    rig: Rig,
    image: Tensor,
    *,
    settings: FieldSettings = DEFAULT,
    style: StyleSettings = StyleSettings(),
    network: Features | None = None,
    on_step: Heard | None = None,
) -> Tensor:
    """A field [Z, Y, X, 1 + C] that looks like ``image`` [3, H, W] in [0, 1] in colours and textures.

    ``network`` tells styles apart: `FeatureDistance` unless told, or ShiftTolerantLpips.

    Raises:
        NonFiniteField: a loss is not a number.
    """
    found: Features = FeatureDistance().to(field.device) if network is None else network
    side = settings.cells * autoencoder.config.stride
    # Textures are compared at the size they are shown.
    reference = F.interpolate(image[None].to(field.device), (side, side), mode="bilinear", antialias=True)
    with torch.no_grad():
        wanted = [statistics(each) for each in (reference, *found.features(reference))]

    def loss(seen: Shown, generator: torch.Generator) -> dict[str, Tensor]:
        # The sky cannot change: the style itself stands in for it, so that walls do not make up for it.
        filled = seen.images * seen.solid + reference * (1 - seen.solid)
        return {
            "style": style.style * style_distance([filled, *found.features(filled)], wanted),
            "content": style.content * _content(found, seen),
        }

    return optimise_field(autoencoder, field, rig, loss, replace(settings, density=False), on_step)


def style_by_text(
    autoencoder: SceneAutoencoder,
    field: Tensor,
    rig: Rig,
    text: str,
    *,
    clip: Path | None,
    settings: FieldSettings = DEFAULT,
    style: StyleSettings = StyleSettings(),
    network: Features | None = None,
    on_step: Heard | None = None,
) -> Tensor:
    """A field [Z, Y, X, 1 + C] whose pictures lie nearer to a text, by CLIP (Radford et al. 2021).

    ``clip``: a folder with a CLIP model as transformers saves it, which its user supplies.

    Raises:
        StyleError: no text, or no CLIP.
        WeightsError: the folder holds something else.
        NonFiniteField: a loss is not a number.
    """
    if not text.strip():
        raise StyleError("Say in words what the scene should look like.")
    if clip is None:
        raise StyleError(
            "Style by text needs CLIP's weights, which do not come with this program: give the folder of a CLIP model "
            "(config.json, model.safetensors and its tokenizer), or use a picture as the style."
        )
    likeness = text_likeness(clip, text, field.device)
    found: Features = FeatureDistance().to(field.device) if network is None else network

    def loss(seen: Shown, generator: torch.Generator) -> dict[str, Tensor]:
        return {
            "style": style.style * (1 - likeness(seen.images)).mean(),
            "content": style.content * _content(found, seen),
        }

    return optimise_field(autoencoder, field, rig, loss, replace(settings, density=False), on_step)


def statistics(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Means and spreads [N, C] of maps [N, C, h, w] over their places."""
    flat = maps.flatten(2)
    return flat.mean(2), (flat.var(2, correction=0) + 1e-6).sqrt()


def style_distance(maps: list[Tensor], wanted: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Squared differences of means and spreads from those wanted, as shares of the wanted mean square, so that each
    scale counts alike: summed over scales, mean over pictures."""
    total = maps[0].new_zeros(())
    for each, (mean, spread) in zip(maps, wanted, strict=True):
        found_mean, found_spread = statistics(each)
        unit = (mean.square() + spread.square()).mean().clamp(min=1e-6)
        total = total + ((found_mean - mean).square().mean() + (found_spread - spread).square().mean()) / unit
    return total


def text_likeness(folder: Path, text: str, device: torch.device | str) -> Callable[[Tensor], Tensor]:
    """Cosine similarities [N] of pictures [N, 3, h, w] in [0, 1] with a text.

    Raises:
        WeightsError: the folder is no CLIP model.
    """
    if missing := [name for name in _CLIP_FILES if not (folder / name).is_file()]:
        raise WeightsError(f"{folder} is no folder of a CLIP model: {' and '.join(missing)} missing")
    from transformers import AutoTokenizer, CLIPModel

    try:
        model: Any = CLIPModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        tokens = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)(
            [text], truncation=True, max_length=model.config.text_config.max_position_embeddings, return_tensors="pt"
        )
    except Exception as error:  # foreign files: anything from KeyError to OSError
        raise WeightsError(f"{folder.name} cannot be read as a CLIP model: {error}") from None
    model = model.to(device).eval().requires_grad_(False)
    side = model.config.vision_config.image_size
    mean, std = (torch.tensor(each, device=device).view(3, 1, 1) for each in (_CLIP_MEAN, _CLIP_STD))
    with torch.no_grad():
        wanted = F.normalize(_embedding(model.get_text_features(**tokens.to(device))), dim=-1)

    def likeness(images: Tensor) -> Tensor:
        sized = F.interpolate(images, (side, side), mode="bicubic", antialias=True).clamp(0, 1)
        found = F.normalize(_embedding(model.get_image_features(pixel_values=(sized - mean) / std)), dim=-1)
        return (found * wanted).sum(-1)

    return likeness


def _embedding(found: Any) -> Tensor:
    """Of a model's answer, which newer versions of transformers wrap."""
    embedding: Tensor = found if isinstance(found, Tensor) else found.pooler_output
    return embedding


def _content(network: Features, seen: Shown) -> Tensor:
    """How far coarse features are from those of the scene at first, as a share of their size."""
    maps, before = network.features(seen.images)[-1], network.features(seen.before)[-1]
    return (maps - before).square().mean() / before.square().mean().clamp(min=1e-6)
