"""Score distillation on normal distributions, whose scores are known; styles whose statistics are; tiny scenes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine.scenes.autoencoder import SceneAutoencoder
from engine.scenes.diffusion.guidance import guided
from engine.scenes.diffusion.hierarchy import DiffusionConfig, SceneDiffusion, StageSettings
from engine.scenes.diffusion.prediction import Denoiser
from engine.scenes.diffusion.process import Process
from engine.scenes.distil import (
    DistilSettings,
    FramePrior,
    FramePriorConfig,
    FramePriorStage,
    distillation_loss,
    drawn_pictures,
    improve_scene,
)
from engine.scenes.latents import LatentAutoencoder
from engine.scenes.optimise import FieldSettings, NonFiniteField, optimise_field
from engine.scenes.rig import Rig
from engine.scenes.style import StyleError, statistics, style_by_image, style_by_text, style_distance, text_likeness
from engine.scenes.training import NoHooks, StageBudget, StepStats, train_stage
from engine.scenes.volume import render_rig
from engine.training.checkpoint import WeightsError
from tests.engine.scenes.test_autoencoder import TINY
from tests.engine.scenes.test_stages import LATENTS
from tests.engine.scenes.test_volume import GRID, room, showing

PROCESS = Process.named("cosine")


def normal(mean: float, spread: float) -> Denoiser:
    """The exact denoiser of data N(mean, spread^2): the posterior mean of x_0."""

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = PROCESS.at(t, x)
        return (alpha * spread**2 * x + sigma**2 * mean) / (alpha**2 * spread**2 + sigma**2)

    return denoise


def test_the_gradient_is_that_of_the_paper() -> None:
    """w (eps_hat - eps) with w = sigma / alpha, by its own letters."""
    images = torch.randn(3, 2, 4, 4, dtype=torch.float64).requires_grad_()
    denoise = normal(0.3, 0.7)
    distillation_loss(images, denoise, PROCESS, (0.4, 0.400001), torch.Generator().manual_seed(0)).backward()
    generator = torch.Generator().manual_seed(0)
    t = torch.full((3,), 0.4) + 0 * torch.rand(1, generator=generator)
    eps = torch.randn(images.shape, generator=generator, dtype=torch.float64)
    alpha, sigma = PROCESS.at(t, images)
    x = alpha * images.detach() + sigma * eps
    eps_hat = (x - alpha * denoise(x, t)) / sigma
    torch.testing.assert_close(images.grad, sigma / alpha * (eps_hat - eps) / 3, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 2.0, 3.0])
def test_negative_guidance_goes_to_the_mode_of_the_quotient(scale: float) -> None:
    """Of two normals of one spread, p^scale / q^(scale - 1) is a normal about scale m - (scale - 1) m'."""
    real, sample = 0.2, 0.5
    denoise = guided(normal(real, 0.3), normal(sample, 0.3), scale)
    images = torch.zeros(64, 1, 4, 4).requires_grad_()
    optimiser, generator = torch.optim.SGD([images], 8.0), torch.Generator().manual_seed(1)
    tail = []
    for step in range(300):
        optimiser.zero_grad()
        distillation_loss(images, denoise, PROCESS, (0.1, 0.9), generator).backward()
        optimiser.step()
        if step >= 150:
            tail.append(float(images.detach().mean()))
    assert sum(tail) / len(tail) == pytest.approx(scale * real - (scale - 1) * sample, abs=0.03)


def _pictures(colour: tuple[float, float, float], count: int = 8) -> Tensor:
    noise = torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(2)) * 0.03
    return ((torch.tensor(colour).view(3, 1, 1) + noise).clamp(0, 1) * 255).byte()


