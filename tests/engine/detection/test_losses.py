"""Losses over a whole batch against torchvision's own code, image by image, on the same weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler, BoxCoder, Matcher
from torchvision.ops import MultiScaleRoIAlign, box_iou, generalized_box_iou_loss

from engine.detection.geometry import decode_offsets, encode_offsets, giou_loss
from engine.detection.models import Architecture, Detector, ModelConfig, build_model
from engine.detection.targets import NEGATIVE, Targets, match_by_iou, pack, sample
from engine.detection.two_stage import pool_regions, propose

ARCHITECTURES: list[Architecture] = ["retinanet", "fcos", "faster_rcnn"]
COUNTS = (5, 0, 40, 1)  # objects in each image; 40 takes more than one part


def random_boxes(count: int, generator: torch.Generator, size: int = 64) -> Tensor:
    low = torch.rand(count, 2, generator=generator) * size * 0.7
    return torch.cat((low, low + 3 + torch.rand(count, 2, generator=generator) * size * 0.3), 1).clamp(max=size)


def random_targets(seed: int) -> Targets:
    generator = torch.Generator().manual_seed(seed)
    total = sum(COUNTS)
    owner = torch.repeat_interleave(torch.arange(len(COUNTS)), torch.tensor(COUNTS))
    labels = torch.randint(1, 3, (total,), generator=generator)
    kept = torch.ones(total, dtype=torch.bool)
    return pack(random_boxes(total, generator), labels, owner, kept, torch.zeros(len(COUNTS)), room=64)


def one_by_one(targets: Targets) -> list[dict[str, Tensor]]:
    return [
        {"boxes": boxes[valid], "labels": labels[valid]}
        for boxes, labels, valid in zip(targets.boxes, targets.labels, targets.valid, strict=True)
    ]


def gradients(model: Detector, losses: dict[str, Tensor]) -> dict[str, Tensor]:
    model.zero_grad()
    sum(losses.values()).backward()  # type: ignore[union-attr]
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("delta", [None, 10.0])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_losses_and_gradients_are_torchvisions(architecture: Architecture, delta: float | None) -> None:
    """Without a gate, and with any gate on upright images, where it regresses everything."""
    config = ModelConfig(architecture, classes=2, image_size=64, backbone="tiny", finest_stride=4, delta=delta)
    model = build_model(config)
    if architecture == "faster_rcnn":  # torchvision draws other samples: take all of them
        for part in (model.network.rpn, model.network.roi_heads):
            part.fg_bg_sampler = BalancedPositiveNegativeSampler(100_000, 1.0)
    images, targets = torch.rand(4, 3, 64, 64), random_targets(1)
    ours, theirs = model(images, targets), model.network(images, one_by_one(targets))
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert float(ours[name].detach()) == pytest.approx(float(value.detach()), rel=1e-5), name
    mine, reference = gradients(model, ours), gradients(model, theirs)
    assert mine.keys() == reference.keys()
    for name, gradient in reference.items():
        largest = float(gradient.abs().max())
        assert torch.allclose(mine[name], gradient, rtol=1e-3, atol=1e-4 * largest + 1e-7), name


@pytest.mark.parametrize("keep_best", [True, False])
def test_matches_are_torchvisions(keep_best: bool) -> None:
    targets = random_targets(2)
    anchors = random_boxes(500, torch.Generator().manual_seed(3))
    matched = match_by_iou(anchors, targets, high=0.5, low=0.4, keep_best=keep_best)
    matcher = Matcher(0.5, 0.4, allow_low_quality_matches=keep_best)
    for row, image in zip(matched, one_by_one(targets), strict=True):
        if len(image["boxes"]):
            assert torch.equal(row, matcher(box_iou(image["boxes"], anchors)))
        else:
            assert (row == NEGATIVE).all()


def test_samples_are_of_the_kinds_and_numbers_asked_for() -> None:
    torch.manual_seed(0)
    positive = torch.zeros(3, 100, dtype=torch.bool)
    positive[0, :50], positive[1, :3] = True, True
    negative = ~positive
    negative[2, 10:] = False  # 10 negatives and nothing else
    place, drawn = sample(positive, negative, 40, 0.25)
    assert place.shape == (3, 40) and drawn.sum(1).tolist() == [40, 40, 10]
    kinds = positive.gather(1, place) & drawn
    assert kinds.sum(1).tolist() == [10, 3, 0] and bool(kinds[0, :10].all())
    for row, there in zip(place, drawn, strict=True):
        assert len(set(row[there].tolist())) == int(there.sum())
    assert bool((positive | negative).gather(1, place)[drawn].all())


def test_every_candidate_is_as_likely_to_be_drawn() -> None:
    torch.manual_seed(0)
    positive = (torch.arange(20) < 8).expand(4000, 20)
    place, drawn = sample(positive, ~positive, 8, 0.5)
    assert bool(drawn.all())
    share = torch.bincount(place.flatten(), minlength=20) / 4000
    assert torch.allclose(share[:8], torch.full((8,), 4 / 8), atol=0.04)
    assert torch.allclose(share[8:], torch.full((12,), 4 / 12), atol=0.04)


@pytest.mark.parametrize("nms_threshold", [0.3, 0.7])
def test_proposals_are_torchvisions(nms_threshold: float) -> None:
    config = ModelConfig("faster_rcnn", classes=2, image_size=64, backbone="tiny", finest_stride=4)
    rpn = build_model(config).network.rpn
    rpn.nms_thresh, rpn._pre_nms_top_n = nms_threshold, {"training": 150, "testing": 100}
    rpn._post_nms_top_n = {"training": 120, "testing": 100}
    levels = [400, 100, 25]
    generator = torch.Generator().manual_seed(5)
    anchors = random_boxes(525, generator)
    scores, offsets = torch.randn(2, 525, generator=generator), torch.randn(2, 525, 4, generator=generator) * 0.3
    scores[1, 3] = 50.0
    offsets[1, 3] = -30.0  # nothing of it is left on the canvas
    boxes, there = propose(scores, offsets, anchors, levels, (64, 64), rpn)
    decoded = torch.stack([BoxCoder((1.0, 1.0, 1.0, 1.0)).decode_single(each, anchors) for each in offsets])
    theirs, _ = rpn.filter_proposals(decoded, scores, [(64, 64)] * 2, levels)
    for mine, kept, reference in zip(boxes, there, theirs, strict=True):
        assert torch.allclose(mine[kept], reference, atol=1e-4)


def test_pooled_regions_are_torchvisions() -> None:
    generator = torch.Generator().manual_seed(6)
    sizes = [(64, 4), (32, 8), (16, 16)]
    features = [torch.rand(2, 5, side, side, generator=generator, requires_grad=True) for side, _ in sizes]
    boxes = random_boxes(60, generator, 256).view(2, 30, 4)
    boxes[0, :5, 2:] = boxes[0, :5, :2] + 250  # large enough for a coarse level
    pool = MultiScaleRoIAlign(["0", "1", "2"], 7, 2)
    theirs = pool(dict(zip("012", features, strict=True)), list(boxes), [(256, 256)] * 2)
    ours = pool_regions(features, [4, 8, 16], boxes)
    assert torch.allclose(ours, theirs, atol=1e-5)
    weight = torch.rand(ours.shape, generator=generator)
    mine, reference = (torch.autograd.grad((each * weight).sum(), features) for each in (ours, theirs))
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(mine, reference, strict=True))


def test_boxes_are_coded_compared_and_overlapped_as_in_torchvision() -> None:
    generator = torch.Generator().manual_seed(7)
    a, b = random_boxes(50, generator), random_boxes(50, generator)
    weights = (10.0, 10.0, 5.0, 5.0)
    coder = BoxCoder(weights)
    offsets = torch.randn(50, 4, generator=generator) * 10
    assert torch.allclose(encode_offsets(a, b, weights), coder.encode_single(a, b), atol=1e-5)
    assert torch.allclose(decode_offsets(offsets, b, weights), coder.decode_single(offsets, b), rtol=1e-5)
    assert torch.allclose(giou_loss(a, b), generalized_box_iou_loss(a, b), atol=1e-6)


def test_packed_targets_hold_each_object_once() -> None:
    targets = random_targets(8)
    assert targets.valid.sum(1).tolist() == list(COUNTS) and targets.room == 64
    kept = torch.tensor([True, False, True])
    packed = pack(torch.rand(3, 4), torch.tensor([1, 2, 3]), torch.tensor([0, 0, 2]), kept, torch.zeros(3))
    assert packed.room == 2 and packed.valid.tolist() == [[True, False], [False, False], [True, False]]
    assert packed.labels[2, 0] == 3
    assert math.isclose(float(packed.boxes[1].sum()), 0)
