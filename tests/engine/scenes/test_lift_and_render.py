"""Data and render kernels agree: a real scene, lifted at its true depths, is seen again from elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.doom import GameMap, Recipe
from engine.scenes.data import Posed, collect_dataset, layout_of, load_scenes, read_views
from kernels.render import lift, march

GRID = (32, 128, 128)  # voxels of 8 units, the paper's grid
BINS, NEAR, FAR = 96, 1.0, 120.0  # voxels


def lifted(views: Posed) -> tuple[Tensor, Tensor]:
    """The field (1, Z, Y, X, 1 + 3) of colours at their depths, and how many frustum cells fell into each voxel."""
    edges = torch.logspace(0, 1, BINS + 1, base=FAR / NEAR) * NEAR
    middles, widths = (edges[1:] + edges[:-1]) / 2, edges.diff()
    depths = views.depths.flatten()[:, None]
    here = (depths >= edges[:-1]) & (depths < edges[1:]) & views.valid.flatten()[:, None]
    cells = views.depths.shape[1]
    colours = torch.nn.functional.avg_pool2d(views.images.float() / 255, views.images.shape[2] // cells)
    return lift(
        here.float()[None] * 20,
        colours.movedim(1, -1).reshape(1, -1, 3),
        views.origins.reshape(1, -1, 3),
        views.directions.reshape(1, -1, 3),
        middles,
        widths,
        GRID,
    )


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> tuple[Posed, Posed]:
    """(encoded, held out) views of one scene."""
    pytest.importorskip("vizdoom")
    folder: Path = tmp_path_factory.mktemp("scene")
    collect_dataset(folder, [GameMap("freedoom2", "MAP01")], Recipe(scenes=1, width=160, height=120))
    (scene,) = load_scenes(folder).scenes
    layout = layout_of(scene, GRID)
    given = [each for each in range(len(scene)) if each not in scene.held_out]
    first, second = (read_views(scene, layout, which, size=64, stride=2) for which in (given, scene.held_out))
    return first, second


def seen_again(field: Tensor, views: Posed) -> tuple[float, float]:
    """(median relative error of depth, mean error of colour) where depth is known and the field is hit."""
    rays = (part.reshape(1, -1, 3) for part in (views.origins, views.directions))
    features, depth, total = (part[0] for part in march(field, *rays, near=NEAR, far=FAR, samples=192))
    cells = views.depths.shape[1]
    truth = torch.nn.functional.avg_pool2d(views.images.float() / 255, views.images.shape[2] // cells)
    hit = (total > 0.5) & views.valid.flatten()
    assert hit.float().mean() > 0.8
    depth_error = (depth / total.clamp(min=1e-6) / views.depths.flatten() - 1).abs()[hit].median()
    shown = features / total[:, None].clamp(min=1e-6)
    # Cells that light passes on its way dilute a voxel's colour, not its hue: so brightness is left free.
    colours = truth.movedim(1, -1).reshape(-1, 3)[hit]
    scale = (shown[hit] * colours).sum() / shown[hit].square().sum()
    return float(depth_error), float((scale * shown[hit] - colours).abs().mean())


def test_held_out_views_show_the_lifted_scene(views: tuple[Posed, Posed]) -> None:
    """And scenes that are mirrored along x, y or z do not: each convention is needed."""
    given, asked = views
    field, _ = lifted(given)
    depth, colour = seen_again(field, asked)
    # Surfaces are a voxel thick and light ends before their middle; a voxel is a tenth of a near wall's depth.
    assert depth < 0.12 and colour < 0.08
    for axis in (1, 2, 3):
        mirrored_depth, mirrored_colour = seen_again(field.flip(axis), asked)
        assert mirrored_depth > 1.5 * depth and mirrored_colour > colour, axis
