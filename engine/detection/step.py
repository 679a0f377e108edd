"""Losses and gradients of one batch; on a GPU as one CUDA graph, since launching its kernels one by one takes longer
than running them.

A shape of targets that comes for the first time runs as usual, which also warms up libraries. When it comes again it
is captured, and from then on replayed. Random numbers follow from the seed as usual: a replay reads the generator.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.detection.targets import Targets

_LEAST_ROOM = 8


def room_for(objects: int) -> int:
    """Room in the targets of a batch with at most `objects` in one image: powers of two, so that shapes repeat."""
    return max(_LEAST_ROOM, 1 << max(0, objects - 1).bit_length())


@dataclass(slots=True)
class _Captured:
    images: Tensor
    targets: Targets
    graph: torch.cuda.CUDAGraph
    losses: dict[str, Tensor]


class TrainStep:
    """Calls the model on a batch and leaves gradients in its parameters.

    Args:
        forward: the detector, or what spreads it over processes.
        device: where it is.
        bf16: mixed precision.
        capture: as CUDA graphs; not with several processes, whose gradients are averaged outside of any graph.
    """

    def __init__(self, forward: nn.Module, device: torch.device, *, bf16: bool, capture: bool) -> None:
        self._forward, self._device, self._bf16, self._capture = forward, device, bf16, capture
        self._parameters = [each for each in forward.parameters() if each.requires_grad]
        for each in self._parameters:
            each.grad = torch.zeros_like(each)  # for good: a captured step writes here
        self._seen: set[tuple[int, ...]] = set()
        self._captured: dict[tuple[int, ...], _Captured] = {}
        self._stream = torch.cuda.Stream(device) if capture else None  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle() if capture else None

    def __call__(self, images: Tensor, targets: Targets) -> dict[str, Tensor]:
        """The losses by name, without gradients; they are overwritten by the next call."""
        if self._stream is None:
            return self._run(images, targets)
        key = (*images.shape, targets.room)
        if key not in self._seen:
            self._seen.add(key)
            return self._on_stream(images, targets)
        if key not in self._captured:
            self._captured[key] = self._record(images, targets)
        captured = self._captured[key]
        captured.images.copy_(images)
        captured.targets.copy_(targets)
        captured.graph.replay()
        return captured.losses

    def _run(self, images: Tensor, targets: Targets) -> dict[str, Tensor]:
        torch._foreach_zero_([each.grad for each in self._parameters if each.grad is not None])
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            losses: dict[str, Tensor] = self._forward(images, targets)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        return {name: loss.detach() for name, loss in losses.items()}

    def _on_stream(self, images: Tensor, targets: Targets) -> dict[str, Tensor]:
        """As usual, but where capturing will happen: what autograd keeps of a parameter belongs to one stream."""
        assert self._stream is not None
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            losses = self._run(images, targets)
        torch.cuda.current_stream(self._device).wait_stream(self._stream)
        return losses

    def _record(self, images: Tensor, targets: Targets) -> _Captured:
        held = images.clone(memory_format=torch.preserve_format), targets.clone()
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize(self._device)
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            losses = self._run(*held)
        return _Captured(*held, graph, losses)
