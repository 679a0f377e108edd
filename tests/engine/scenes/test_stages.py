"""The stages end to end on drawn rooms, tiny: fields, latents, diffusion, and a scene out of nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from engine.scenes import stages
from engine.scenes.autoencoder import SceneAutoencoder
from engine.scenes.diffusion.hierarchy import DiffusionConfig, SceneDiffusion, StageSettings
from engine.scenes.latents import LatentAutoencoder, LatentConfig
from engine.scenes.stages import SceneTensors
from engine.scenes.training import NoHooks, StageBudget, train_stage
from engine.scenes.trajectory import cameras_of, rays_through, trajectory_of
from tests.engine.scenes.test_autoencoder import SIDE, TINY, room

LATENTS = LatentConfig(channels=5, grid=(4, 16, 16), g=4, c_channels=2, f_channels=2, codebook=16, width=16)


def rooms(count: int = 3, held_out: tuple[int, ...] = ()) -> SceneTensors:
    views = [room(offset) for offset in torch.linspace(-2, 2, count).tolist()]
    origins = torch.cat([each.rays.origins[:, :, 0, 0] for each in views])
    directions = torch.cat([each.rays.directions for each in views])
    forward = torch.nn.functional.normalize(directions.mean((2, 3)), dim=-1)
    return SceneTensors(
        images=torch.cat([(each.images * 255).byte() for each in views]),
        depths=torch.cat([each.depths for each in views]),
        valid=torch.cat([each.valid for each in views]),
        sky=torch.cat([each.sky for each in views]),
        origins=origins,
        directions=directions,
        trajectories=trajectory_of(origins, forward, TINY.grid, 2),
        held_out=held_out,
    )


def test_views_are_drawn_without_those_held_out() -> None:
    scenes = rooms(held_out=(1,))
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        chosen, which = scenes.draw(2, 3, generator, encode=True)
        assert chosen.shape == (2,) and (which != 1).all()
        assert all(len(set(row)) == 3 for row in which.tolist())
    assert scenes.given(8).tolist() == [0, 2, 3]
    views = scenes.views(chosen, which)
    torch.testing.assert_close(views.images, scenes.images[chosen[:, None], which].float() / 255)
    assert views.rays.origins.shape == views.rays.directions.shape == (2, 3, SIDE, SIDE, 3)


def test_a_field_survives_being_bounded() -> None:
    field = torch.rand(2, 4, 3, 3, 5) * 5
    torch.testing.assert_close(stages.unbounded(stages.bounded(field)), field, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("count", [1, 3, 8])
def test_a_trajectory_gives_its_cameras_back(count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    origins = torch.rand(2, count, 3, generator=generator) * torch.tensor([16.0, 16, 4])
    forward = torch.nn.functional.normalize(torch.randn(2, count, 3, generator=generator), dim=-1)
    found, right, down, sight = cameras_of(trajectory_of(origins, forward, TINY.grid, count), TINY.grid)
    torch.testing.assert_close(found, origins, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(sight, forward, rtol=1e-5, atol=1e-5)
    axes = torch.stack([right, down, sight], dim=-1)
    torch.testing.assert_close(axes.mT @ axes, torch.eye(3).expand(2, count, 3, 3), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(torch.linalg.det(axes), torch.ones(2, count))  # right-handed: x right, y down, z forward
    assert (down[..., 2] < 0).all()


def test_rays_of_a_camera() -> None:
    """Looking along x: the left of the picture is +y, its top +z."""
    axes = cameras_of(torch.tensor([[0.0, 0, 0, 1, 0, 0]]), TINY.grid)
    origins, directions = rays_through(*axes, cells=2, tangent=0.5)
    assert origins.shape == (1, 1, 2, 2, 3) and origins[0, 0, 0, 0].tolist() == [8, 8, 2]
    assert directions[0, 0].tolist() == [[[1, 0.25, 0.25], [1, -0.25, 0.25]], [[1, 0.25, -0.25], [1, -0.25, -0.25]]]


def test_a_scene_comes_out_of_all_stages(tmp_path: Path) -> None:
    torch.manual_seed(3)
    scenes = rooms()
    losses: dict[str, list[float]] = {}

    def hooks(name: str) -> NoHooks:
        class Heard(NoHooks):
            def step(self, stats) -> None:  # type: ignore[no-untyped-def]
                losses.setdefault(name, []).append(stats.loss)

        return Heard()

    budget = StageBudget(steps=25, learning_rate=4e-3, ema_decay=0.8)
    autoencoder = SceneAutoencoder(TINY)
    stage = stages.AutoencoderStage(autoencoder, scenes, given=3, asked=1)
    assert train_stage(stage, budget, folder=tmp_path / "autoencoder", hooks=hooks("autoencoder"))
    latents = LatentAutoencoder(LATENTS)
    second = stages.LatentStage(latents, autoencoder, scenes, given=4)
    assert train_stage(second, budget, folder=tmp_path / "latents", hooks=hooks("latents"))
    encoded = stages.encode_scenes(autoencoder, latents, scenes)
    shapes = dataclasses.replace(LATENTS.shapes, poses=scenes.trajectories.shape[1])
    assert {group: tuple(value.shape[1:]) for group, value in encoded.items()} == {
        group: shapes.of(group)
        for group in ("g", "c", "f")  # type: ignore[arg-type]
    }
    config = DiffusionConfig(g_width=16, g_depth=1, c_widths=(8,), f_widths=(8,), process="cosine", prediction="v")
    diffusion = SceneDiffusion(config, shapes)
    third = stages.DiffusionStage(diffusion, encoded, batch=4)
    assert train_stage(third, budget, folder=tmp_path / "diffusion", hooks=hooks("diffusion"))
    for heard in losses.values():
        assert len(heard) == 25 and sum(heard[-5:]) < sum(heard[:5])
    drawn = diffusion.generate(2, settings=StageSettings(steps=3), generator=torch.Generator().manual_seed(1))
    field, trajectory = stages.decode_scene(latents, drawn)
    assert field.shape == (2, 4, 16, 16, 5) and (field[..., 0] >= 0).all()
    axes = cameras_of(trajectory, TINY.grid)
    with torch.no_grad():
        seen = autoencoder.render(field, stages.Rays(*rays_through(*axes, cells=SIDE)))
    assert seen.image.shape == (2, 2, 3, 2 * SIDE, 2 * SIDE) and seen.image.isfinite().all()


@pytest.mark.parametrize("turns", [1, 2, 3, -1])
def test_a_turned_scene_looks_the_same_from_turned_cameras(turns: int) -> None:
    """The voxel at a camera's place, and the one it looks at, are the same ones before and after."""
    field = torch.arange(4 * 16 * 16.0).view(1, 1, 4, 16, 16)
    origins = torch.tensor([[[3.5, 10.5, 2.5], [12.5, 4.5, 1.5]]])
    forward = torch.tensor([[[1.0, 0, 0], [0, -1.0, 0]]])
    trajectory = stages.turned_trajectory(trajectory_of(origins, forward, TINY.grid, 2), turns)
    places, _, _, sight = cameras_of(trajectory, TINY.grid)
    found = stages.turned(field, turns)

    def voxel(of: torch.Tensor, point: torch.Tensor) -> float:
        x, y, z = point.floor().int().tolist()
        return float(of[0, 0, z, y, x])

    for camera in range(2):
        for reach in (0.0, 2.0):
            before, after = origins + reach * forward, places + reach * sight
            assert voxel(field, before[0, camera]) == voxel(found, after[0, camera])


