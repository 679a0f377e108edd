"""Editing: what is outside the box stays to the bit, what is inside is drawn, seams and strengths."""

from __future__ import annotations

import pytest
import torch

from engine.scenes.diffusion.hierarchy import DiffusionConfig, LatentShapes, SceneDiffusion, StageSettings
from engine.scenes.editing import Box, inpaint, join, vary

SHAPES = LatentShapes(g=2, c=(2, 4, 4), f=(1, 8, 8))
STEPS = StageSettings("ddim", steps=4)


@pytest.fixture(scope="module")
def model() -> SceneDiffusion:
    torch.manual_seed(0)
    made = SceneDiffusion(DiffusionConfig(g_width=8, g_depth=1, c_widths=(8,), f_widths=(8,)), SHAPES).eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return made


def scene(seed: int, count: int = 1) -> dict:  # type: ignore[type-arg]
    generator = torch.Generator().manual_seed(seed)
    return {group: torch.randn(count, *SHAPES.of(group), generator=generator) for group in ("g", "c", "f")}  # type: ignore[arg-type]


def test_a_box_covers_the_cells_it_touches() -> None:
    assert Box(0.3, 0.0, 0.5, 0.25).mask(4, 4).int().tolist() == [[0, 1, 0, 0], [0] * 4, [0] * 4, [0] * 4]
    assert Box(0.5, 0.5, 0.6, 0.6).mask(4, 4, grow=1).int().tolist() == [[0] * 4, *[[0, 1, 1, 1]] * 3]
    for wrong in ((0.5, 0, 0.5, 1), (-0.1, 0, 1, 1), (0, 0.9, 1, 0.2)):
        with pytest.raises(ValueError, match="within 0 and 1"):
            Box(*wrong)


def test_inpainting_keeps_all_but_the_box(model: SceneDiffusion) -> None:
    before = scene(1, 2)
    heard = []
    after = inpaint(
        model,
        before,
        Box(0.5, 0.5, 0.75, 0.75),
        settings=STEPS,
        generator=torch.Generator().manual_seed(2),
        on_step=lambda group, step: heard.append((group, step.index)),
    )
    assert torch.equal(after["g"], before["g"])
    changed = (after["c"] != before["c"]).any(1)
    assert changed[:, 2, 2].all() and changed.sum() == 2  # one cell of each scene
    fine = (after["f"] != before["f"]).any(1)
    assert fine[:, 2:8, 2:8].all() and fine.sum() == 2 * 36  # that cell and one more of c on each side
    assert heard == [("c", i) for i in range(4)] + [("f", i) for i in range(4)]


def test_what_is_drawn_depends_on_what_is_around_it(model: SceneDiffusion) -> None:
    def drawn(shift: float) -> torch.Tensor:
        before = scene(3)
        before["c"][..., 0] += shift  # a column outside the box
        after = inpaint(model, before, Box(0.5, 0.5, 1, 1), settings=STEPS, generator=torch.Generator().manual_seed(4))
        return after["c"][..., 2:, 2:]

    assert torch.equal(drawn(0.0), drawn(0.0))
    assert not torch.allclose(drawn(0.0), drawn(2.0))


def test_varying_less_stays_closer(model: SceneDiffusion) -> None:
    before = scene(5, 8)
    model.fit_scales(before)
    distance = [
        (vary(model, before, strength, settings=STEPS, generator=torch.Generator().manual_seed(6))["c"] - before["c"])
        .square()
        .mean()
        for strength in (0.05, 0.4, 1.0)
    ]
    assert distance[0] < distance[1] < distance[2]
    with pytest.raises(ValueError, match="strength"):
        vary(model, before, 0.0)


def test_joining_keeps_both_outer_parts(model: SceneDiffusion) -> None:
    left, right = scene(7), scene(8)
    joined = join(model, left, right, seam=0.5, settings=STEPS, generator=torch.Generator().manual_seed(9))
    assert joined["c"].shape == left["c"].shape
    torch.testing.assert_close(joined["c"][..., 0], left["c"][..., 2])
    torch.testing.assert_close(joined["c"][..., 3], right["c"][..., 1])
    assert not torch.equal(joined["c"][..., 1], left["c"][..., 3])
