"""Detector steps on a GPU: captured as launched, no waiting for the device, proposals suppressed as on the host."""

from __future__ import annotations

import math

import pytest
import torch

from engine.detection.batch import Batch
from engine.detection.models import Architecture, ModelConfig, build_model
from engine.detection.rotation import flip_batch, turn_batch
from engine.detection.rules import LabelRule
from engine.detection.step import TrainStep
from engine.detection.targets import Targets
from kernels.detection import match, nms
from tests.kernels.detection.checks import (
    check_batch_norm_relu,
    check_bias_relu,
    check_focal_loss,
    check_group_norm_relu,
    check_overlaps,
    check_suppress,
)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
ARCHITECTURES: list[Architecture] = ["retinanet", "fcos", "faster_rcnn"]


@pytest.mark.parametrize(("groups", "count"), [(3, 1), (80, 2000), (5, 777)])
@pytest.mark.parametrize("threshold", [0.3, 0.7])
def test_suppress(groups: int, count: int, threshold: float) -> None:
    check_suppress(nms.launch, "cuda", groups, count, threshold)


@pytest.mark.parametrize(("anchors", "room"), [(49_104, 8), (1000, 512)])
def test_best_overlaps(anchors: int, room: int) -> None:
    check_overlaps(match.launch, "cuda", 4, anchors, room)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(4, 256, 64, 64), (2, 256, 4, 4), (3, 96, 19, 7)])
def test_group_norm_relu(dtype: torch.dtype, shape: tuple[int, int, int, int]) -> None:
    check_group_norm_relu("cuda", dtype, shape, 32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("shape", "skips"), [((4, 64, 64, 64), False), ((2, 2048, 4, 4), True), ((3, 96, 19, 7), True)]
)
@pytest.mark.parametrize("limit", [math.inf, 6.0])
def test_batch_norm_relu(
    dtype: torch.dtype, training: bool, shape: tuple[int, int, int, int], skips: bool, limit: float
) -> None:
    check_batch_norm_relu("cuda", dtype, shape, training, skips, limit)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(4, 256, 64, 64), (3, 70, 5, 7)])
def test_bias_relu(dtype: torch.dtype, shape: tuple[int, int, int, int]) -> None:
    check_bias_relu("cuda", dtype, shape)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("anchors", "classes"), [(49_104, 91), (777, 2)])
def test_focal_loss(dtype: torch.dtype, anchors: int, classes: int) -> None:
    check_focal_loss("cuda", dtype, 4, anchors, classes)


def batch(seed: int, count: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(count * 6, 2, generator=generator) * 80
    return Batch(
        images=torch.rand(count, 3, 128, 128, generator=generator),
        boxes=torch.cat((low, low + 8 + torch.rand(count * 6, 2, generator=generator) * 36), 1),
        labels=torch.randint(1, 3, (count * 6,), generator=generator),
        crowd=torch.zeros(count * 6, dtype=torch.bool),
        owner=torch.arange(count).repeat_interleave(6),
        outlines=None,
        angles=torch.zeros(count),
        names=("random",) * count,
    )


def turned(seed: int) -> tuple[torch.Tensor, Targets]:
    """As in training: mirrored, turned, labelled on the device."""
    there = flip_batch(batch(seed).to("cuda"), torch.tensor([True, False, True, False]))
    angles = torch.deg2rad(torch.tensor([0.0, 12.0, -30.0, 45.0]))
    there, seen = turn_batch(there, angles, LabelRule("ellipse"))
    return there.images.contiguous(memory_format=torch.channels_last), there.targets(seen, 8)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_captured_step_is_the_step(architecture: Architecture) -> None:
    config = ModelConfig(architecture, 2, 128, backbone="tiny", finest_stride=4, delta=10.0)
    results = []
    for capture in (False, True):
        model = build_model(config).cuda().to(memory_format=torch.channels_last)
        step = TrainStep(model, torch.device("cuda"), bf16=False, capture=capture)
        for seed in range(4):  # the third replays what the second captured
            torch.manual_seed(seed)
            losses = step(*turned(seed))
        gradients = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
        results.append(({name: float(value) for name, value in losses.items()}, gradients, model.gate_rows()))
    (plain, expected, counted), (captured, found, also) = results
    assert captured == pytest.approx(plain, rel=1e-3)
    for name, gradient in expected.items():
        scale = float(gradient.abs().max())
        assert torch.allclose(found[name], gradient, rtol=1e-2, atol=1e-2 * scale + 1e-7), name
    assert sum(row.positives for row in counted["box"]) > 0
    assert [row.positives for row in also["box"]] == [row.positives for row in counted["box"]]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nothing_waits_for_the_device(architecture: Architecture) -> None:
    config = ModelConfig(architecture, 2, 128, backbone="tiny", finest_stride=4, delta=10.0)
    step = TrainStep(
        build_model(config).cuda().to(memory_format=torch.channels_last), torch.device("cuda"), bf16=True, capture=False
    )
    step(*turned(0))  # makes anchors and counters
    images, targets = turned(1)
    angles, flips = torch.deg2rad(torch.tensor([0.0, 12.0, -30.0, 45.0])), torch.tensor([True, False, True, False])
    whole = batch(2).to("cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        step(images, targets)
        there, seen = turn_batch(flip_batch(whole, flips), angles, LabelRule("ellipse"))
        there.targets(seen, 8)
    finally:
        torch.cuda.set_sync_debug_mode("default")