def test_a_prior_tells_frames_from_samples_and_improves_a_scene(tmp_path: Path) -> None:
    """Frames are blue and samples grey: a grey room becomes bluer, and its walls stay where they are."""
    torch.manual_seed(0)
    prior = FramePrior(FramePriorConfig(side=8, widths=(16,)))
    stage = FramePriorStage(prior, _pictures((0.2, 0.3, 0.8)), _pictures((0.5, 0.5, 0.5)), batch=8)
    heard: list[float] = []

    class Hooks(NoHooks):
        def step(self, stats: StepStats) -> None:
            heard.append(stats.loss)

    train_stage(stage, StageBudget(steps=90, learning_rate=8e-3, ema_decay=0.9), folder=tmp_path, hooks=Hooks())
    assert sum(heard[-10:]) < 0.5 * sum(heard[:10])
    x, t = prior.sized(_pictures((0.35, 0.4, 0.65)).float() / 255), torch.full((8,), 0.5)
    with torch.no_grad():
        blue, grey = (prior.denoiser(kind)(x, t).mean((0, 2, 3)) for kind in ("real", "sample"))  # type: ignore[arg-type]
    assert blue[2] - blue[0] > grey[2] - grey[0] + 0.2
    field = room()
    field[..., 1:4] = 0.5
    rig = Rig.around(GRID, stands=1, headings=4)
    steps: list[int] = []
    better = improve_scene(
        showing(),
        field,
        rig,
        prior,
        settings=FieldSettings(steps=12, learning_rate=0.05, cells=4, views=2),
        distil=DistilSettings(guidance=2.0),
        on_step=lambda step, losses: steps.append(step),
    )
    assert steps == list(range(1, 13)) and (better[..., 0] >= 0).all()
    seen = render_rig(showing(), better, rig, cells=8).mean((0, 1, 2))
    before = render_rig(showing(), field, rig, cells=8).mean((0, 1, 2))
    assert seen[2] - seen[0] > before[2] - before[0] + 20
    with pytest.raises(ValueError, match="both kinds"):
        FramePriorStage(prior, _pictures((0, 0, 0)), _pictures((0, 0, 0))[:0])
    with pytest.raises(ValueError, match="times"):
        DistilSettings(times=(0.5, 0.2))


@pytest.mark.parametrize("poses", [0, 12])
def test_pictures_of_drawn_scenes(poses: int) -> None:
    torch.manual_seed(1)
    shapes = dataclasses.replace(LATENTS.shapes, poses=poses)
    config = DiffusionConfig(
        g_width=8, g_depth=1, c_widths=(8,), f_widths=(8,), groups=("g", "c", "f") if poses else ("c", "f")
    )
    pictures = drawn_pictures(
        SceneAutoencoder(TINY),
        LatentAutoencoder(LATENTS),
        SceneDiffusion(config, shapes),
        count=2,
        cells=4,
        tangent=0.6,
        settings=StageSettings(steps=1),
    )
    assert pictures.dtype == torch.uint8 and pictures.shape == (2 * (2 if poses else 40), 3, 8, 8)


class Colours:
    """Features that are known: the picture at two sizes."""

    def features(self, images: Tensor) -> list[Tensor]:
        return [images, nn.functional.avg_pool2d(images, 2)]


