"""Checks for the interpreter on a CPU and for a GPU."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.ops import box_iou, sigmoid_focal_loss

from kernels.detection import batch_norm, focal, norm, reference


def check_suppress(
    suppress: Callable[[Tensor, Tensor, float], Tensor], device: str, groups: int, count: int, threshold: float
) -> None:
    """Crowded boxes, a tenth of them missing, two the same, one empty, against torchvision's one group at a time."""
    generator = torch.Generator().manual_seed(count)
    middle = torch.rand(groups, count, 2, generator=generator) * 10 * count**0.5
    half = torch.rand(groups, count, 2, generator=generator) * 20 + 1
    boxes = torch.cat((middle - half, middle + half), -1)
    valid = torch.rand(groups, count, generator=generator) < 0.9
    boxes[:, count // 2] = boxes[:, 0]
    boxes[:, -1, 2:] = boxes[:, -1, :2]
    expected = reference.suppress(boxes, valid, threshold)
    assert torch.equal(suppress(boxes.to(device), valid.to(device), threshold).cpu(), expected)
    if count > 10:
        assert 0 < int(expected.sum()) < int(valid.sum()), "some go and some stay"


Overlaps = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


def check_overlaps(best_overlaps: Overlaps, device: str, images: int, anchors: int, room: int) -> None:
    """Against torchvision's IoU, image by image: to the bit, ties and missing objects included."""
    generator = torch.Generator().manual_seed(anchors)

    def boxes(*shape: int) -> Tensor:
        low = torch.rand(*shape, 2, generator=generator) * 50
        return torch.cat((low, low + 2 + torch.rand(*shape, 2, generator=generator) * 30), -1)

    everywhere, objects = boxes(images, anchors), boxes(images, room)
    valid = torch.rand(images, room, generator=generator) < 0.7
    valid[0] = False
    everywhere[:, anchors // 2] = everywhere[:, 0]
    value, place, best = (
        each.cpu() for each in best_overlaps(everywhere.to(device), objects.to(device), valid.to(device))
    )
    assert bool((value[0] == -1).all()) and not best[0].any()
    for image in range(1, images):
        there = torch.nonzero(valid[image])[:, 0]
        if not len(there):
            assert bool((value[image] == -1).all()) and not best[image].any()
            continue
        overlaps = box_iou(objects[image][there], everywhere[image])
        most, index = overlaps.max(0)
        assert torch.equal(value[image], most)
        some = most > 0
        assert torch.equal(place[image][some], there[index][some])
        assert torch.equal(best[image], (overlaps == overlaps.amax(1, keepdim=True)).any(0))


def check_group_norm_relu(device: str, dtype: torch.dtype, shape: tuple[int, int, int, int], groups: int) -> None:
    """Values and gradients against torch's in float64, to the rounding of the dtype."""
    generator = torch.Generator().manual_seed(groups)
    x, gradient = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    weight, bias = (torch.randn(shape[1], generator=generator, dtype=torch.float64) for _ in range(2))
    x = (x * 3 + 1).to(dtype).double()
    # no gradient where rounding decides on which side of the kink a value lies
    near = torch.nn.functional.group_norm(x, groups, weight, bias, 1e-5).abs() < 1e-3
    gradient = gradient.masked_fill(near, 0).to(dtype).double()
    results = []
    for kind, where in ((torch.float64, "cpu"), (dtype, device)):
        inputs = [x.to(where, kind).contiguous(memory_format=torch.channels_last)]
        inputs += [each.to(where, torch.float32 if kind == dtype else kind) for each in (weight, bias)]
        inputs = [each.detach().clone().requires_grad_() for each in inputs]
        if kind == dtype:
            y = norm.Fused.apply(*inputs, groups, 1e-5)
        else:
            y = torch.relu(torch.nn.functional.group_norm(inputs[0], groups, *inputs[1:], 1e-5))
        y.backward(gradient.to(where, kind))
        results.append([y.detach(), *(each.grad for each in inputs)])
    assert results[1][0].is_contiguous(memory_format=torch.channels_last)
    limit = 1e-4 if dtype == torch.float32 else 1e-2
    for expected, found in zip(*results, strict=True):
        scale = float(expected.abs().max())
        assert float((found.double().cpu() - expected).abs().max()) < limit * scale


def check_batch_norm_relu(
    device: str,
    dtype: torch.dtype,
    shape: tuple[int, int, int, int],
    training: bool,
    skips: bool,
    limit: float = math.inf,
) -> None:
    """Values, gradients and running statistics against torch's in float64, to the rounding of the dtype."""
    generator = torch.Generator().manual_seed(shape[1])
    x, gradient, skip = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3))
    weight, bias, mean = (torch.randn(shape[1], generator=generator, dtype=torch.float64) for _ in range(3))
    variance = torch.rand(shape[1], generator=generator, dtype=torch.float64) + 1
    x, skip = ((each * 3 + 1).to(dtype).double() for each in (x, skip))
    normal = torch.nn.functional.batch_norm(x, mean.clone(), variance.clone(), weight, bias, training, 0.1, 1e-5)
    # no gradient where rounding decides on which side of the kink a value lies
    before = normal + skip * skips
    near = torch.minimum(before.abs(), (before - limit).abs()) < 4e-2
    gradient = gradient.masked_fill(near, 0).to(dtype).double()
    results = []
    for kind, where in ((torch.float64, "cpu"), (dtype, device)):
        inputs = [x.to(where, kind).contiguous(memory_format=torch.channels_last)]
        inputs += [each.to(where, torch.float32 if kind == dtype else kind) for each in (weight, bias)]
        inputs += [skip.to(where, kind)] * skips
        inputs = [each.detach().clone().requires_grad_() for each in inputs]
        running = [each.to(inputs[1].dtype).to(where).clone() for each in (mean, variance)]
        more = inputs[3] if skips else None
        if kind == dtype:
            y = batch_norm.Fused.apply(*inputs[:3], *running, more, training, 0.1, 1e-5, limit)
        else:
            y = torch.nn.functional.batch_norm(inputs[0], *running, *inputs[1:3], training, 0.1, 1e-5)
            y = (y if more is None else y + more).clamp(0, limit)
        y.backward(gradient.to(where, kind))
        results.append([y.detach(), *(each.grad for each in inputs), *running])
    assert results[1][0].is_contiguous(memory_format=torch.channels_last)
    limit = 1e-4 if dtype == torch.float32 else 1e-2
    for expected, found in zip(*results, strict=True):
        scale = float(expected.abs().max())
        assert float((found.double().cpu() - expected).abs().max()) < limit * scale


