"""A scene as a browser shows it: a volume of colours, a poster, and the manifest that names them.

    rig = Rig.of_trajectory(trajectory, autoencoder.config.grid, tangent)
    volume = scene_volume(autoencoder, field, rig)        # RGBA uint8 [Z, Y, X, 4]
    write_volume(Path("volume.rgba.gz"), volume)
    save_poster(Path("poster.jpg"), render_rig(autoencoder, field, rig[:1], cells=64)[0])

A field holds features, and the network that turns them into colours sees whole pictures. So views are rendered, and
their colours are carried back to the voxels they show.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from engine.scenes.autoencoder import Rendered, SceneAutoencoder
from engine.scenes.rig import Rig

MANIFEST_VERSION = 1
_SEEN_RAYS = 32_768  # at a time, to bound what the decoder holds
_SURFACE = 1.0  # voxels that a rendered depth and a voxel's may be apart for most of its colour to count
_SURE = 0.25  # of at least one picture: a point that is less is not seen
_FIRM = 1 / 512  # less of the light than this is 0 in 8 bits
_MOST_FITTED = 20_000  # voxels


@torch.no_grad()
def scene_volume(
    autoencoder: SceneAutoencoder, field: Tensor, rig: Rig | None = None, *, cells: int = 32
) -> npt.NDArray[np.uint8]:
    """RGBA of each voxel, [Z, Y, X, 4] uint8: its colour in sRGB, and A = 1 - exp(-density), what of the light its
    length stops.

    Args:
        field: [Z, Y, X, 1 + C], density first.
        rig: cameras whose pictures give the colours, best the scene's own; without, `Rig.around`.
        cells: of a feature map's side in those pictures.
    """
    opacity = -torch.expm1(-field[..., 0].float().clamp(min=0))
    firm = opacity > _FIRM
    where = firm.nonzero()  # z, y, x
    colours = colours_at(autoencoder, field, where.flip(1).float() + 0.5, rig, cells=cells)
    volume = torch.zeros(*firm.shape, 4, device=field.device)
    volume[..., 3] = opacity
    volume[where[:, 0], where[:, 1], where[:, 2], :3] = colours
    _bleed(volume, firm)
    out: npt.NDArray[np.uint8] = (volume.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    return out


@torch.no_grad()
def colours_at(
    autoencoder: SceneAutoencoder, field: Tensor, points: Tensor, rig: Rig | None = None, *, cells: int = 32
) -> Tensor:
    """Colours [P, 3] in [0, 1] of points [P, 3] as (x, y, z) in voxels.

    The mean of what the pictures show where a point is what they see: the rendered depth agrees with it, the ray ends
    there, and the camera is near. Points that no picture shows get the colour that their features have elsewhere
    (least squares over the points that are seen).
    """
    z, y, x, _ = field.shape
    if len(points) == 0:
        return points.new_zeros(0, 3)
    rig = (Rig.around((z, y, x)) if rig is None else rig).to(field.device)
    total = points.new_zeros(len(points), 3)
    weights, best = points.new_zeros(len(points)), points.new_zeros(len(points))
    for part, seen in render_views(autoencoder, field, rig, cells=cells):
        for number in range(len(part)):  # one by one: a grid has half a million points
            camera, picture = part[[number]], Rendered(*(each[[number]] for each in seen))
            found, sure, depths = _seen_in(camera, picture, points, autoencoder.config.near)
            weight = sure / depths.clamp(min=1.0)
            total += found * weight[:, None]
            weights += weight
            best = torch.maximum(best, sure)
    seen_at_all = best > _SURE
    colours = total / weights.clamp(min=1e-6)[:, None]
    if not seen_at_all.any():
        return torch.full_like(colours, 0.5)
    if not seen_at_all.all():
        features = features_at(field, points)
        colours = torch.where(seen_at_all[:, None], colours, _fitted(features, colours, seen_at_all).clamp(0, 1))
    return colours


def features_at(field: Tensor, points: Tensor) -> Tensor:
    """[P, C] of a field [Z, Y, X, 1 + C]: trilinear between voxel centres at points [P, 3], (x, y, z)."""
    z, y, x, _ = field.shape
    places = points / points.new_tensor([x, y, z]) * 2 - 1
    sampled = F.grid_sample(
        field[None, ..., 1:].movedim(-1, 1).float(),
        places[None, None, None],
        padding_mode="border",
        align_corners=False,
    )
    return sampled[0, :, 0, 0].T


@torch.no_grad()
def render_views(
    autoencoder: SceneAutoencoder, field: Tensor, rig: Rig, *, cells: int
) -> Iterator[tuple[Rig, Rendered]]:
    """The pictures of a field [Z, Y, X, 1 + C] in parts that fit into memory, each with its cameras: images
    [k, 3, h, w], depth and accumulation [k, cells, cells]."""
    rig = rig.to(field.device)
    together = max(1, _SEEN_RAYS // cells**2)
    for start in range(0, len(rig), together):
        part = rig[start : start + together]
        seen = autoencoder.render(field[None], part.rays(cells))
        yield part, Rendered(seen.image[0], seen.depth[0], seen.accumulation[0])


def render_rig(autoencoder: SceneAutoencoder, field: Tensor, rig: Rig, *, cells: int) -> npt.NDArray[np.uint8]:
    """Pictures [K, h, w, 3] uint8 of a field [Z, Y, X, 1 + C], of `cells` times the stride pixels each way."""
    parts = [as_pixels(seen.image) for _, seen in render_views(autoencoder, field, rig, cells=cells)]
    return np.concatenate(parts)


def as_pixels(images: Tensor) -> npt.NDArray[np.uint8]:
    """Pictures [..., 3, h, w] in [0, 1] -> [..., h, w, 3] uint8."""
    pixels: npt.NDArray[np.uint8] = (
        (images.float().clamp(0, 1) * 255).round().to(torch.uint8).movedim(-3, -1).cpu().numpy()
    )
    return pixels


@torch.no_grad()
def sky_colour(autoencoder: SceneAutoencoder) -> tuple[int, int, int]:
    """What rays see that leave the grid, sRGB 0..255: the mean of a picture of nothing, taken slightly upwards."""
    z, y, x = autoencoder.config.grid
    weights = next(autoencoder.parameters())
    rig = Rig.looking(torch.tensor([[x / 2, y / 2, z / 2]]), torch.tensor([[1.0, 0.0, 0.3]])).to(weights.device)
    nothing = torch.zeros(1, z, y, x, 1 + autoencoder.config.channels, device=weights.device)
    image = autoencoder.render(nothing, rig.rays(8)).image[0, 0]
    red, green, blue = (image.mean((1, 2)) * 255).round().int().tolist()
    return red, green, blue


def save_poster(path: Path, pixels: npt.NDArray[np.uint8], *, side: int | None = None) -> None:
    """A picture [h, w, 3] as JPEG or whatever the suffix says; `side` stretches it first."""
    image = Image.fromarray(pixels)
    if side is not None:
        image = image.resize((side, side), Image.Resampling.BICUBIC)
    image.save(path, quality=90)


def write_volume(path: Path, volume: npt.NDArray[np.uint8]) -> int:
    """Raw bytes in C order (Z, Y, X, 4), gzip-compressed; the same volume gives the same file. Returns its size."""
    packed = gzip.compress(np.ascontiguousarray(volume).tobytes(), 6, mtime=0)
    path.write_bytes(packed)
    return len(packed)


def read_volume(path: Path, grid: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """The inverse of `write_volume`. Raises ValueError for a file that is not of this grid."""
    size = 4 * math.prod(grid)
    with gzip.open(path) as packed:
        raw = packed.read(size + 1)
    if len(raw) != size:
        raise ValueError(f"{path.name} is no volume of {grid} voxels")
    return np.frombuffer(raw, np.uint8).reshape(*grid, 4)


class PreviewStep(NamedTuple):
    label: str  # "coarse, step 5 of 20"
    volume: str  # url


class Download(NamedTuple):
    label: str
    url: str


@dataclass(frozen=True, slots=True)
class Urls:
    """Where the files of a scene are served; the names that they are stored under, unless told."""

    volume: str = "volume.rgba.gz"
    poster: str = "poster.jpg"
    steps: Sequence[PreviewStep] = ()
    downloads: Sequence[Download] = ()


def make_manifest(
    name: str,
    grid: tuple[int, int, int],
    rig: Rig,
    urls: Urls = Urls(),
    *,
    sky: tuple[int, int, int],
    voxel_metres: float | None = None,
    seconds: float = 8.0,
) -> dict[str, Any]:
    """What the viewer reads: grid (Z, Y, X), cameras and the default flight in voxels."""
    keys = rig.toured().described()
    return {
        "version": MANIFEST_VERSION,
        "name": name,
        "grid": list(grid),
        "voxel_metres": voxel_metres,
        "volume": urls.volume,
        "poster": urls.poster,
        "sky": list(sky),
        "cameras": rig.described(),
        "path": {"seconds": seconds, "keys": [{part: key[part] for part in ("origin", "forward")} for key in keys]},
        "steps": [step._asdict() for step in urls.steps],
        "downloads": [each._asdict() for each in urls.downloads],
    }


def _seen_in(camera: Rig, picture: Rendered, points: Tensor, near: float) -> tuple[Tensor, Tensor, Tensor]:
    """Of one camera's picture at points [P, 3]: colours [P, 3], how sure it is that they show them, and depths."""
    places, depths = camera.project(points)
    inside = (places.abs() < 1).all(-1) & (depths > near)
    surface, ended = _looked_up(picture.depth, places), _looked_up(picture.accumulation, places)
    apart = (depths - surface) * (1 + (places * camera.tangent).square().sum(-1)).sqrt()  # along the ray
    sure = (torch.exp(-((apart / _SURFACE) ** 2) / 2) * ended).where(inside, 0.0)
    found = F.grid_sample(picture.image.float(), places[:, None], padding_mode="border", align_corners=False)
    return found[0, :, 0].T, sure[0], depths[0]


