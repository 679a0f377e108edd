from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from engine.detection.models import Architecture, Detector, ModelConfig, build_model
from tests.engine.detection.scenes import batch_of, blocks

ARCHITECTURES: list[Architecture] = ["retinanet", "fcos", "faster_rcnn"]


def tiny(architecture: Architecture, **changes: object) -> Detector:
    settings = {"classes": 2, "image_size": 64, "backbone": "tiny", "finest_stride": 4, **changes}
    model = build_model(ModelConfig(architecture, **settings))  # type: ignore[arg-type]
    if architecture == "fcos":  # an untrained one predicts empty boxes, and a gate has nothing to turn off
        torch.nn.init.constant_(model.network.head.regression_head.bbox_reg.bias, 2.6)
    return model


def losses_at(model: Detector, degrees: float) -> dict[str, float]:
    batch = batch_of([blocks(), blocks()[:1], []])
    targets = replace(batch.targets(), angles=torch.full((3,), math.radians(degrees)))
    torch.manual_seed(3)  # of the sampled proposals
    return {name: float(loss.detach()) for name, loss in model(batch.images, targets).items()}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_gate_lowers_only_the_box_losses(architecture: Architecture) -> None:
    free, gated = losses_at(tiny(architecture), 45), losses_at(tiny(architecture, delta=10.0), 45)
    boxes = {"bbox_regression", "loss_rpn_box_reg", "loss_box_reg"}
    for name, value in free.items():
        if name in boxes:
            assert gated[name] <= value + 1e-9
        else:
            assert gated[name] == pytest.approx(value, rel=1e-5), name
    assert sum(gated[name] for name in boxes & gated.keys()) < sum(free[name] for name in boxes & free.keys())


def test_each_gate_of_faster_rcnn_is_switched_alone() -> None:
    free = losses_at(tiny("faster_rcnn"), 45)
    rpn = losses_at(tiny("faster_rcnn", delta=10.0, gate_head=False), 45)
    head = losses_at(tiny("faster_rcnn", delta=10.0, gate_rpn=False), 45)
    assert rpn["loss_rpn_box_reg"] < free["loss_rpn_box_reg"]
    assert rpn["loss_box_reg"] == pytest.approx(free["loss_box_reg"], rel=1e-5)
    assert head["loss_box_reg"] < free["loss_box_reg"]
    assert head["loss_rpn_box_reg"] == pytest.approx(free["loss_rpn_box_reg"], rel=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradients_reach_every_weight_and_gates_are_counted(architecture: Architecture) -> None:
    model = tiny(architecture, delta=10.0)
    batch = batch_of([blocks(), blocks()])
    sum(model(batch.images, batch.targets()).values()).backward()
    without = [name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None]
    assert not without
    rows = model.gate_rows()["box"]
    assert rows[0].positives == rows[0].regressed > 0
    model.clear_gates()
    assert model.gate_rows()["box"][0].positives == 0


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_detections_lie_on_the_image(architecture: Architecture) -> None:
    model = tiny(architecture, score_threshold=0.0).eval()
    with torch.no_grad():
        found = model(torch.rand(2, 3, 64, 64))
    assert len(found) == 2
    for each in found:
        assert len(each["boxes"]) == len(each["scores"]) == len(each["labels"])
        assert (each["boxes"] >= 0).all() and (each["boxes"] <= 64).all()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_bfloat16_keeps_boxes_in_float32(architecture: Architecture) -> None:
    model = tiny(architecture, delta=10.0)
    batch = batch_of([blocks()])
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(batch.images, batch.targets())
    reference = model(batch.images, batch.targets())
    assert all(loss.dtype == torch.float32 and loss.isfinite() for loss in losses.values())
    name = "loss_box_reg" if architecture == "faster_rcnn" else "bbox_regression"
    assert losses[name].item() == pytest.approx(reference[name].item(), rel=0.05)


def test_weights_depend_on_the_seed_only() -> None:
    config = ModelConfig("fcos", classes=1, image_size=64, backbone="tiny")
    first, second, other = build_model(config, 1), build_model(config, 1), build_model(config, 2)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(
    "changes", [{"architecture": "yolo"}, {"classes": 0}, {"image_size": 100}, {"delta": 60.0}, {"finest_stride": 5}]
)
def test_it_refuses(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"architecture|class|image_size|delta|finest_stride"):
        ModelConfig(**{"architecture": "fcos", "classes": 1, "image_size": 64, **changes})  # type: ignore[arg-type]