def check_bias_relu(device: str, dtype: torch.dtype, shape: tuple[int, int, int, int]) -> None:
    """Values and gradients against torch's in float64."""
    generator = torch.Generator().manual_seed(shape[1])
    x, gradient = (torch.randn(shape, generator=generator).to(dtype).double() for _ in range(2))
    bias = torch.randn(shape[1], generator=generator).double()
    gradient = gradient.masked_fill((x + bias[:, None, None]).abs() < 1e-3, 0)
    plain = [each.clone().requires_grad_() for each in (x, bias)]
    expected = torch.relu(plain[0] + plain[1][:, None, None])
    expected.backward(gradient)
    mine = [each.to(device, kind).requires_grad_() for each, kind in ((x, dtype), (bias, torch.float32))]
    found = batch_norm.FusedBias.apply(*mine)
    found.backward(gradient.to(device, dtype))
    for one, other in zip(
        (expected, *(each.grad for each in plain)), (found, *(each.grad for each in mine)), strict=True
    ):
        limit = (1e-5 if dtype == torch.float32 else 1e-2) * float(one.detach().abs().max())
        assert float((one - other.double().cpu()).abs().max()) < limit


def check_focal_loss(device: str, dtype: torch.dtype, images: int, anchors: int, classes: int) -> None:
    """Values and gradients against torchvision's in float64: all labels, anchors that do not count, large logits."""
    generator = torch.Generator().manual_seed(anchors)
    logits = (torch.randn(images, anchors, classes, generator=generator, dtype=torch.float64) * 6).to(dtype).double()
    logits[0, 0] = 80
    logits[-1, -1] = -80
    labels = torch.randint(-1, classes, (images, anchors), generator=generator)
    weight = torch.rand(images, generator=generator, dtype=torch.float64) + 0.5
    hot = torch.nn.functional.one_hot(labels.clamp(min=0), classes) * (labels > 0)[..., None]
    plain = logits.clone().requires_grad_()
    each = sigmoid_focal_loss(plain, hot.double()).sum(-1)
    expected = (each * (labels >= 0)).sum(1)
    expected.backward(weight)
    mine = logits.to(device, dtype).requires_grad_()
    found = focal.Fused.apply(mine, labels.to(device))
    found.backward(weight.to(device, torch.float32))
    assert torch.allclose(found.double().cpu(), expected.detach(), rtol=1e-5)
    limit = 1e-5 if dtype == torch.float32 else 1e-2
    assert mine.grad is not None and plain.grad is not None
    assert torch.allclose(mine.grad.double().cpu(), plain.grad, rtol=limit, atol=1e-6)
