"""Training a detector on two GPUs of a host: NCCL between processes, one model as if one process had both batches."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.multiprocessing

from engine.detection.data.shapes import render_shapes
from engine.detection.loader import Loader
from engine.detection.models import ModelConfig, build_model
from engine.detection.training import StepStats, TrainConfig, train
from engine.training.checkpoint import load_checkpoint

pytestmark = pytest.mark.gpu
SIZE, IMAGES, STEPS = 128, 32, 4
MODEL = ModelConfig("retinanet", classes=3, image_size=SIZE, backbone="tiny", delta=10.0, finest_stride=8)
# What is drawn at random differs between processes, so nothing is; RetinaNet's loss is a mean over images.
TOGETHER = TrainConfig(
    rule="none", epochs=1, batch_size=8, warmup_steps=1, learning_rate=1e-3, flip=False, precision="fp32", seed=7
)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_gpus_train_the_model_of_one_process(tmp_path: Path) -> None:
    check("cuda", tmp_path)


def check(device: str, folder: Path) -> None:
    """device: "cuda" or "cpu" (gloo)."""
    heard = _train(folder / "one", device, 0, TOGETHER)
    assert len(heard) == STEPS
    port = 29_000 + os.getpid() % 2_000
    torch.multiprocessing.spawn(_worker, (folder, device, port), nprocs=2)  # type: ignore[no-untyped-call]
    before, one, two = (_loss(folder, device, run) for run in (None, "one", "two0"))
    print(f"loss before {before:.5f}, after one process {one:.5f}, after two {two:.5f}")
    # Sums in another order change the last bits of gradients, and Adam's first steps have the size of the rate.
    assert two == pytest.approx(one, rel=1e-3)
    assert abs(two - one) < 0.02 * abs(one - before), "the two runs differ by little of what training changed"


def _worker(rank: int, folder: Path, device: str, port: int) -> None:
    if device == "cuda":
        torch.cuda.set_device(rank)
    torch.distributed.init_process_group(
        "nccl" if device == "cuda" else "gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2
    )
    _train(folder / f"two{rank}", device, rank, replace(TOGETHER, batch_size=TOGETHER.batch_size // 2))
    torch.distributed.destroy_process_group()


class _Heard:
    def __init__(self) -> None:
        self.losses: list[float] = []

    def step(self, stats: StepStats) -> None:
        self.losses.append(stats.loss)

    def epoch(self, stats: object) -> None: ...

    def cancelled(self) -> bool:
        return False


def _train(folder: Path, device: str, rank: int, config: TrainConfig) -> list[float]:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    heard = _Heard()
    sets = [render_shapes(folder / name, count, size=SIZE, seed=seed) for name, count, seed in _SETS]
    place = f"{device}:{rank}" if device == "cuda" else device
    train(MODEL, config, *sets, folder=folder / "run", device=place, hooks=heard)
    return heard.losses


_SETS = (("train", IMAGES, 1), ("validate", 2, 2))


def _loss(folder: Path, device: str, run: str | None) -> float:
    """Of the trained weights on all images; None: of the weights training began with."""
    model = build_model(MODEL, TOGETHER.seed)
    if run is not None:
        model.load_state_dict(load_checkpoint(folder / run / "run" / "last.pt")["model"])
    images = render_shapes(folder / "again", IMAGES, size=SIZE, seed=1)
    batch = next(iter(Loader(images, SIZE).batches([list(range(IMAGES))]))).to(device)
    with torch.no_grad():
        losses = model.to(device).train()(batch.images, batch.targets())
    return float(sum(losses.values()))
