"""Checks for the interpreter on a CPU and for a GPU."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.ops import box_iou

from kernels.detection import norm, reference


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