def test_statistics_and_their_distance() -> None:
    maps = torch.randn(2, 3, 5, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    mean, spread = statistics(maps)
    torch.testing.assert_close(mean, maps.mean((2, 3)))
    torch.testing.assert_close(spread, maps.flatten(2).std(2, correction=0), rtol=1e-4, atol=1e-6)
    moved = statistics(maps + 2)
    expected = 4 / float(((maps + 2) ** 2).mean())
    assert float(style_distance([maps], [moved])) == pytest.approx(expected, rel=1e-4)
    # Style does not depend on where things are.
    turned = maps.flip(2).transpose(2, 3)
    assert float(style_distance([turned], [statistics(maps)])) == pytest.approx(0, abs=1e-9)


def test_a_room_takes_the_colours_of_a_picture_and_keeps_its_shape() -> None:
    field, rig = room(), Rig.around(GRID, stands=1, headings=4)
    image = torch.tensor([0.8, 0.6, 0.2]).view(3, 1, 1).expand(3, 9, 7) + torch.linspace(-0.1, 0.1, 7)
    styled = style_by_image(
        showing(), field, rig, image, settings=FieldSettings(steps=40, learning_rate=0.05, cells=6), network=Colours()
    )
    assert torch.equal(styled[..., 0], field[..., 0])
    # The walls' rows of the pictures: the sky stays.
    before, after = (render_rig(showing(), each, rig, cells=6)[:, 5:7] / 255 for each in (field, styled))
    wanted = torch.tensor([0.8, 0.6, 0.2]).numpy()
    assert abs(after.mean((0, 1, 2)) - wanted).max() < 0.6 * abs(before.mean((0, 1, 2)) - wanted).max()
    with torch.no_grad():  # as a worker draws; with the network that ships
        again = style_by_image(showing(), field, rig, image, settings=FieldSettings(steps=1, cells=8))
    assert again.isfinite().all() and not torch.equal(again, field)


def test_what_lies_beyond_the_scene_has_no_style() -> None:
    """A wall of the style's own colour before a sky of another: nothing has to change."""
    field = room()
    field[..., 1:4] = torch.tensor([0.7, 0.5, 0.3])
    image = torch.tensor([0.7, 0.5, 0.3]).view(3, 1, 1).expand(3, 8, 8)
    heard: list[float] = []
    style_by_image(
        showing(),
        field,
        Rig.around(GRID, tangent=1.5, stands=1, headings=4),
        image,
        settings=FieldSettings(steps=2, cells=8, views=4),
        network=Colours(),
        on_step=lambda step, losses: heard.append(losses["style"]),
    )
    seen = render_rig(showing(), field, Rig.around(GRID, tangent=1.5)[:1], cells=8)[0] / 255
    assert abs(seen[0, 8] - 0.25).max() < 0.05  # there is sky
    # Where the two meet inside a pixel a little is left.
    counted = torch.from_numpy(seen).float().movedim(-1, 0)[None]
    maps = [counted, *Colours().features(counted)]
    wanted = [statistics(each) for each in (image[None], *Colours().features(image[None]))]
    assert heard[0] < 3.0 * float(style_distance(maps, wanted)) / 5


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of chance, tiny, with a tokenizer that knows the letters a to e."""
    from transformers import CLIPConfig, CLIPModel

    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(5)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={**sizes, "vocab_size": 12, "max_position_embeddings": 8, "eos_token_id": 11, "bos_token_id": 10},
        vision_config={**sizes, "image_size": 16, "patch_size": 8},
        projection_dim=8,
    )
    CLIPModel(config).save_pretrained(folder)
    words = [*"abcde", *(f"{letter}</w>" for letter in "abcde"), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer"}))
    return folder


def test_a_text_draws_pictures_nearer(clip: Path) -> None:
    likeness = text_likeness(clip, "a b", "cpu")
    images = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(6))
    assert likeness(images).shape == (2,) and (likeness(images).abs() <= 1).all()
    assert not torch.allclose(likeness(images), text_likeness(clip, "e", "cpu")(images))
    field, rig = room(), Rig.around(GRID, stands=1, headings=2)
    losses: list[dict[str, float]] = []
    styled = style_by_text(
        showing(),
        field,
        rig,
        "a b",
        clip=clip,
        settings=FieldSettings(steps=15, learning_rate=0.05, cells=4, views=4, anchor=0),
        network=Colours(),
        on_step=lambda step, values: losses.append(values),
    )
    assert torch.equal(styled[..., 0], field[..., 0])
    assert losses[-1]["style"] < losses[0]["style"]


def test_a_text_without_clip_is_refused(tmp_path: Path) -> None:
    rig = Rig.around(GRID)[:1]
    with pytest.raises(StyleError, match="needs CLIP's weights"):
        style_by_text(showing(), room(), rig, "dusk", clip=None)
    with pytest.raises(StyleError, match="in words"):
        style_by_text(showing(), room(), rig, " ", clip=tmp_path)
    with pytest.raises(WeightsError, match=r"config\.json"):
        style_by_text(showing(), room(), rig, "dusk", clip=tmp_path)
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(WeightsError, match="cannot be read"):
        style_by_text(showing(), room(), rig, "dusk", clip=tmp_path)


def test_an_optimisation_that_fails_leaves_everything_as_it_was() -> None:
    model, field = showing(), room()
    before = field.clone()
    with pytest.raises(NonFiniteField, match="step 1"):
        optimise_field(
            model,
            field,
            Rig.around(GRID)[:1],
            lambda seen, generator: {"broken": seen.images.sum() * float("nan")},
            FieldSettings(steps=2, cells=4),
        )
    assert torch.equal(field, before) and all(parameter.requires_grad for parameter in model.parameters())
    with pytest.raises(ValueError, match="steps"):
        FieldSettings(steps=0)
