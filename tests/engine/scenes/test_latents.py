"""The latent auto-encoder: shapes of the paper, quantisation against brute force, and that it learns."""

from __future__ import annotations

import pytest
import torch

from engine.scenes.latents import LatentAutoencoder, LatentConfig, Quantiser

TINY = LatentConfig(channels=3, grid=(4, 8, 8), g=4, c_channels=2, c_downsample=4, f_channels=2, codebook=16, width=16)


def test_the_default_latents_are_those_of_the_paper() -> None:
    shapes = LatentConfig().shapes
    assert (shapes.g, shapes.c, shapes.f) == (128, (4 * 16, 32, 32), (4, 128, 128))
    with pytest.raises(ValueError, match="not divided"):
        LatentConfig(grid=(32, 126, 128))


def test_encoding_and_decoding_keep_the_shapes() -> None:
    model = LatentAutoencoder(TINY).eval()
    field = torch.randn(2, 3, 4, 8, 8)
    latents = model.encode(field).latents
    assert {name: tuple(value.shape) for name, value in latents.items()} == {
        "g": (2, 4),
        "c": (2, 4, 2, 2),
        "f": (2, 2, 8, 8),
    }
    assert model.decode(latents).shape == field.shape
    again = model.encode(field).latents
    assert all(torch.equal(latents[name], again[name]) for name in latents)  # nothing is drawn outside training
    snapped = model.snap(latents)
    torch.testing.assert_close(snapped["c"], latents["c"])


def test_quantising_finds_the_nearest_code_and_passes_the_gradient() -> None:
    torch.manual_seed(0)
    quantiser = Quantiser(7, 2).eval()
    x = torch.randn(2, 6, 3, 4).requires_grad_()  # 3 vectors of 2 in each cell
    quantised, commitment, usage = quantiser(x)
    total = 0.0
    used = set()
    for b in range(2):
        for n in range(3):
            for i in range(3):
                for j in range(4):
                    vector = x.detach()[b, 2 * n : 2 * n + 2, i, j]
                    distances = (quantiser.codes - vector).square().sum(1)
                    used.add(int(distances.argmin()))
                    total += float(distances.min())
                    torch.testing.assert_close(
                        quantised[b, 2 * n : 2 * n + 2, i, j], quantiser.codes[int(distances.argmin())]
                    )
    assert float(commitment) == pytest.approx(total / x.numel(), rel=1e-5)
    assert float(usage) == pytest.approx(len(used) / 7)
    quantised.sum().backward()
    torch.testing.assert_close(x.grad, torch.ones_like(x))


def test_a_codebook_finds_the_clusters_and_none_of_its_codes_dies() -> None:
    torch.manual_seed(1)
    centres = torch.tensor([[5.0, 5.0], [-5.0, 5.0], [0.0, -5.0]])
    quantiser = Quantiser(6, 2)
    for _ in range(300):
        vectors = centres[torch.randint(3, (64,))] + 0.1 * torch.randn(64, 2)
        quantiser(vectors.T.reshape(1, 2, 8, 8))
    nearest = torch.cdist(centres, quantiser.codes).min(1).values
    assert nearest.max() < 0.3
    assert torch.cdist(quantiser.codes, centres).min(1).values.max() < 1  # every code sits in a cluster


def test_it_learns_to_reconstruct() -> None:
    torch.manual_seed(2)
    model = LatentAutoencoder(TINY)
    field = torch.randn(2, 3, 1, 8, 8).repeat(1, 1, 4, 1, 1)
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    first = last = 0.0
    for _ in range(60):
        losses = model.losses(field)
        optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimiser.step()
        last = float(losses["voxel"].detach())
        first = first or last
    assert last < 0.6 * first
