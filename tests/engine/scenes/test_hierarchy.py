"""The denoising networks and the hierarchy: shapes, what conditions what, and a toy world they must learn."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.scenes.diffusion.hierarchy import DiffusionConfig, LatentShapes, SceneDiffusion, StageSettings
from engine.scenes.diffusion.networks import GridDenoiser, VectorDenoiser

SHAPES = LatentShapes(g=2, poses=2, c=(2, 2, 2), f=(1, 4, 4))
TINY = DiffusionConfig(
    g_width=48, g_depth=2, c_widths=(16, 16), f_widths=(16,), map_channels=1, map_side=2, map_width=16
)


def toy(count: int, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
    """Scenes of two kinds: the sign decides g; c and f are that sign's picture; the map says which it is."""
    sign = torch.randint(0, 2, (count,), generator=generator) * 2.0 - 1
    noise = [0.1 * torch.randn(count, *SHAPES.of(group), generator=generator) for group in ("g", "c", "f")]
    each = {
        "g": sign[:, None] * torch.tensor([1.0, -1, 0.5, 2]) + noise[0],
        "c": 3 + sign[:, None, None, None] + noise[1],
        "f": -sign[:, None, None, None] + noise[2],
    }
    return each, sign[:, None, None, None].expand(-1, 1, 4, 4)


def test_networks_keep_the_shape_and_begin_at_zero() -> None:
    t = torch.tensor([0.1, 0.9])
    x = torch.randn(2, 6)
    assert torch.equal(VectorDenoiser(6, 16, 2, tokens=8)(x, t, torch.randn(2, 4, 8)), torch.zeros_like(x))
    grid = GridDenoiser(3, (8, 16, 16), vector=5, grid=2, tokens=8)
    x = torch.randn(2, 3, 10, 12)  # 10 and 5 are halved with a remainder
    out = grid(x, t, vector=torch.randn(2, 5), grid=torch.randn(2, 2, 3, 3), tokens=torch.randn(2, 4, 8))
    assert torch.equal(out, torch.zeros_like(x))


@pytest.mark.parametrize("condition", ["t", "vector", "grid", "tokens"])
def test_every_condition_reaches_the_output(condition: str) -> None:
    torch.manual_seed(0)
    network = GridDenoiser(3, (8, 16), vector=5, grid=2, tokens=8).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    given = {
        "t": torch.rand(1),
        "vector": torch.randn(1, 5),
        "grid": torch.randn(1, 2, 4, 4),
        "tokens": torch.randn(1, 4, 8),
    }
    x = torch.randn(1, 3, 8, 8)
    changed = {**given, condition: given[condition] + 0.3}
    assert not torch.allclose(network(x, **given), network(x, **changed))


def test_a_toy_world_is_learned_with_its_conditions() -> None:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = SceneDiffusion(TINY, SHAPES)
    model.fit_scales(toy(500, generator)[0])  # type: ignore[arg-type]
    optimiser = torch.optim.AdamW(model.parameters(), 4e-3)
    for _ in range(200):
        latents, maps = toy(32, generator)
        loss = torch.stack(list(model.losses(latents, maps, generator).values())).sum()  # type: ignore[arg-type]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    free = model.generate(64, generator=generator, settings=StageSettings(steps=12))
    sign = free["g"][:, 0].sign()
    assert 8 < (sign > 0).sum() < 56  # both kinds come
    assert ((free["c"].mean((1, 2, 3)) - 3).sign() == sign).float().mean() > 0.8
    assert (free["f"].mean((1, 2, 3)).sign() == -sign).float().mean() > 0.8
    _, maps = toy(64, generator)
    asked = model.generate(64, generator=generator, settings=StageSettings(steps=12, guidance=1.5), maps=maps)
    assert (asked["g"][:, 0].sign() == maps[:, 0, 0, 0]).float().mean() > 0.8


def test_given_latents_are_kept_and_every_step_is_told() -> None:
    torch.manual_seed(1)
    model = SceneDiffusion(DiffusionConfig(g_width=8, g_depth=1, c_widths=(8,), f_widths=(8,)), SHAPES).eval()
    latents, _ = toy(3, torch.Generator().manual_seed(2))
    model.fit_scales(latents)  # type: ignore[arg-type]
    heard = []
    drawn = model.generate(
        3,
        given={"g": latents["g"]},
        settings={"c": StageSettings(steps=2), "f": StageSettings("ddim", 3)},
        on_step=lambda group, step: heard.append((group, step.index)),
    )
    torch.testing.assert_close(drawn["g"], latents["g"])
    assert heard == [("c", 0), ("c", 1), ("f", 0), ("f", 1), ("f", 2)]
    with pytest.raises(ValueError, match="without bird's-eye maps"):
        model.generate(1, maps=torch.zeros(1, 1, 4, 4))


@pytest.mark.parametrize("groups", [("c",), ("c", "f"), ("g", "c", "f")])
def test_ablations_leave_groups_out(groups: tuple[str, ...]) -> None:
    config = DiffusionConfig(g_width=8, g_depth=1, c_widths=(8,), f_widths=(8,), groups=groups)  # type: ignore[arg-type]
    model = SceneDiffusion(config, SHAPES).eval()
    latents, _ = toy(2, torch.Generator().manual_seed(3))
    assert list(model.losses(latents)) == list(groups)  # type: ignore[arg-type]
    drawn = model.generate(2, settings=StageSettings(steps=1))
    assert {group: tuple(drawn[group].shape[1:]) for group in groups} == {group: SHAPES.of(group) for group in groups}  # type: ignore[arg-type, index]
