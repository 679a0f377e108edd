"""A scene model trained on Freedoom and measured: python -m benchmarks.scene_training all --work DIR --seconds 1000

Parts, each resumable and in this order: data (needs vizdoom and many cores), autoencoder, latents, diffusion (three of
them: g + c + f, c + f and c), evaluate, report. Each goes on from what lies in --work until it is done or --seconds are
over. Needs one GPU, and for the two distances on features --features with the EfficientNet-Lite0 weights; --vgg names
the weights of the perceptual loss.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import shutil
import time
import traceback
from multiprocessing import TimeoutError, active_children, get_context
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks._report import Row, write_report
from benchmarks._scene_judge import evaluate
from benchmarks._scene_run import (
    ABLATIONS,
    BOX,
    CAMERAS,
    DEVICE,
    GIVEN,
    SIZES,
    Run,
    Size,
    autocast,
    compile_parts,
    fit,
    folder_of,
    synchronise,
    timed_steps,
)
from benchmarks._scene_sheets import keep_weights
from engine.doom import Recipe, split_maps
from engine.doom.maps import GameMap
from engine.scenes.autoencoder import SceneAutoencoder
from engine.scenes.data import PackSettings, collect_dataset, load_scenes, pack_scenes
from engine.scenes.diffusion.hierarchy import GROUPS, Group, SceneDiffusion
from engine.scenes.latents import LatentAutoencoder
from engine.scenes.stages import (
    AutoencoderStage,
    DiffusionStage,
    LatentStage,
    SceneTensors,
    encode_fields,
    encode_scenes,
)
from engine.scenes.training import Stage

# Data


def collect_map(work: Path, size: Size, game_map: GameMap) -> int:
    """Play one map, pack its scenes and keep them as tensors. Returns their number."""
    torch.set_num_threads(1)
    is_train = bool(split_maps([game_map])[0])
    target = work / "scenes" / ("train" if is_train else "test") / f"{game_map}.pt"
    if target.exists():
        return 0
    target.parent.mkdir(parents=True, exist_ok=True)
    place = work / "pictures" / str(game_map)
    recipe = Recipe(scenes=size.scenes, box=BOX, below=80.0, cell=BOX[0] / size.grid[2])
    collect_dataset(place / "doom", [game_map], recipe, processes=1)
    train, test = load_scenes(place / "doom").train_test()
    scenes = [*train, *test]
    packed = pack_scenes(scenes, PackSettings(size.grid, size.pixels, 4), place / "packed").tensors(CAMERAS)
    parts = {field.name: getattr(packed, field.name) for field in dataclasses.fields(packed)}
    shown = parts["images"].shape[1] - len(parts.pop("held_out"))
    # A place in fp32, a mean of four corners: nothing here needs more than that.
    torch.save({**parts, "shown": shown}, target.with_suffix(".part"))
    target.with_suffix(".part").rename(target)
    shutil.rmtree(place)
    return len(packed)


def try_map(job: tuple[Path, Size, GameMap]) -> tuple[int, str]:
    try:
        return collect_map(*job), ""
    except Exception as error:  # a map that fails costs its map
        return 0, f"{job[2]}: {str(error)[:200]}"


def collect(run: Run) -> bool:
    """All maps, or those that are done when the time is over: what comes later would be another data set."""
    done = run.work / "scenes" / "done"
    if done.exists():
        return True
    begin, count, failed = time.perf_counter(), 0, []
    maps = run.maps()
    with get_context("spawn").Pool(run.workers) as pool:
        found = pool.imap_unordered(try_map, [(run.work, run.size, each) for each in maps])
        for number in range(len(maps)):
            try:
                scenes, error = found.next(timeout=max(0.1, run.left - 3))
            except TimeoutError:
                failed.append(f"{len(maps) - number} maps were not done in time")
                break
            count += scenes
            failed += [error] if error else []
        run.note("data", scenes=count, seconds=time.perf_counter() - begin, workers=run.workers, failed=failed)
        done.parent.mkdir(exist_ok=True)
        files = sorted(str(each.relative_to(done.parent)) for each in done.parent.glob("*/*.pt"))
        done.write_text("\n".join(files))  # what a worker writes that ends later does not count
        for worker in active_children():
            worker.kill()
    return True


# Training


class Thinned(nn.Module):
    """A perceptual distance of every second picture: VGG on all of them would take as long as everything else."""

    def __init__(self, distance: nn.Module) -> None:
        super().__init__()
        self.distance = distance

    def forward(self, images: Tensor, truth: Tensor) -> Tensor:
        found: Tensor = self.distance(images[::2], truth[::2])
        return found


def autoencoder_stage(run: Run, scenes: SceneTensors, *, compiled: bool) -> Stage:
    torch.manual_seed(0)
    model = SceneAutoencoder(run.size.scene_config).to(DEVICE)
    batch, given, asked = run.size.autoencoder_batch
    distance = run.perceptual()
    if compiled:
        compile_parts([model.encoder, model.refiner, model.decoder, distance])
    perceptual = None if distance is None else Thinned(distance)
    return AutoencoderStage(model, scenes, batch=batch, given=given, asked=asked, perceptual=perceptual)


def latent_stage(
    run: Run, autoencoder: SceneAutoencoder, scenes: SceneTensors, fields: Tensor, *, compiled: bool
) -> Stage:
    torch.manual_seed(1)
    model = LatentAutoencoder(run.size.latent_config).to(DEVICE)
    batch, asked = run.size.latent_batch
    distance = run.perceptual()
    if compiled:
        compile_parts([model.to_g, model.to_c, model.to_f, model.from_c, model.to_field, autoencoder.decoder, distance])
    perceptual = None if distance is None else Thinned(distance)
    return LatentStage(
        model, autoencoder, scenes, batch=batch, given=1, asked=asked, perceptual=perceptual, fields=fields
    )


def diffusion_stage(run: Run, name: str, latents: dict[Group, Tensor], *, compiled: bool) -> Stage:
    torch.manual_seed(2)
    shapes = dataclasses.replace(run.size.latent_config.shapes, poses=6 * CAMERAS)
    model = SceneDiffusion(run.size.diffusion_config(ABLATIONS[name]), shapes).to(DEVICE)
    if compiled:
        compile_parts(model.networks.values())
    return DiffusionStage(model, latents, batch=run.size.diffusion_batch)


def train_autoencoder(run: Run) -> bool:
    def make() -> Stage:
        return autoencoder_stage(run, run.scenes("train"), compiled=run.compiles("autoencoder"))

    return fit(run, "autoencoder", make, run.size.autoencoder_rate)


def train_latents(run: Run) -> bool:
    def make() -> Stage:
        model, scenes = run.autoencoder(), run.scenes("train")
        dtype = torch.bfloat16 if DEVICE == "cuda" else torch.float32
        begin = time.perf_counter()
        with autocast():
            fields = encode_fields(model, scenes, given=GIVEN, batch=4, dtype=dtype)
        synchronise()
        run.note("fields", scenes=len(scenes), seconds=time.perf_counter() - begin)
        return latent_stage(run, model, scenes, fields, compiled=run.compiles("latents"))

    return fit(run, "latents", make, run.size.latent_rate)


def train_diffusion(run: Run) -> bool:
    stored = run.work / "latents.pt"
    if not stored.exists():
        begin = time.perf_counter()
        scenes, models = run.scenes("train"), (run.autoencoder(), run.latents())
        with autocast():
            found = encode_scenes(*models, scenes, given=GIVEN, turns=range(4), batch=4)
        torch.save({group: each.cpu() for group, each in found.items()}, stored)
        run.note("encoding", seconds=time.perf_counter() - begin, scenes=4 * len(scenes))
        del scenes, models, found
    latents: dict[Group, Tensor] = {
        group: each.to(DEVICE) for group, each in torch.load(stored, weights_only=True).items()
    }
    names = list(ABLATIONS)
    for number, name in enumerate(names):
        seconds = [run.plan[folder_of(each)] for each in names[number:]]

        def make(name: str = name) -> Stage:
            return diffusion_stage(run, name, latents, compiled=run.compiles(folder_of(name)))

        if not fit(run, folder_of(name), make, run.size.diffusion_rate, seconds[0] / sum(seconds)):
            return False
    return True


def warm(run: Run) -> bool:
    """Steps of each stage on random data, as they are and compiled: fills the caches, and says which is faster."""
    size, views = run.size, GIVEN + 8
    cells, count = size.pixels // 4, 64
    for name in ("autoencoder", "latents", *map(folder_of, ABLATIONS)):
        if run.only is not None and name != run.only:
            continue
        shape = (4, views, cells, cells)
        directions = torch.randn(*shape, 3, device=DEVICE)
        middle = torch.tensor(size.grid[::-1], device=DEVICE) / 2.0
        scenes = SceneTensors(
            torch.randint(256, (4, views, 3, size.pixels, size.pixels), device=DEVICE).byte(),
            torch.rand(shape, device=DEVICE) * size.far, torch.rand(shape, device=DEVICE) < 0.9,
            torch.zeros(shape, dtype=torch.bool, device=DEVICE), middle.expand(4, views, 3).contiguous(), directions,
            torch.zeros(4, 6 * CAMERAS, device=DEVICE), held_out=tuple(range(GIVEN, views)),
        )  # fmt: skip
        latent_shapes = dataclasses.replace(size.latent_config.shapes, poses=6 * CAMERAS)
        latents: dict[Group, Tensor] = {
            group: torch.randn(count, *latent_shapes.of(group), device=DEVICE) for group in GROUPS
        }
        autoencoder = SceneAutoencoder(size.scene_config).to(DEVICE)
        dtype = torch.bfloat16 if DEVICE == "cuda" else torch.float32
        fields = torch.rand(4, 1 + size.channels, *size.grid, device=DEVICE).to(dtype)
        found = {}
        for label, compiled in (("eager", False), ("compiled", True)):
            if name == "autoencoder":
                stage = autoencoder_stage(run, scenes, compiled=compiled)
            elif name == "latents":
                stage = latent_stage(run, autoencoder, scenes, fields, compiled=compiled)
            else:
                ablation = next(each for each in ABLATIONS if folder_of(each) == name)
                stage = diffusion_stage(run, ablation, latents, compiled=compiled)
            begin = time.perf_counter()
            try:
                found[label] = timed_steps(run, stage, 3, 12)
            except Exception:  # a compiler that fails here would fail in training
                traceback.print_exc()
                found[label] = math.inf
            found[f"{label}, all"] = time.perf_counter() - begin
            print(name, label, found[label], found[f"{label}, all"], flush=True)
        (run.work / f"compiled-{name}.json").write_text(json.dumps(found))
    return True


def report(run: Run) -> bool:
    found = run.noted()
    rows = []
    for stage in ("autoencoder", "latents", *map(folder_of, ABLATIONS)):
        if stage in found:
            kept = found[stage]
            rows += [
                Row(f"training, {stage}", "steps", "", kept["steps"]),
                Row(f"training, {stage}", "a step", "ms", kept["milliseconds"]),
                Row(f"training, {stage}", "all steps", "s", kept["seconds"]),
                Row(f"training, {stage}", "peak GPU memory", "GiB", kept["memory_gib"]),
            ]
    for case, values in found.get("reconstruction", {}).items():
        goal = None if "both" in case else ">= 22" if "train" in case else ">= 20"
        peers = {"one colour a picture": values["plain"]}
        rows.append(Row(f"held-out views, {case}", "PSNR", "dB", values["psnr"], peers=peers, goal=goal))
        rows.append(Row(f"held-out views, {case}", "SSIM", "", values["ssim"]))
        rows.append(Row(f"held-out views, {case}", "depth, abs rel", "%", 100 * values["depth"]))
        if "perceptual" in values:
            rows.append(Row(f"held-out views, {case}", "perceptual distance", "", values["perceptual"]))
    for case, values in found.get("distances", {}).items():
        rows.append(Row(case, "KID-EffLite0 x 1000", "", 1e3 * values["kid"]))
        rows.append(Row(case, "FD-EffLite0", "", values["fd"]))
    for metric, value in found.get("speed", {}).items():
        unit = "s" if metric.endswith(", s") else "frames/s"
        rows.append(Row("generated scene", metric.removesuffix(", s").replace("frames/s ", ""), unit, value))
    data = found.get("data", {})
    write_report(
        "scene-training",
        "A scene model trained on Freedoom",
        rows,
        packages=["torch", "triton"],
        notes=(
            f"{data.get('scenes', 0)} scenes of 40 views, collected and packed in {data.get('seconds', 0):.0f} s by "
            f"{data.get('workers', 0)} processes; test maps were never trained on; held-out views were never encoded. "
            f"Box {BOX[0]:.0f} x {BOX[1]:.0f} x {BOX[2]:.0f} units, grid {run.size.grid}, pictures of "
            f"{run.size.pixels} px, {GIVEN} given views. Distances are to pictures of train maps taken from the middle "
            "of a scene, all from the same cameras; they are of EfficientNet-Lite0 features and no FID. The perceptual "
            "distance is the one that was trained on. PSNR of one colour a picture says how dark Freedoom is."
        ),
    )
    return True


PARTS = {
    "data": collect,
    "warm": warm,
    "autoencoder": train_autoencoder,
    "latents": train_latents,
    "diffusion": train_diffusion,
    "evaluate": evaluate,
    "weights": keep_weights,
    "report": report,
}
PLAN = {"autoencoder": 230, "latents": 160, "diffusion-gcf": 180, "diffusion-cf": 110, "diffusion-c": 60}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=[*PARTS, "all"])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=1e9, help="after which it stops, to be called again")
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--features", type=Path)
    parser.add_argument("--vgg", type=Path)
    parser.add_argument("--profile", action="store_true", help="say what a step's time goes into")
    parser.add_argument("--only", help="the stage to warm")
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--plan", default=json.dumps(PLAN), help="seconds of training for each stage")
    options = parser.parse_args()
    run = Run(options)
    if DEVICE == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    for part in [each for each in PARTS if each != "warm"] if options.part == "all" else [options.part]:
        begin = time.perf_counter()
        if not PARTS[part](run):
            print(f"{part}: the time is over; call again to go on", flush=True)
            return
        print(f"{part}: done, {time.perf_counter() - begin:.1f} s", flush=True)


if __name__ == "__main__":
    main()
