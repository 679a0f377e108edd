"""Estimates of memory against what real steps keep, counted on the CPU, and against each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from engine.scenes.autoencoder import SceneAutoencoder, SceneConfig
from engine.scenes.data import (
    MemoryEstimate,
    SceneDataError,
    estimate_diffusion,
    estimate_latents,
    estimate_memory,
    packed_bytes,
)
from engine.scenes.diffusion.hierarchy import DiffusionConfig, SceneDiffusion
from engine.scenes.latents import LatentAutoencoder, LatentConfig
from engine.scenes.memory import rough_memory
from engine.scenes.stages import AutoencoderStage, DiffusionStage, LatentStage, SceneTensors
from tests.engine.scenes.test_stages import rooms

SCENE = SceneConfig(
    grid=(4, 16, 16), channels=4, stride=2, bins=12, near=1, far=12, samples=24, width=16, voxel_width=8
)
LATENTS = LatentConfig(channels=5, grid=(4, 16, 16), g=8, codebook=64, width=32)


def kept(run: Callable[[], dict[str, Tensor]], model: nn.Module) -> int:
    """Bytes of all tensors that the backward pass of a real step keeps, by their addresses."""
    weights = {each.untyped_storage().data_ptr() for each in model.parameters()}
    found: dict[int, tuple[int, Tensor]] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            found[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        losses = run()
    assert losses
    return sum(size for size, _ in found.values())


def test_the_diffusion_stage() -> None:
    config = DiffusionConfig(
        g_width=32, g_depth=2, c_widths=(32, 64), f_widths=(32, 32, 64), map_channels=4, map_side=4, map_width=16
    )
    shapes = dataclasses.replace(LATENTS.shapes, poses=12)
    model, latents = (
        SceneDiffusion(config, shapes),
        {group: torch.randn(9, *shapes.of(group)) for group in ("g", "c", "f")},
    )
    stage = DiffusionStage(model, latents, torch.rand(9, 4, 16, 16), batch=8)  # type: ignore[arg-type]
    real = kept(lambda: stage.losses(torch.Generator().manual_seed(0)), model)
    found = estimate_diffusion(config, shapes, scenes=9, batch=8, maps=(16, 16))
    assert found.latents == pytest.approx(real, rel=0.1)
    assert found.weights == 5 * 4 * sum(each.numel() for each in model.parameters())
    assert found.data == 4 * 9 * (sum(each[0].numel() for each in latents.values()) + 4 * 16 * 16)


def test_the_latents_stage() -> None:
    model, autoencoder = LatentAutoencoder(LATENTS), SceneAutoencoder(SCENE)
    stage = LatentStage(model, autoencoder, rooms(3), batch=2, given=3, asked=1)
    known = nn.ModuleList([model, autoencoder])
    real = kept(lambda: stage.losses(torch.Generator().manual_seed(0)), known)
    found = estimate_latents(LATENTS, SCENE, scenes=2, given=3, asked=1, size=16)
    # The plain-torch march keeps the samples of every ray, which the fused one does not.
    samples = 2 * 1 * 8 * 8 * SCENE.samples
    assert found.latents + found.pictures + found.fields + 4 * samples * (8 * 5 + 40) > real > found.latents


def test_the_networks_of_the_auto_encoder() -> None:
    model, scenes = SceneAutoencoder(SCENE), rooms(3)
    stage = AutoencoderStage(model, scenes, batch=2, given=3, asked=1)  # asks one of the given too
    views = scenes.views(torch.tensor([0, 1]), torch.tensor([[0, 1, 2], [0, 1, 2]]))
    encoded = kept(lambda: dict(enumerate(model.frustums(views.images, views.rays))), model)  # type: ignore[arg-type]
    found = estimate_memory(
        grid=SCENE.grid, channels=4, bins=12, scenes=2, views=3, asked=2, size=16, stride=2, width=16
    )
    assert 0.5 * found.pictures < encoded < found.pictures
    real = kept(lambda: stage.losses(torch.Generator().manual_seed(0)), model)
    assert real > 0.5 * (found.pictures + found.fields)


def test_more_of_anything_takes_more() -> None:
    sizes = {"channels": 8, "bins": 16, "scenes": 1, "views": 4, "size": 64, "stride": 4, "width": 16}

    def total(**change: int) -> int:
        return estimate_memory(grid=(8, 32, 32), **{**sizes, **change}).total

    first = total()
    assert all(total(**{name: 2 * value}) > first for name, value in sizes.items() if name != "stride")
    assert total(stride=8) < first
    small, large = (estimate_memory(grid=grid, **sizes).fields for grid in ((8, 32, 32), (16, 64, 64)))
    assert large == pytest.approx(8 * small, rel=0.01)


def test_packed_scenes_are_counted_as_they_are() -> None:
    scenes = rooms(3)
    views = ("images", "depths", "valid", "sky", "directions")
    real = sum(getattr(scenes, name).nbytes for name in views)
    assert packed_bytes(scenes=3, views=4, size=16, stride=2) == real
    assert {field.name for field in dataclasses.fields(SceneTensors)} >= set(views)


def test_a_refusal_names_the_largest_part() -> None:
    with pytest.raises(SceneDataError, match=r"about 8\.0 GiB and 1\.0 GiB .* the networks on latents .* narrower"):
        MemoryEstimate(latents=5 << 30, data=3 << 30).refuse(1 << 30)
    MemoryEstimate(latents=5 << 30).refuse(5 << 30)


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from([(8, 32, 32), (16, 64, 64), (32, 128, 128)]),
    st.sampled_from([8, 16, 32]),
    st.sampled_from([24, 64]),
    st.sampled_from([(32, 2), (64, 2), (64, 4), (128, 4), (128, 8)]),
    st.sampled_from([16, 32, 64]),
    st.integers(4, 16),
)
def test_the_guess_without_torch_is_near(
    grid: tuple[int, int, int], channels: int, bins: int, picture: tuple[int, int], width: int, views: int
) -> None:
    size, stride = picture
    sizes = {"channels": channels, "bins": bins, "scenes": 2, "views": views, "size": size, "stride": stride}
    sizes["width"] = width
    counted, guessed = estimate_memory(grid=grid, **sizes), rough_memory(grid=grid, **sizes)
    assert 0.7 < guessed / (counted.total - counted.weights) < 1.4