def _looked_up(maps: Tensor, places: Tensor) -> Tensor:
    """Values [K, P] of maps [K, H, W] at places [K, P, 2]: of the nearest cell, since depths of different things have
    no mean."""
    found = F.grid_sample(
        maps[:, None].float(), places[:, None], mode="nearest", padding_mode="border", align_corners=False
    )
    return found[:, 0, 0]


def _fitted(features: Tensor, colours: Tensor, known: Tensor) -> Tensor:
    """Colours [P, 3] as a linear function of features [P, C] and 1, fitted where they are known, with a small ridge."""
    rows = known.nonzero()[:, 0]
    rows = rows[:: max(1, len(rows) // _MOST_FITTED)]
    inputs = torch.cat([features, torch.ones_like(features[:, :1])], 1).double()
    chosen = inputs[rows]
    gram = chosen.T @ chosen / len(rows)
    ridge = 1e-4 * gram.diagonal().mean() * torch.eye(len(gram), device=gram.device, dtype=gram.dtype)
    fitted = torch.linalg.solve(gram + ridge, chosen.T @ colours[rows].double() / len(rows))
    predicted: Tensor = (inputs @ fitted).to(colours.dtype)
    return predicted


def _bleed(volume: Tensor, firm: Tensor) -> None:
    """Give empty voxels beside firm ones their colour, in place: a viewer that interpolates would darken edges."""
    weight = firm.float()[None, None]
    summed = F.avg_pool3d((volume[..., :3].movedim(-1, 0)[None] * weight), 3, stride=1, padding=1)
    beside = F.avg_pool3d(weight, 3, stride=1, padding=1)
    mean = (summed / beside.clamp(min=1e-6))[0].movedim(0, -1)
    volume[..., :3] = torch.where(firm[..., None], volume[..., :3], mean)
