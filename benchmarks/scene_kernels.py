"""The render kernels at the paper's grid beside plain torch and the floor: python -m benchmarks.scene_kernels

Needs one CUDA GPU, torch and triton. Takes about half a minute. --tune all times other
block sizes of the march instead and writes nothing.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks._machine import free_memory, measure_machine, median_seconds
from benchmarks._report import Row, write_report
from kernels.render import lift, march, reference
from kernels.render.march import Blocks, launch

GRID = (32, 128, 128)  # Z, Y, X, the paper's
PICTURES, SIDE, BINS = 16, 64, 64  # pictures of one scene, pixels along a side, depths of a frustum
SAMPLES = 96  # along a ray
CHANNELS = (16, 32)
RUNS = 10


@dataclass
class Work:
    """One computation: what is differentiated, the two versions, and the bytes that must move at least."""

    name: str
    inputs: list[Tensor]
    fused: Callable[..., Tensor]
    plain: Callable[..., Tensor]
    forward_bytes: int
    backward_bytes: int


def cameras(pictures: int = PICTURES, side: int = SIDE, device: str = "cuda") -> tuple[Tensor, Tensor]:
    """Level pinhole cameras of 90 degrees at random places in the grid: origins, directions [1, P, 3]."""
    generator = torch.Generator().manual_seed(0)
    z, y, x = GRID
    place = (0.25 + 0.5 * torch.rand(pictures, 3, generator=generator)) * torch.tensor([x, y, z])
    heading = 2 * torch.pi * torch.rand(pictures, generator=generator)
    forward = torch.stack([heading.cos(), heading.sin(), torch.zeros(pictures)], -1)
    right = torch.stack([heading.sin(), -heading.cos(), torch.zeros(pictures)], -1)
    across = (torch.arange(side) + 0.5) / side * 2 - 1
    down = torch.tensor([0.0, 0.0, -1.0])
    directions = (
        forward[:, None, None] + across[None, None, :, None] * right[:, None, None] + across[None, :, None, None] * down
    )
    origins = place[:, None, None].expand_as(directions)
    return origins.reshape(1, -1, 3).to(device), directions.reshape(1, -1, 3).to(device)


def lifting(channels: int, device: str = "cuda", **size: int) -> Work:
    origins, directions = cameras(device=device, **size)
    pixels = origins.shape[1]
    density = torch.nn.functional.softplus(torch.randn(1, pixels, BINS, device=device) - 3)
    features = torch.randn(1, pixels, channels, device=device)
    widths = torch.full((BINS,), 64 / BINS, device=device)
    rays = (origins, directions, widths.cumsum(0) - widths / 2, widths)
    moved, field = 4 * (density.numel() + features.numel()), 4 * GRID[0] * GRID[1] * GRID[2] * (1 + channels)
    return Work(
        "lift",
        [density, features],
        lambda d, f: lift(d, f, *rays, GRID)[0],
        lambda d, f: reference.lift(d, f, *rays, GRID)[0],
        moved + field,
        2 * moved + field,
    )


def marching(channels: int, device: str = "cuda", *, fog: bool, **size: int) -> Work:
    """Through fog, which lets some light pass to the end of every ray, or among pillars on a tenth of the floor."""
    origins, directions = cameras(device=device, **size)
    field = torch.randn(1, *GRID, 1 + channels, device=device)
    if fog:
        field[..., 0] = torch.nn.functional.softplus(field[..., 0] - 4)
    else:
        field[..., 0] = 3.0 * (torch.rand(GRID[1:], device=device) < 0.1)
    along = {"near": 0.5, "far": 96.0, "samples": SAMPLES}
    out = 4 * origins.shape[1] * (channels + 2)

    def joined(version: Callable[..., tuple[Tensor, ...]]) -> Callable[[Tensor], Tensor]:
        def call(field: Tensor) -> Tensor:
            features, depth, accumulation = version(field, origins, directions, **along)
            return torch.cat([features, depth[..., None], accumulation[..., None]], -1)

        return call

    size_of_field = 4 * field.numel()
    name = "march in fog" if fog else "march among pillars"
    return Work(name, [field], joined(march), joined(reference.march), size_of_field + out, 2 * size_of_field + out)


def timed(call: Callable[..., Tensor], inputs: list[Tensor]) -> tuple[float, float, float]:
    """Seconds forward, seconds forward and backward, and the most bytes both took beside their inputs."""
    inputs = [each.detach().requires_grad_() for each in inputs]
    weights = torch.randn_like(call(*inputs))

    def both() -> None:
        torch.autograd.grad(call(*inputs), inputs, weights)

    def forward() -> None:
        with torch.no_grad():
            call(*inputs)

    seconds = median_seconds(forward, runs=RUNS), median_seconds(both, runs=RUNS)
    free_memory()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    both()
    return *seconds, torch.cuda.max_memory_allocated() - before


def tune(quick: bool) -> None:
    """Times of the march, forward and backward, by rays and warps of a program, in the order of pixels and by tiles of
    8 x 4 pixels. quick: only the likely ones."""
    origins, directions = cameras()

    def tiled(rays: Tensor) -> Tensor:
        parts = rays.view(PICTURES, SIDE // 4, 4, SIDE // 8, 8, 3)
        return parts.transpose(2, 3).reshape(1, -1, 3).contiguous()

    sizes = [(16, 1), (32, 1), (32, 2), (64, 2)] if quick else itertools.product((8, 16, 32, 64), (1, 2, 4))
    for fog, (rays, warps) in itertools.product((True,) if quick else (True, False), list(sizes)):
        work, blocks = marching(CHANNELS[0], fog=fog), Blocks(rays, warps)
        for name, order in (("pixels", lambda each: each), ("tiles", tiled)):
            along = {"near": 0.5, "far": 96.0, "samples": SAMPLES, "forward": blocks, "backward": blocks}
            ordered = order(origins), order(directions)
            forward, both, _ = timed(lambda field: launch(field, *ordered, **along)[0], work.inputs)  # noqa: B023
            times = f"{1e3 * forward:8.3f} {1e3 * both:8.3f} ms"
            print(f"{work.name:20} {name:7} {rays:3} rays {warps} warps {times}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tune", choices=["quick", "all"])
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("This benchmark needs a CUDA device.")
    if asked.tune:
        tune(asked.tune == "quick")
        return
    machine = measure_machine()
    rows = []
    for channels in CHANNELS:
        together = [0.0, 0.0]  # seconds of the lift and the march in fog, forward and backward
        for work in (lifting(channels), marching(channels, fog=True), marching(channels, fog=False)):
            ours, theirs = timed(work.fused, work.inputs), timed(work.plain, work.inputs)
            case = f"{work.name}, {channels} channels"
            if work.name != "march among pillars":
                together = [together[0] + ours[1], together[1] + theirs[1]]
            floors = work.forward_bytes, work.forward_bytes + work.backward_bytes
            for metric, mine, other, floor in zip(
                ("forward", "forward + backward"), ours, theirs, floors, strict=False
            ):
                milliseconds = 1e3 * floor / machine.bandwidth
                rows.append(Row(case, metric, "ms", 1e3 * mine, milliseconds, {"torch": 1e3 * other}))
            rows.append(Row(case, "peak memory", "MiB", ours[2] / 2**20, None, {"torch": theirs[2] / 2**20}))
            rows.append(Row(case, "times faster, both", "x", theirs[1] / ours[1], goal=">= 5"))
            rows.append(Row(case, "times less memory", "x", theirs[2] / ours[2], goal=">= 4"))
            print(rows[-2].case, rows[-2].value, rows[-1].value, flush=True)
            del work
            free_memory()
        case = f"lift, then march in fog, {channels} channels"
        milliseconds = [1e3 * each for each in together]
        rows.append(Row(case, "forward + backward", "ms", milliseconds[0], None, {"torch": milliseconds[1]}))
        rows.append(Row(case, "times faster, both", "x", together[1] / together[0], goal=">= 5"))
    notes = (
        f"{torch.cuda.get_device_name()}, fp32, grid 128 x 128 x 32, {PICTURES} pictures of {SIDE} x {SIDE} pixels; "
        f"lift: {BINS} depths a pixel; march: {SAMPLES} samples a ray. Medians of {RUNS}. torch: the plain version of "
        "the same functions (kernels/render/reference.py), which stores the frustum or the samples. floor: bytes that "
        f"must move at least over this run's copy bandwidth, {machine.bandwidth / 1e12:.2f} TB/s; additions into "
        "voxels and corners read from the L2 cache come on top."
    )
    write_report("scene-kernels", "Render kernels", rows, packages=["torch", "triton"], notes=notes)


if __name__ == "__main__":
    main()
