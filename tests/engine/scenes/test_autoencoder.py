"""The scene auto-encoder on a drawn room: four cameras in its middle, each wall of another colour."""

from __future__ import annotations

import pytest
import torch

from engine.scenes.autoencoder import Rays, SceneAutoencoder, SceneConfig, Views

TINY = SceneConfig(grid=(4, 16, 16), channels=4, stride=2, bins=12, near=1.0, far=12.0, samples=24, width=16)
SIDE = 8  # of the feature maps


def room(offset: float = 0.0) -> Views:
    """Views along +x, +y, -x, -y from near the middle of a box of walls at 1 and 15 voxels."""
    origin = torch.tensor([8.0 + offset, 8.0 - offset, 2.0])
    across = (torch.arange(SIDE) + 0.5) / SIDE * 2 - 1
    images, depths, directions = [], [], []
    colours = torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.9, 0.1], [0.1, 0.1, 0.9], [0.9, 0.9, 0.1]])
    for turn in range(4):
        heading = torch.tensor([[1.0, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]])[turn]
        right = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 1, 0], [-1, 0, 0]])[turn]
        rays = heading + across[None, :, None] * right + across[:, None, None] * torch.tensor([0, 0, -0.2])
        reach = torch.where(rays > 0, (15 - origin) / rays, (1 - origin) / rays)[..., :2]
        depth, wall = reach.nan_to_num(posinf=99).clamp(min=0).where(rays[..., :2] != 0, 99.0).min(-1)
        colour = torch.where(wall == 0, torch.where(rays[..., 0] > 0, 0, 2), torch.where(rays[..., 1] > 0, 1, 3))
        depths.append(depth)
        directions.append(rays)
        shade = 1 - depth[..., None] / 20  # without it nothing in a picture says how far a wall is
        images.append((colours[colour] * shade).movedim(-1, 0).repeat_interleave(2, 1).repeat_interleave(2, 2))
    stacked = torch.stack(directions)[None]
    return Views(
        torch.stack(images)[None],
        torch.stack(depths)[None],
        torch.ones(1, 4, SIDE, SIDE, dtype=torch.bool),
        torch.zeros(1, 4, SIDE, SIDE, dtype=torch.bool),
        Rays(origin.expand_as(stacked), stacked),
    )


def test_shapes_and_ranges() -> None:
    torch.manual_seed(0)
    model = SceneAutoencoder(TINY)
    views = room()
    field = model.encode(views.images, views.rays)
    assert field.shape == (1, 4, 16, 16, 5) and (field[..., 0] >= 0).all()
    seen = model.render(field, views.rays)
    assert seen.image.shape == views.images.shape and 0 <= float(seen.image.min()) <= float(seen.image.max()) <= 1
    assert seen.depth.shape == seen.accumulation.shape == views.depths.shape
    assert float(model.depths[0]) > TINY.near and float(model.widths.sum()) == pytest.approx(TINY.far - TINY.near)


def test_bad_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="power of 2"):
        SceneConfig(stride=3)
    with pytest.raises(ValueError, match="near < far"):
        SceneConfig(near=5, far=4)


def test_an_empty_field_shows_the_background_alone() -> None:
    model = SceneAutoencoder(TINY)
    views = room()
    seen = model.render(torch.zeros(1, 4, 16, 16, 5), views.rays)
    assert not seen.accumulation.any() and not seen.depth.any()
    torch.testing.assert_close(seen.image[0, 0], seen.image[0, 3])


def test_it_learns_the_room_and_shows_it_from_elsewhere() -> None:
    torch.manual_seed(1)
    model = SceneAutoencoder(TINY)
    optimiser = torch.optim.AdamW(model.parameters(), 5e-3)
    for _ in range(250):
        given, asked = (room(float(4 * torch.rand(()) - 2)) for _ in range(2))
        losses = model.losses(given, asked)
        optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimiser.step()
    model.eval()
    with torch.no_grad():
        given, elsewhere = room(0.0), room(-1.0)
        field = model.encode(given.images, given.rays)
        seen = model.render(field, elsewhere.rays)
    image, depth = (seen.image - elsewhere.images).abs().mean(), (seen.depth - elsewhere.depths).abs()
    assert image < 0.15, image
    assert (depth / elsewhere.depths).median() < 0.35, depth


def test_a_perceptual_loss_joins_with_its_weight() -> None:
    model = SceneAutoencoder(TINY)
    losses = model.losses(room(), room(), perceptual=lambda a, b: (a - b).square().mean((1, 2, 3)) * 0 + 3.0)
    assert float(losses["perceptual"]) == pytest.approx(0.3)


def test_what_a_mask_leaves_out_teaches_nothing() -> None:
    """However wrong the masked pixels are, losses and gradients are those of the others."""
    torch.manual_seed(2)
    model, views = SceneAutoencoder(TINY), room()
    ignored = torch.zeros(1, 4, SIDE, SIDE, dtype=torch.bool)
    ignored[..., :3] = True
    wrong = views.images.clone()
    wrong[..., :6] = 1 - wrong[..., :6]
    found = []
    for images in (views.images, wrong):
        asked = views._replace(images=images, ignored=ignored)
        losses = model.losses(views, asked, perceptual=lambda a, b: (a - b).square().mean((1, 2, 3)))
        model.zero_grad()
        (losses["image"] + losses["perceptual"]).backward()
        weight = next(model.decoder.parameters()).grad
        assert weight is not None
        found.append((float(losses["image"].detach()), weight.clone()))
    assert found[0][0] == found[1][0] > 0
    torch.testing.assert_close(found[0][1], found[1][1])
    assert float(model.losses(views, views._replace(images=wrong))["image"].detach()) > found[0][0]