def test_a_scene_is_decoded_without_the_groups_that_were_left_out() -> None:
    latents = LatentAutoencoder(LATENTS).eval()
    shapes = LATENTS.shapes
    drawn = {"c": torch.randn(2, *shapes.c), "f": torch.randn(2, *shapes.f)}
    field, trajectories = stages.decode_scene(latents, drawn)  # type: ignore[arg-type]
    assert field.shape == (2, 4, 16, 16, 5) and trajectories.shape == (2, 0)
    assert stages.decode_scene(latents, {"c": drawn["c"]})[0].shape == field.shape


def test_kept_fields_are_those_that_are_encoded_and_latents_come_turn_by_turn() -> None:
    torch.manual_seed(0)
    scenes = rooms(held_out=(1,))
    autoencoder, latents = SceneAutoencoder(TINY).eval(), LatentAutoencoder(LATENTS).eval()
    with torch.no_grad():
        fields = stages.encode_fields(autoencoder, scenes, given=3, batch=2)
        views = scenes.views(torch.tensor([2]), scenes.given(3)[None])
        alone = stages.bounded(autoencoder.encode(views.images, views.rays))
        torch.testing.assert_close(fields[2:], alone, rtol=1e-4, atol=1e-5)
        found = stages.encode_scenes(autoencoder, latents, scenes, given=3, turns=(0, 1), batch=2)
        again = latents.encode(stages.turned(fields[1:2], 1)).latents
    assert len(found["c"]) == 2 * len(scenes)
    torch.testing.assert_close(found["f"][len(scenes) + 1 :][:1], again["f"], rtol=1e-4, atol=1e-4)
    stage = stages.LatentStage(latents.train(), autoencoder, scenes, batch=2, given=1, asked=1, fields=fields)
    assert all(loss.isfinite() for loss in stage.losses(torch.Generator().manual_seed(0)).values())
