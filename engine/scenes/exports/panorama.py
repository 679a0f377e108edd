"""All that is seen from one place, as an equirectangular picture: twice as wide as high, its middle straight ahead.

The network that turns features into colours knows pictures of a narrow angle. So the sphere is covered by such
pictures, and each pixel is a mean of those that hold it, weighted towards their middles, without seams.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from engine.scenes.autoencoder import SceneAutoencoder
from engine.scenes.rig import Rig
from engine.scenes.volume import as_pixels, render_views

_TANGENT = 0.75  # 74 degrees: with turns of 45 degrees every direction lies well inside some picture
_HEADINGS = 8
_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" GPano:ProjectionType="equirectangular"
GPano:FullPanoWidthPixels="{width}" GPano:FullPanoHeightPixels="{height}" GPano:CroppedAreaImageWidthPixels="{width}"
GPano:CroppedAreaImageHeightPixels="{height}" GPano:CroppedAreaLeftPixels="0" GPano:CroppedAreaTopPixels="0"/>
</rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


@torch.no_grad()
def panorama(
    autoencoder: SceneAutoencoder, field: Tensor, camera: Rig, *, cells: int, height: int = 512
) -> npt.NDArray[np.uint8]:
    """[height, 2 height, 3] uint8, around the first camera of a rig; level, whatever the camera's pitch.

    Args:
        field: [Z, Y, X, 1 + C].
        cells: of a feature map's side in the pictures that are stitched.
    """
    camera = camera.to(field.device)
    start = float(torch.atan2(camera.forward[0, 1], camera.forward[0, 0]))
    sphere = _sphere(camera.origins[:1], start)
    points = camera.origins[:1] + directions(height, start).to(field.device).reshape(-1, 3)
    total = torch.zeros(len(points), 3, device=field.device)
    weights = torch.zeros(len(points), device=field.device)
    for part, seen in render_views(autoencoder, field, sphere, cells=cells):
        for number in range(len(part)):  # one by one: a panorama has half a million pixels
            places, depths = part[[number]].project(points)
            # Falls to nothing at the rim, smoothly.
            weight = (1 - places.abs().amax(-1)).clamp(min=0).square().where(depths > 0, 0.0)[0]
            image = seen.image[[number]].float()
            found = F.grid_sample(image, places[:, None], padding_mode="border", align_corners=False)
            total += found[0, :, 0].T * weight[:, None]
            weights += weight
    return as_pixels((total / weights[:, None]).view(height, 2 * height, 3).movedim(-1, 0))


def directions(height: int, start: float) -> Tensor:
    """Unit directions [height, 2 height, 3] of an equirectangular picture whose middle has the heading ``start``
    (radians, counter-clockwise from x): headings fall to the right, the top is up."""
    heading = start + math.pi - (torch.arange(2 * height) + 0.5) / height * math.pi
    pitch = math.pi / 2 - (torch.arange(height) + 0.5) / height * math.pi
    level = pitch.cos()[:, None]
    return torch.stack(
        [level * heading.cos(), level * heading.sin(), pitch.sin()[:, None].expand(-1, 2 * height)], dim=-1
    )


def write_panorama(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    """JPEG with the marks by which programs know a picture of the whole sphere."""
    height, width = pixels.shape[:2]
    Image.fromarray(pixels).save(path, quality=92, xmp=_XMP.format(width=width, height=height).encode())


def _sphere(origin: Tensor, start: float) -> Rig:
    """Pictures that cover the sphere: three rings, and straight up and down."""
    turns = torch.arange(_HEADINGS) / _HEADINGS * 2 * math.pi + start
    around = torch.stack([turns.cos(), turns.sin(), torch.zeros_like(turns)], 1)
    up = torch.tensor([0.0, 0, 1])
    rings = [around + tilt * up for tilt in (0.0, 1.0, -1.0)]
    ahead = around[:1] * 1e-3  # straight up, with a heading
    forward = torch.cat([*rings, ahead + up, ahead - up]).to(origin.device)
    return Rig.looking(origin.expand(len(forward), 3), forward, _TANGENT)
