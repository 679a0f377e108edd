"""The volume, poster, flight and manifest of a scene whose colours are known: a room that shows its features."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicHermiteSpline
from torch import Tensor, nn
from torch.nn import functional as F

from engine.scenes.autoencoder import SceneAutoencoder, SceneConfig
from engine.scenes.diffusion.hierarchy import DiffusionConfig, SceneDiffusion, StageSettings
from engine.scenes.editing import Box, inpaint
from engine.scenes.latents import LatentAutoencoder, LatentConfig
from engine.scenes.preview import Forming, Preview
from engine.scenes.rig import Rig, catmull_rom
from engine.scenes.stages import decode_scene
from engine.scenes.volume import (
    Download,
    PreviewStep,
    Urls,
    as_pixels,
    colours_at,
    make_manifest,
    read_volume,
    render_rig,
    render_views,
    save_poster,
    scene_volume,
    sky_colour,
    write_volume,
)

GRID = (6, 16, 16)
COLOURS = torch.tensor(
    [[0.9, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.9], [0.9, 0.9, 0.1]]
)  # walls east, north, west, south


class Showing(nn.Module):
    """A decoder whose pictures are the first three features: what a voxel shows is known."""

    def forward(self, maps: Tensor) -> Tensor:
        return F.interpolate(maps[:, :3], scale_factor=2.0)


def showing() -> SceneAutoencoder:
    config = SceneConfig(grid=GRID, channels=4, stride=2, bins=4, near=0.5, far=24.0, samples=96, width=8)
    model = SceneAutoencoder(config).eval()
    model.decoder = Showing()  # type: ignore[assignment]
    nn.init.zeros_(model.background.weight)
    nn.init.constant_(model.background.bias, 0.25)
    return model


def room() -> Tensor:
    """Four dense walls, one voxel from the rim. The air before a wall has its features: between voxels a ray meets a
    mixture."""
    field = torch.zeros(*GRID, 5)
    y, x = torch.meshgrid(torch.arange(16.0) - 7.5, torch.arange(16.0) - 7.5, indexing="ij")
    nearest = torch.where(x.abs() >= y.abs(), torch.where(x > 0, 0, 2), torch.where(y > 0, 1, 3))
    field[..., 1:4] = COLOURS[nearest]
    field[..., 0] = 20.0 * (torch.maximum(x.abs(), y.abs()) == 6.5)
    return field


def test_voxels_get_the_colour_that_they_show() -> None:
    volume = scene_volume(showing(), room())
    assert volume.shape == (*GRID, 4) and volume.dtype == np.uint8
    middle = [volume[3, 8, 14], volume[3, 14, 8], volume[3, 8, 1], volume[3, 1, 8]]
    np.testing.assert_allclose(np.array(middle)[:, :3], COLOURS.numpy() * 255, atol=20)
    assert all(voxel[3] == 255 for voxel in middle)
    assert volume[3, 8, 8].tolist() == [0, 0, 0, 0]
    # Beside a wall: its colour, but nothing there.
    np.testing.assert_allclose(volume[3, 8, 13, :3], volume[3, 8, 14, :3], atol=20)
    assert volume[3, 8, 13, 3] == 0


def test_opacity_is_what_a_voxel_stops() -> None:
    field = torch.zeros(*GRID, 5)
    field[3, 8, 8, 0], field[3, 8, 9, 0] = math.log(2), 1e-4
    volume = scene_volume(showing(), field)
    assert volume[3, 8, 8, 3] == 128 and volume[3, 8, 9, 3] == 0


def test_what_no_picture_shows_gets_the_colour_of_its_features() -> None:
    """Behind the east wall, seen by nobody, stands something with the features of the north wall."""
    field = room()
    field[:, 4:12, 15] = torch.cat([torch.tensor([20.0]), COLOURS[1], torch.tensor([0.0])])
    inside = Rig.looking(torch.tensor([[8.0, 8, 3]]).expand(8, 3), _around(8))
    points = torch.cat([torch.tensor([[15.9, 8.0, 3.0]]), (room()[..., 0] > 0).nonzero().flip(1) + 0.5])
    hidden = colours_at(showing(), field, points, inside)[0]
    assert (hidden - COLOURS[1]).abs().max() < 0.2
    nobody = Rig.looking(torch.tensor([[8.0, 8, 3]]), torch.tensor([[1.0, 0, 0]]))
    assert colours_at(showing(), torch.zeros(*GRID, 5), torch.tensor([[2.0, 8, 3]]), nobody).tolist() == [[0.5] * 3]
    assert colours_at(showing(), room(), torch.zeros(0, 3)).shape == (0, 3)


def _around(count: int) -> Tensor:
    turn = torch.arange(count) / count * 2 * math.pi
    return torch.stack([turn.cos(), turn.sin(), torch.zeros_like(turn)], 1)


def test_views_in_parts_are_those_at_once() -> None:
    model, field = showing(), room()
    rig = Rig.around(GRID, tangent=0.7)
    assert len(rig) == 40
    whole = model.render(field[None], rig.rays(8))
    parts = torch.cat([seen.image for _, seen in render_views(model, field, rig, cells=8)])
    torch.testing.assert_close(parts, whole.image[0])
    pixels = render_rig(model, field, rig[:2], cells=8)
    assert pixels.shape == (2, 16, 16, 3) and np.array_equal(pixels, as_pixels(whole.image[0, :2]))


def test_a_projected_point_lies_on_its_ray() -> None:
    generator = torch.Generator().manual_seed(0)
    rig = Rig.looking(torch.rand(3, 3, generator=generator) * 9, torch.randn(3, 3, generator=generator), tangent=0.6)
    rays = rig.rays(4)
    points = (rays.origins + 5 * rays.directions)[0].reshape(3, 16, 3)
    places, depths = rig.project(points)
    torch.testing.assert_close(depths, torch.full((3, 16), 5.0))
    across = (torch.arange(4) + 0.5) / 2 - 1
    expected = torch.stack(torch.meshgrid(across, across, indexing="xy"), -1).reshape(16, 2).expand(3, 16, 2)
    torch.testing.assert_close(places, expected, atol=1e-5, rtol=1e-5)
    pose = rig.camera_to_voxels
    torch.testing.assert_close(pose[:, :3, 3], rig.origins)
    torch.testing.assert_close(torch.linalg.det(pose), torch.ones(3))


def test_the_spline_against_scipy() -> None:
    keys = torch.randn(5, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    at = torch.linspace(0, 4, 33, dtype=torch.float64)
    padded = np.concatenate([2 * keys[:1] - keys[1:2], keys, 2 * keys[-1:] - keys[-2:-1]])
    slopes = (padded[2:] - padded[:-2]) / 2
    expected = CubicHermiteSpline(np.arange(5), keys.numpy(), slopes)(at.numpy())
    np.testing.assert_allclose(catmull_rom(keys, at).numpy(), expected, atol=1e-12)


def test_a_flight_passes_its_cameras_and_turns_the_short_way() -> None:
    forward = torch.tensor([[-1.0, 0.2, 0.1], [-1, -0.2, 0], [0, -1, -0.3]])
    rig = Rig.looking(torch.tensor([[1.0, 2, 3], [4, 2, 3], [4, 6, 2]]), forward)
    flight = rig.flown(21)
    torch.testing.assert_close(flight.origins[[0, 10, 20]], rig.origins)
    torch.testing.assert_close(flight.forward[[0, 10, 20]], rig.forward, atol=1e-5, rtol=1e-5)
    assert (flight.forward[:10, 0] < -0.9).all()  # past the jump of the angle at -x, not around through +x
    around = rig[:1].flown(4)
    assert torch.equal(around.origins, rig.origins[:1].expand(4, 3))
    torch.testing.assert_close(around.forward.sum(0), torch.zeros(3), atol=1e-5, rtol=0)


def test_a_tour_goes_to_the_nearest_next() -> None:
    along = torch.tensor([[0.0, 0, 0], [30, 0, 0], [10, 0, 0], [20, 0, 0]])
    tour = Rig.looking(along, torch.tensor([[1.0, 0, 0]]).expand(4, 3)).toured()
    assert tour.origins[:, 0].tolist() == [0, 10, 20, 30]


def test_files(tmp_path: Path) -> None:
    volume = scene_volume(showing(), room())
    path = tmp_path / "volume.rgba.gz"
    size = write_volume(path, volume)
    assert path.stat().st_size == size and gzip.decompress(path.read_bytes()) == volume.tobytes()
    assert np.array_equal(read_volume(path, GRID), volume)
    with pytest.raises(ValueError, match="no volume"):
        read_volume(path, (6, 16, 15))
    save_poster(tmp_path / "poster.jpg", render_rig(showing(), room(), Rig.around(GRID)[:1], cells=8)[0], side=32)
    assert (tmp_path / "poster.jpg").read_bytes()[:2] == b"\xff\xd8"


def test_a_manifest_is_plain_json() -> None:
    rig = Rig.around(GRID, tangent=0.625)[:3]
    urls = Urls(
        "/v", "/p", steps=[PreviewStep("coarse, step 5 of 20", "/s")], downloads=[Download("Mesh (.glb)", "/m")]
    )
    manifest = make_manifest("Scene 3", GRID, rig, urls, sky=sky_colour(showing()), voxel_metres=0.1875)
    assert json.loads(json.dumps(manifest)) == manifest
    assert manifest["version"] == 1 and manifest["grid"] == [6, 16, 16] and manifest["sky"] == [64, 64, 64]
    camera = manifest["cameras"][0]
    assert camera == {
        "origin": [8, 8, 3],
        "right": [0, -1, 0],
        "down": [0, 0, -1],
        "forward": [1, 0, 0],
        "tangent": 0.625,
    }
    assert len(manifest["path"]["keys"]) == 3 and set(manifest["path"]["keys"][0]) == {"origin", "forward"}
    assert manifest["steps"] == [{"label": "coarse, step 5 of 20", "volume": "/s"}]


LATENTS = LatentConfig(channels=5, grid=(4, 8, 8), g=3, c_channels=2, f_channels=2, codebook=8, width=8)


def _models(groups: tuple[str, ...] = ("g", "c", "f")) -> tuple[SceneDiffusion, LatentAutoencoder]:
    torch.manual_seed(0)
    shapes = LATENTS.shapes
    config = DiffusionConfig(g_width=8, g_depth=1, c_widths=(8,), f_widths=(8,), groups=groups)  # type: ignore[arg-type]
    return SceneDiffusion(config, shapes).eval(), LatentAutoencoder(LATENTS).eval()


def test_previews_are_of_the_estimate_so_far() -> None:
    diffusion, latents = _models()
    shown: list[Forming] = []
    drawn = diffusion.generate(
        2, settings=StageSettings(steps=5), on_step=Preview(diffusion, latents, shown.append, every=2)
    )
    assert [each.label for each in shown] == [
        f"{name}, step {step} of 5" for name in ("coarse", "fine") for step in (2, 4, 5)
    ]
    assert shown[0].fields.shape == (2, 4, 8, 8, 5)
    torch.testing.assert_close(shown[-1].fields, decode_scene(latents, drawn)[0])  # at the end it is the scene
    known = {"g": drawn["g"], "c": drawn["c"]}  # what there is when c is done
    torch.testing.assert_close(shown[2].fields, decode_scene(latents, known)[0])  # type: ignore[arg-type]


def test_previews_of_an_edit_and_of_an_ablation() -> None:
    diffusion, latents = _models()
    drawn, shown = diffusion.generate(1, settings=StageSettings(steps=1)), []
    inpaint(
        diffusion,
        drawn,
        Box(0, 0, 0.5, 0.5),
        settings=StageSettings(steps=2),
        on_step=Preview(diffusion, latents, shown.append, given=drawn),
    )
    assert [each.label for each in shown] == ["coarse, step 2 of 2", "fine, step 2 of 2"]
    without, latents = _models(("c",))
    without.generate(1, settings=StageSettings(steps=1), on_step=Preview(without, latents, shown.append))
    assert shown[-1].label == "coarse, step 1 of 1" and shown[-1].fields.isfinite().all()
