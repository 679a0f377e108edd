"""What a trained scene model shows: contact sheets, scenes as a browser shows them, weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from benchmarks._scene_judge import anchor_views, from_anchor, generate, picked, reconstructed
from benchmarks._scene_run import ABLATIONS, CAMERAS, GIVEN, TANGENT, Run, autocast, folder_of
from engine.scenes.autoencoder import Rays, SceneAutoencoder
from engine.scenes.latents import LatentAutoencoder
from engine.scenes.rig import Rig
from engine.scenes.stages import SceneTensors
from engine.scenes.training import WEIGHTS
from engine.scenes.trajectory import cameras_of, rays_through
from engine.scenes.volume import make_manifest, render_rig, save_poster, scene_volume, sky_colour, write_volume

UNITS_PER_METRE = 32.0


def to_picture(image: Tensor) -> Tensor:
    """[3, h, w] in [0, 1], made brighter: Freedoom is dark. [h, w, 3] uint8."""
    return (image.float().clamp(0, 1).pow(0.7) * 255).byte().movedim(0, -1).cpu()


def to_depth(depth: Tensor, known: Tensor, far: float, pixels: int) -> Tensor:
    """Near is bright."""
    shade = (1 - depth / far).clamp(0, 1) * known
    large = F.interpolate(shade[None, None].float(), (pixels, pixels), mode="nearest")[0]
    return (large.expand(3, -1, -1) * 255).byte().movedim(0, -1).cpu()


def save_sheet(path: Path, rows: Sequence[Sequence[Tensor]]) -> None:
    sheet = torch.cat([torch.cat(list(row), dim=1) for row in rows], dim=0)
    Image.fromarray(sheet.numpy()).save(path, quality=92)


def from_above(field: Tensor, model: SceneAutoencoder, pixels: int) -> Tensor:
    """A scene seen straight from above, without the part of it that is above the middle: ceilings hide what matters."""
    z, y, x = model.config.grid
    device = field.device
    open_ = field.clone()
    open_[:, 2 * z // 5 :, :, :, 0] = 0
    cells = 2 * pixels // 4
    along = (torch.arange(cells, device=device) + 0.5) / cells
    origins = torch.stack([(along * x).expand(cells, cells), ((1 - along) * y)[:, None].expand(cells, cells)], dim=-1)
    height = torch.full((cells, cells, 1), float(z + model.config.near), device=device)
    origins = torch.cat([origins, height], -1)
    down = torch.tensor([0.0, 0.0, -1.0], device=device).expand_as(origins)
    with torch.no_grad(), autocast():
        seen = model.render(open_, Rays(origins[None, None], down[None, None]))
    return seen.image[0, 0]


def sheets(
    run: Run,
    model: SceneAutoencoder,
    latents: LatentAutoencoder | None,
    train: SceneTensors,
    test: SceneTensors,
    drawn: Sequence[str],
) -> None:
    pixels, far = run.size.pixels, run.size.far
    folder = run.work / "sheets"
    folder.mkdir(exist_ok=True)
    for split, scenes in (("train", train), ("test", test)):
        rows = []
        for number in picked(scenes, 8, seed=4):
            which = list(scenes.held_out)[:3]
            seen, truth = reconstructed(model, None, scenes, number, which)
            again = reconstructed(model, latents, scenes, number, which)[0] if latents is not None else seen
            row = []
            for view in range(len(which)):
                row += [to_picture(truth.images[0, view]), to_picture(seen.image[0, view])]
                row += [to_picture(again.image[0, view])]
                row += [to_depth(truth.depths[0, view], truth.valid[0, view], far, pixels)]
                row += [to_depth(seen.depth[0, view], seen.accumulation[0, view], far, pixels)]
            rows.append(row)
        save_sheet(folder / f"reconstruction-{split}.jpg", rows)
    for name in drawn:
        numbers = picked(train, 8, seed=3)
        fields, trajectories = next(generate(run, name, len(numbers), seed=5))
        images = from_anchor(model, fields, train, numbers)
        rows = []
        for scene in range(len(fields)):
            above = F.interpolate(from_above(fields[scene : scene + 1], model, pixels)[None], (pixels, pixels))[0]
            row = [to_picture(above), *(to_picture(each) for each in images[scene])]
            if trajectories.shape[1]:
                axes = cameras_of(trajectories[scene : scene + 1], run.size.grid)
                rays = Rays(*rays_through(*axes, pixels // 4, TANGENT))
                with torch.no_grad(), autocast():
                    own = model.render(fields[scene : scene + 1], rays)
                row += [to_picture(own.image[0, view]) for view in range(1, CAMERAS, 2)]
            rows.append(row)
        save_sheet(folder / f"generated-{name.replace(' + ', '')}.jpg", rows)


def export(
    run: Run, model: SceneAutoencoder, latents: LatentAutoencoder | None, test: SceneTensors, drawn: Sequence[str]
) -> None:
    """Scenes as a browser shows them."""
    folder = run.work / "export"
    folder.mkdir(exist_ok=True)
    for number in picked(test, 2, seed=6):
        views = anchor_views(test)
        with torch.no_grad(), autocast():
            given = test.views(number[None], test.given(GIVEN)[None])
            field = model.encode(given.images, given.rays)[0]
        rig = Rig.of_trajectory(test.trajectories[number], run.size.grid, TANGENT)
        show(folder / f"real-{int(number)}", model, field, rig, f"A test map, reconstructed from {GIVEN} pictures")
        real = test.images[number][views].movedim(1, -1).cpu().numpy()
        Image.fromarray(real.transpose(1, 0, 2, 3).reshape(real.shape[1], -1, 3)).save(
            folder / f"real-{int(number)}" / "pictures.jpg", quality=90
        )
    around = Rig.around(run.size.grid, TANGENT)[:CAMERAS]
    for name in drawn:
        fields, trajectories = next(generate(run, name, 4, seed=7))
        for number, field in enumerate(fields):
            known = trajectories.shape[1] > 0
            rig = Rig.of_trajectory(trajectories[number], run.size.grid, TANGENT) if known else around
            place = folder / f"{folder_of(name)}-{number}"
            show(place, model, field, rig, f"Generated by {name}, {number + 1}")


def keep_weights(run: Run) -> bool:
    """The weights of what is trained as fp16, but for the smaller ablations."""
    folder = run.work / "weights"
    folder.mkdir(exist_ok=True)
    for stage in ("autoencoder", "latents", folder_of(next(iter(ABLATIONS)))):
        trained, kept = run.work / stage / WEIGHTS, folder / f"{stage}.safetensors"
        if trained.exists() and not kept.exists():
            state = load_file(trained)
            save_file({key: each.half() if each.is_floating_point() else each for key, each in state.items()}, kept)
    return True


def show(folder: Path, model: SceneAutoencoder, field: Tensor, rig: Rig, name: str) -> None:
    """Volume, poster and manifest of one scene."""
    folder.mkdir(exist_ok=True)
    rig = rig.to(field.device)
    with torch.no_grad():
        volume = scene_volume(model, field.float(), rig)
        picture = render_rig(model, field.float(), rig[:1], cells=64)[0]
        sky = sky_colour(model)
    write_volume(folder / "volume.rgba.gz", volume)
    save_poster(folder / "poster.jpg", picture)
    metres = 1280.0 / model.config.grid[2] / UNITS_PER_METRE
    manifest = make_manifest(name, model.config.grid, rig, sky=sky, voxel_metres=metres)
    (folder / "manifest.json").write_text(json.dumps(manifest))
